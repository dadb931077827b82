package capture

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"loom.internal/services/gateway/internal/lenient"
)

// Bounds of an assembled answer; a stream that goes beyond them is cut in the record
// only.
const (
	maxIndex  = 128     // choices or items of an answer, and calls or parts of one
	entryCost = 160     // charged against the limit for the frame of a choice, a call or an item
	frame     = 4 << 10 // kept free for the frame of an answer
)

// room is what is left of the bytes that may be kept.
type room struct {
	left      int
	truncated bool
}

func newRoom(limit int) room { return room{left: max(limit-frame, 0)} }

// charge takes n bytes if there are as many.
func (r *room) charge(n int) bool {
	if r.left < n {
		r.left, r.truncated = 0, true // nothing smaller may follow what was cut
		return false
	}
	r.left -= n
	return true
}

// take gives s, or the part of it that fits, and charges for it as quoted in JSON.
func (r *room) take(s string) string {
	for i := range len(s) {
		cost := 1
		switch c := s[i]; {
		case c < ' ':
			cost = 6
		case c == '"', c == '\\':
			cost = 2
		}
		if !r.charge(cost) {
			return strings.ToValidUTF8(s[:i], "")
		}
	}
	return s
}

// name takes a name or an id.
func (r *room) name(s lenient.Str) string { return r.take(clip(string(s))) }

// text is a text that comes in pieces.
type text struct {
	strings.Builder
	spent int
	cut   bool
}

// add appends s as far as there is room. Nothing follows what was cut.
func (r *room) add(to *text, s lenient.Str) {
	if s == "" || to.cut {
		return
	}
	before := r.left
	kept := r.take(string(s))
	_, _ = to.WriteString(kept)
	to.cut = len(kept) < len(s)
	to.spent += before - r.left
}

// values appends the entries of the array at s to those of earlier ones, with commas.
func (r *room) values(to, data []byte, s span) []byte {
	if s.kind != '[' {
		return to
	}
	dec := lenient.NewDecoder(s.of(data))
	if _, err := dec.ReadToken(); err != nil {
		return to
	}
	for dec.PeekKind() != ']' {
		v, err := dec.ReadValue()
		if err != nil || !r.charge(len(v)+1) {
			return to
		}
		if len(to) > 0 {
			to = append(to, ',')
		}
		to = append(to, v...)
	}
	return to
}

// span is where in an event's data a value stands, and of what kind it is: what is kept
// byte for byte, or only measured, is not copied to be looked at.
type span struct {
	kind       jsontext.Kind
	start, end int
}

// UnmarshalJSONFrom implements [json.UnmarshalerFrom]. It counts from the beginning of
// what is unmarshaled.
func (s *span) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	kind := dec.PeekKind()
	v, err := dec.ReadValue()
	if err == nil {
		end := int(dec.InputOffset())
		*s = span{kind, end - len(v), end}
	}
	return err
}

func (s span) of(data []byte) []byte { return data[s.start:s.end] }

// present reports whether there is a value, and not null.
func (s span) present() bool { return s.kind != 0 && s.kind != 'n' }

// size is the length of a string as it stands, without its quotes.
func (s span) size() int {
	if s.kind != '"' {
		return 0
	}
	return s.end - s.start - 2
}
