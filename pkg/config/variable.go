package config

import (
	"encoding"
	"fmt"
	"io"
	"reflect"
	"strings"
	"text/template"
	"time"

	"github.com/kelseyhightower/envconfig"
)

// variable is one environment variable of a config struct.
type variable struct {
	name     string // the name for people
	key      string // the name envconfig tries first
	alt      string // the name it tries then, if any
	def      string
	desc     string
	required bool
	field    reflect.Value
}

// variables lists the variables of cfg. The names come from envconfig itself,
// through its usage template, so that they cannot differ from what it reads.
func variables(prefix string, cfg any) ([]variable, error) {
	var vars []variable
	collect := func(key, alt string, tags reflect.StructTag, field reflect.Value) string {
		vars = append(vars, variable{
			name: displayName(prefix, key, alt, tags), key: key, alt: alt, field: field,
			def: tags.Get("default"), desc: tags.Get("desc"), required: tags.Get("required") == "true",
		})
		return ""
	}
	t, err := template.New("variables").Funcs(template.FuncMap{"collect": collect}).
		Parse(`{{range .}}{{collect .Key .Alt .Tags .Field}}{{end}}`)
	if err != nil {
		return nil, err
	}
	if err := envconfig.Usaget(prefix, cfg, io.Discard, t); err != nil {
		return nil, fmt.Errorf("config %T: %w", cfg, err)
	}
	return vars, nil
}

// displayName prefers a full name given in the envconfig tag, which several
// services share (LOOM_DATABASE_URL, or any name with the tag global:"true"), to
// that name behind the prefix.
func displayName(prefix, key, alt string, tags reflect.StructTag) string {
	family, _, _ := strings.Cut(strings.ToUpper(prefix), "_")
	if alt != "" && (strings.HasPrefix(alt, family+"_") || tags.Get("global") == "true") {
		return alt
	}
	return key
}

// lookups lists the names envconfig tries, in its order.
func (v variable) lookups() []string {
	if v.alt != "" && v.alt != v.key {
		return []string{v.key, v.alt}
	}
	return []string{v.key}
}

func (v variable) secret() bool { return v.field.Type() == reflect.TypeFor[Secret]() }

func (v variable) versioned() bool { return v.field.Type() == reflect.TypeFor[VersionedSecret]() }

// expects says what text a type reads, "" for a type with its own reader.
func expects(t reflect.Type) string {
	if t == reflect.TypeFor[time.Duration]() {
		return "a duration such as 500ms, 30s or 5m"
	}
	if readsText(t) {
		return ""
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return fmt.Sprintf("a whole number of at most %d bits", t.Bits())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return fmt.Sprintf("a whole number of at most %d bits, not negative", t.Bits())
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice:
		return "a list with commas between: " + typeName(t)
	case reflect.Map:
		return "key:value pairs with commas between: " + typeName(t)
	default:
		return ""
	}
}

func readsText(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(reflect.TypeFor[envconfig.Decoder]()) ||
		p.Implements(reflect.TypeFor[envconfig.Setter]()) ||
		p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// typeName names a type for the reference table.
func typeName(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "duration"
	case t == reflect.TypeFor[Secret]():
		return "secret"
	case t == reflect.TypeFor[VersionedSecret]():
		return "secret by version"
	case readsText(t):
		return strings.ToLower(t.Name())
	case t.Kind() == reflect.Slice:
		return "list of " + typeName(t.Elem())
	case t.Kind() == reflect.Map:
		return "map of " + typeName(t.Key()) + " to " + typeName(t.Elem())
	default:
		return t.Kind().String()
	}
}

// Reference writes the variables of cfg as a Markdown table: name, type,
// default, whether it is required, and the desc tag.
func Reference(w io.Writer, prefix string, cfg any) error {
	vars, err := variables(prefix, cfg)
	if err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString("| Variable | Type | Default | Required | Meaning |\n|---|---|---|---|---|\n")
	for _, v := range vars {
		def, required, name := "", "", "`"+v.name+"`"
		if v.def != "" {
			def = "`" + cell(v.def) + "`"
		}
		if v.required {
			required = "yes"
		}
		switch {
		case v.secret():
			name += " or `" + v.name + "_FILE`"
		case v.versioned():
			name += ", `" + v.name + "_V2`, … or each with `_FILE`"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", name, typeName(v.field.Type()), def, required, cell(v.desc))
	}
	_, err = io.WriteString(w, b.String())
	return err
}

// cell keeps text inside its table cell.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ").Replace(s)
}
