package lenient

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// NewDecoder reads JSON as providers do: names may repeat where the gateway does not
// act on them, and strings are not judged.
func NewDecoder(data []byte) *jsontext.Decoder {
	return jsontext.NewDecoder(bytes.NewBuffer(data), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// EachMember walks the object that comes next; f must read the member's value.
func EachMember(dec *jsontext.Decoder, f func(name string) error) error {
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	for dec.PeekKind() == '"' {
		name, err := dec.ReadToken()
		if err != nil {
			return err
		}
		if err := f(name.String()); err != nil {
			return err
		}
	}
	_, err := dec.ReadToken()
	return err
}

// Text is the string that value holds; empty for any other kind of value.
func Text(value jsontext.Value) string {
	if value.Kind() != '"' {
		return ""
	}
	b, _ := jsontext.AppendUnquote(nil, value) // bytes that are not UTF-8 are replaced
	return string(b)
}

// AppendText appends s as a JSON string.
func AppendText(b []byte, s string) []byte {
	b, _ = jsontext.AppendQuote(b, s) // the error is about bytes that are not UTF-8: they are replaced
	return b
}

// AppendNullable appends s as a JSON string, and null when it is empty.
func AppendNullable(b []byte, s string) []byte {
	if s == "" {
		return append(b, "null"...)
	}
	return AppendText(b, s)
}
