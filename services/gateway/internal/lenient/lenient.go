// Package lenient reads the JSON of strangers as far as it can be read: a member of
// another kind than expected counts as absent, so that one odd field does not hide the
// rest, and names may repeat.
package lenient

import (
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Unmarshal reads data into v, whose fields are of this package's types.
func Unmarshal(data []byte, v any) error {
	return json.Unmarshal(data, v, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// Str is a string; any other kind reads as empty.
type Str string

// UnmarshalJSONFrom implements [json.UnmarshalerFrom].
func (s *Str) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	if dec.PeekKind() != '"' {
		return dec.SkipValue()
	}
	token, err := dec.ReadToken()
	if err == nil {
		*s = Str(token.String())
	}
	return err
}

// Integer is a number, and whether there was one.
type Integer struct {
	N   int64
	Set bool
}

// UnmarshalJSONFrom implements [json.UnmarshalerFrom].
func (i *Integer) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	if dec.PeekKind() != '0' {
		return dec.SkipValue()
	}
	token, err := dec.ReadToken()
	if err != nil {
		return err
	}
	if f, err := token.Float(); err == nil && f >= -1<<53 && f <= 1<<53 {
		i.N, i.Set = int64(f), true
	}
	return nil
}

// Object is a T, and whether there was one; any kind but an object reads as absent.
type Object[T any] struct {
	V   T
	Set bool
}

// UnmarshalJSONFrom implements [json.UnmarshalerFrom].
func (o *Object[T]) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	if dec.PeekKind() != '{' {
		return dec.SkipValue()
	}
	o.Set = true
	return json.UnmarshalDecode(dec, &o.V)
}

// MaxEntries bounds the entries that are kept of one list.
const MaxEntries = 128

// List is an array, and whether there was one; any other kind reads as absent. What
// goes beyond MaxEntries is passed over, so that a long list does not hide what stands
// beside it.
type List[T any] struct {
	V    []T
	Set  bool
	Over bool // some entries were passed over
}

// UnmarshalJSONFrom implements [json.UnmarshalerFrom].
func (l *List[T]) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	if dec.PeekKind() != '[' {
		return dec.SkipValue()
	}
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	l.Set = true
	for dec.PeekKind() != ']' {
		if dec.PeekKind() == 0 {
			_, err := dec.ReadToken()
			return err
		}
		if len(l.V) == MaxEntries {
			l.Over = true
			if err := dec.SkipValue(); err != nil {
				return err
			}
			continue
		}
		var entry T
		if err := json.UnmarshalDecode(dec, &entry); err != nil {
			return err
		}
		l.V = append(l.V, entry)
	}
	_, err := dec.ReadToken()
	return err
}
