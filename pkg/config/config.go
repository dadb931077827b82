// Package config loads a service's settings from the environment into a struct
// and describes them for the documentation.
//
// Fields carry the tags of github.com/kelseyhightower/envconfig (split_words,
// envconfig, default, required, ignored) and desc, a sentence for people.
package config

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"

	"github.com/kelseyhightower/envconfig"
)

// Load fills cfg, a pointer to a struct, from the variables that start with
// prefix and an underscore. A [Secret] may instead come from a file named by
// <NAME>_FILE; one line break at its end is dropped. A [VersionedSecret] takes
// all its versions. If cfg has a Validate() error method, it has the last word.
//
// The error has one line for each fault found, each naming the variable and
// what it should hold; a secret's value is never in it.
//
// Load is for the start of a program: while it runs, it changes the
// environment of the process.
func Load(prefix string, cfg any) error {
	vars, err := variables(prefix, cfg)
	if err != nil {
		return err
	}
	var faults []error
	versions := map[string]VersionedSecret{}
	for _, v := range vars {
		if v.versioned() {
			found, wrong := v.versions()
			if faults = append(faults, wrong...); v.required && len(found) == 0 && len(wrong) == 0 && v.def == "" {
				faults = append(faults, v.missing())
			}
			if _, ok := os.LookupEnv(v.key); !ok && len(found) > 0 {
				_ = os.Setenv(v.key, "") // envconfig would require version 1
				defer func() { _ = os.Unsetenv(v.key) }()
			}
			versions[v.key] = found
			continue
		}
		if v.secret() {
			restore, err := v.fromFile()
			if err != nil {
				faults = append(faults, err)
				continue
			}
			defer restore()
		}
		if v.required && v.value() == "" {
			faults = append(faults, v.missing())
		}
	}
	if len(faults) > 0 {
		return errors.Join(faults...)
	}
	if err := envconfig.Process(prefix, cfg); err != nil {
		return explain(err, vars)
	}
	for _, v := range vars {
		if found := versions[v.key]; len(found) > 0 {
			v.field.Set(reflect.ValueOf(found))
		}
	}
	if c, ok := cfg.(interface{ Validate() error }); ok {
		return c.Validate()
	}
	return nil
}

// explain turns envconfig's error into one for people.
func explain(err error, vars []variable) error {
	var parse *envconfig.ParseError
	if !errors.As(err, &parse) {
		return err
	}
	for _, v := range vars {
		if v.key != parse.KeyName {
			continue
		}
		if v.secret() {
			return fmt.Errorf("%s: its value cannot be used", v.name)
		}
		if want := expects(v.field.Type()); want != "" {
			return fmt.Errorf("%s: want %s, got %q", v.name, want, parse.Value)
		}
		return fmt.Errorf("%s: cannot use %q: %w", v.name, parse.Value, parse.Err)
	}
	return err
}

// missing is the fault of a required variable without a value.
func (v variable) missing() error {
	hint := ""
	switch {
	case v.secret():
		hint = fmt.Sprintf(" (or %s_FILE, the path of a file that holds it)", v.name)
	case v.versioned():
		hint = fmt.Sprintf(" (or %[1]s_FILE, the path of a file that holds it, or a later version as %[1]s_V2)", v.name)
	}
	if v.desc != "" {
		hint += ": " + v.desc
	}
	return fmt.Errorf("%s is required%s", v.name, hint)
}

// fromFile puts what the file of <NAME>_FILE holds where envconfig looks for
// the variable, and returns how to undo that. Only Go's own copy of the
// environment is touched.
func (v variable) fromFile() (restore func(), err error) {
	nothing := func() {}
	for _, name := range v.lookups() {
		value, file, err := readSecret(name)
		if err != nil {
			return nothing, err
		}
		if !file {
			continue
		}
		if err := os.Setenv(name, value); err != nil {
			return nothing, fmt.Errorf("%s_FILE: %w", name, err)
		}
		return func() { _ = os.Unsetenv(name) }, nil
	}
	return nothing, nil
}

// readSecret reads the secret called name, and says whether it is in a file.
func readSecret(name string) (value string, file bool, err error) {
	path := lookup(name + "_FILE")
	if path == "" {
		return lookup(name), false, nil
	}
	if lookup(name) != "" {
		return "", false, fmt.Errorf("%s and %s_FILE are both set: set one of them", name, name)
	}
	b, err := os.ReadFile(path) //nolint:gosec // the operator names the file
	if err != nil {
		return "", false, fmt.Errorf("%s_FILE: %w", name, err)
	}
	value = strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	if value == "" {
		return "", false, fmt.Errorf("%s_FILE: %s is empty", name, path)
	}
	if strings.ContainsRune(value, 0) {
		return "", false, fmt.Errorf("%s_FILE: %s holds bytes a variable cannot hold", name, path)
	}
	return value, true, nil
}

// value is what envconfig will find for v, its default included.
func (v variable) value() string {
	for _, name := range v.lookups() {
		if s, ok := os.LookupEnv(name); ok {
			return s
		}
	}
	return v.def
}

func lookup(name string) string {
	s, _ := os.LookupEnv(name)
	return s
}
