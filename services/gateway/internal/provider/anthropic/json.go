package anthropic

import (
	"fmt"
	"math"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"loom.internal/services/gateway/internal/lenient"
	"loom.internal/services/gateway/internal/openai"
)

// field is a member of an object that the translation reads: at is nil as long as it
// is absent or null.
type field struct {
	name string
	at   *jsontext.Value
}

// object reads members of a value, which stands in the request at path. A member that
// is read may be there only once: two readers could otherwise see two requests.
// The values are parts of v, not copies.
func object(v jsontext.Value, path string, fields ...field) *openai.Error {
	if v.Kind() != '{' {
		return openai.Invalid(path, path+" must be an object.")
	}
	var fault *openai.Error
	var seen uint64 // bits of fields
	dec := lenient.NewDecoder(v)
	err := lenient.EachMember(dec, func(name string) error {
		for i, f := range fields {
			if f.name != name {
				continue
			}
			if seen&(1<<i) != 0 {
				fault = openai.Invalid(join(path, name), fmt.Sprintf("%s has '%s' more than once.", or(path, "The request body"), name))
				return fault
			}
			seen |= 1 << i
			value, err := dec.ReadValue()
			if err == nil && value.Kind() != 'n' {
				*f.at = within(v, dec, len(value))
			}
			return err
		}
		return dec.SkipValue()
	})
	if fault == nil && err != nil {
		fault = openai.Invalid(path, or(path, "The request body")+" is not valid JSON.")
	}
	return fault
}

// each reads the entries of an array.
func each(v jsontext.Value, path string, f func(i int, entry jsontext.Value) *openai.Error) *openai.Error {
	if v.Kind() != '[' {
		return openai.Invalid(path, path+" must be an array.")
	}
	dec := lenient.NewDecoder(v)
	_, err := dec.ReadToken()
	for i := 0; err == nil && dec.PeekKind() != ']'; i++ {
		var entry jsontext.Value
		if entry, err = dec.ReadValue(); err == nil {
			if fault := f(i, within(v, dec, len(entry))); fault != nil {
				return fault
			}
		}
	}
	if err != nil {
		return openai.Invalid(path, path+" is not valid JSON.")
	}
	return nil
}

// within is the part of v that dec has just read.
func within(v jsontext.Value, dec *jsontext.Decoder, size int) jsontext.Value {
	end := int(dec.InputOffset())
	return v[end-size : end : end]
}

// text reads a string; nil is empty.
func text(v jsontext.Value, path string) (string, *openai.Error) {
	if v != nil && v.Kind() != '"' {
		return "", openai.Invalid(path, path+" must be a string.")
	}
	return lenient.Text(v), nil
}

// whole reads a whole number; nil is not one.
func whole(v jsontext.Value, path string) (int64, *openai.Error) {
	if n, err := strconv.ParseInt(string(v), 10, 64); err == nil {
		return n, nil
	}
	f, err := strconv.ParseFloat(string(v), 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return 0, openai.Invalid(path, path+" must be a whole number.")
	}
	return int64(f), nil
}

// number checks that v, which is not nil, is a number.
func number(v jsontext.Value, path string) (float64, *openai.Error) {
	if v.Kind() != '0' {
		return 0, openai.Invalid(path, path+" must be a number.")
	}
	f, _ := strconv.ParseFloat(string(v), 64) // one beyond every bound is infinite
	return f, nil
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func at(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// comma goes before what is added to entries that are there already.
func comma(b []byte) []byte {
	if len(b) > 0 {
		return append(b, ',')
	}
	return b
}
