package manifestfile

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"loom.internal/pkg/manifest"
)

// decoder fills the manifest's structs from YAML nodes. It goes on after a fault, so
// that one reading finds them all.
type decoder struct {
	file   string
	lines  map[string]int
	lookup func(string) (string, bool)
	faults Faults
	unread []string // paths whose values could not be read
}

func (d *decoder) fault(path string, n *yaml.Node, format string, args ...any) {
	d.faults = append(d.faults, Fault{File: d.file, Line: n.Line, Path: path, Message: fmt.Sprintf(format, args...)})
}

// refuse faults a value that could not be read.
func (d *decoder) refuse(path string, n *yaml.Node, format string, args ...any) {
	d.fault(path, n, format, args...)
	d.unread = append(d.unread, path)
}

// read reports whether what stands at path, all of it, could be read.
func (d *decoder) read(path string) bool {
	return !slices.ContainsFunc(d.unread, func(u string) bool { return within(path, u) || within(u, path) })
}

// within reports whether a path is another or a part of it.
func within(path, whole string) bool {
	rest, ok := strings.CutPrefix(path, whole)
	return ok && (rest == "" || whole == "" || rest[0] == '.' || rest[0] == '[')
}

// value reads n into v. A null is as good as nothing.
func (d *decoder) value(path string, n *yaml.Node, v reflect.Value) {
	d.lines[path] = n.Line
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		d.refuse(path, n, "anchors and aliases (& and *) are not read: write it out")
	case n.Tag == "!!null":
	case v.Type() == reflect.TypeFor[*time.Time]():
		d.time(path, n, v)
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(path, n, v.Elem())
	case v.Kind() == reflect.Struct:
		d.mapping(path, n, v)
	case v.Kind() == reflect.Slice:
		d.sequence(path, n, v)
	case v.Kind() == reflect.String:
		d.text(path, n, v)
	default:
		d.integer(path, n, v)
	}
}

func (d *decoder) mapping(path string, n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.MappingNode {
		d.refuse(path, n, "must be a mapping of %s, not %s", strings.Join(keys(v.Type()), ", "), describe(n))
		return
	}
	first := make(map[string]int)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := strings.TrimPrefix(path+"."+key.Value, ".")
		field, known := fieldOf(v, key.Value)
		switch line, twice := first[key.Value]; {
		case key.Kind != yaml.ScalarNode:
			d.fault(path, key, "a key must be a word, not %s", describe(key))
			continue
		case !known:
			d.fault(at, key, "unknown key: use %s", strings.Join(keys(v.Type()), ", "))
			continue
		case twice:
			d.fault(at, key, "is given twice, first on line %d", line)
			continue
		}
		first[key.Value] = key.Line
		d.value(at, value, field)
	}
}

func (d *decoder) sequence(path string, n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.SequenceNode {
		d.refuse(path, n, "must be a list, not %s", describe(n))
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, item := range n.Content {
		d.value(fmt.Sprintf("%s[%d]", path, i), item, v.Index(i))
	}
}

// text takes dates as well: YAML knows them as a type of their own. It refuses
// numbers and booleans, whose text a reader of YAML may change.
func (d *decoder) text(path string, n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.ScalarNode {
		d.refuse(path, n, "must be text, not %s", describe(n))
		return
	}
	if v.Type() == reflect.TypeFor[manifest.Duration]() && n.Tag != "!!str" {
		d.refuse(path, n, "must be a length of time such as 30s, not %s", describe(n))
		return
	}
	if n.Tag != "!!str" && n.Tag != "!!timestamp" {
		d.refuse(path, n, "must be text, not %s: put it in quotes", describe(n))
		return
	}
	if s, ok := d.expand(path, n); ok {
		v.SetString(s)
	}
}

func (d *decoder) integer(path string, n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.ScalarNode || (n.Tag != "!!int" && n.Tag != "!!str") {
		d.refuse(path, n, "must be a whole number, not %s", describe(n))
		return
	}
	s, ok := d.expand(path, n)
	if !ok {
		return
	}
	i, err := strconv.ParseInt(s, 10, v.Type().Bits())
	if err != nil || (n.Tag == "!!str" && s == n.Value) {
		d.refuse(path, n, "must be a whole number, not %s", describe(n))
		return
	}
	v.SetInt(i)
}

func (d *decoder) time(path string, n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.ScalarNode {
		d.refuse(path, n, "must be a time such as 2026-12-31T00:00:00Z, not %s", describe(n))
		return
	}
	s, ok := d.expand(path, n)
	if !ok {
		return
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			v.Set(reflect.ValueOf(&t))
			return
		}
	}
	d.refuse(path, n, "must be a date or time such as 2026-12-31 or 2026-12-31T00:00:00Z")
}

// fieldOf finds the field of a struct that a key of the file means.
func fieldOf(v reflect.Value, key string) (reflect.Value, bool) {
	for i, name := range keys(v.Type()) {
		if name == key {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

// keys are the names of a struct's fields, by index.
func keys(t reflect.Type) []string {
	names := make([]string, t.NumField())
	for i := range names {
		names[i], _, _ = strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
	}
	return names
}

// describe says what a node is, to people. It never shows a value: that may be a secret.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	default: // a scalar
	}
	switch n.Tag {
	case "!!int":
		return "a number"
	case "!!float":
		return "a decimal number"
	case "!!bool":
		return "a boolean"
	case "!!timestamp":
		return "a date"
	case "!!null":
		return "nothing"
	default:
		return "text"
	}
}
