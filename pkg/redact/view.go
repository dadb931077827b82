package redact

import (
	"bytes"
	"sort"
	"unicode/utf16"
	"unicode/utf8"
)

// view is a text with the escapes of JSON strings taken out, and where each of its
// bytes stands in the text it was made from. What is found in it can so be cut out
// of the original without writing the rest anew, and never cuts an escape in two.
type view struct {
	text   []byte
	of     *view // nil: this is the original
	places []place
}

// place says that the bytes of a view from at on, up to the next place, stand in
// the text it is of from from on.
type place struct{ at, from int }

// unescaped takes one level of escapes out of v; nil if there is no backslash. What
// is no valid escape stays as it is: v need not be a JSON string.
func (v *view) unescaped() *view {
	if bytes.IndexByte(v.text, '\\') < 0 {
		return nil
	}
	u := &view{of: v, text: make([]byte, 0, len(v.text)), places: []place{{}}}
	for i := 0; i < len(v.text); {
		plain := bytes.IndexByte(v.text[i:], '\\')
		if plain < 0 {
			plain = len(v.text) - i
		}
		u.text = append(u.text, v.text[i:i+plain]...)
		if i += plain; i == len(v.text) {
			break
		}
		char, size := escape(v.text[i:])
		if size == 0 {
			u.text = append(u.text, '\\')
			i++
			continue
		}
		u.places = append(u.places, place{at: len(u.text), from: i})
		u.text = utf8.AppendRune(u.text, char)
		i += size
		u.places = append(u.places, place{at: len(u.text), from: i})
	}
	return u
}

// original is where the byte at of v stands in the original.
func (v *view) original(at int) int {
	for v.of != nil {
		i := sort.Search(len(v.places), func(i int) bool { return v.places[i].at > at }) - 1
		at = v.places[i].from + at - v.places[i].at
		v = v.of
	}
	return at
}

// escape reads the escape that s begins with; its size is 0 if it is none.
func escape(s []byte) (char rune, size int) {
	if len(s) < 2 {
		return 0, 0
	}
	switch s[1] {
	case '"', '\\', '/':
		return rune(s[1]), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	}
	char, ok := codeUnit(s)
	if !ok {
		return 0, 0
	}
	if utf16.IsSurrogate(char) {
		if second, ok := codeUnit(s[6:]); ok {
			if pair := utf16.DecodeRune(char, second); pair != utf8.RuneError {
				return pair, 12
			}
		}
		return utf8.RuneError, 6
	}
	return char, 6
}

// codeUnit reads the \uXXXX that s begins with.
func codeUnit(s []byte) (unit rune, ok bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	for _, c := range s[2:6] {
		switch {
		case isDigit(c):
			unit = unit<<4 | rune(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			unit = unit<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return unit, true
}
