package pricing

import (
	"bytes"
	"encoding/json"
	"strconv"
)

type countState uint8

const (
	absent countState = iota // not there, or null
	present
	malformed
)

// count is a token count as it came. It never fails to decode: which counts
// matter is known only when the form of the object is.
type count struct {
	n     int64
	state countState
	seen  bool // the key is there, be it null
}

// UnmarshalJSON implements json.Unmarshaler.
func (c *count) UnmarshalJSON(b []byte) error {
	*c = count{seen: true}
	if string(b) == "null" {
		return nil
	}
	c.state = malformed
	whole, fraction, _ := bytes.Cut(b, []byte("."))
	n, err := strconv.ParseInt(string(whole), 10, 64)
	if err == nil && whole[0] != '-' && n <= MaxTokens && len(bytes.Trim(fraction, "0")) == 0 {
		c.n, c.state = n, present
	}
	return nil
}

// word is a string, or "?" for any other JSON value.
type word string

// UnmarshalJSON implements json.Unmarshaler.
func (w *word) UnmarshalJSON(b []byte) error {
	var s string
	if !decodes(b, &s) {
		s = "?"
	}
	*w = word(s)
	return nil
}

// iterations is Anthropic's list of the model calls behind one answer. The
// top-level counts cover those of type message only.
type iterations struct{ extra bool }

// UnmarshalJSON implements json.Unmarshaler.
func (it *iterations) UnmarshalJSON(b []byte) error {
	var list []struct {
		Type word `json:"type"`
	}
	it.extra = !decodes(b, &list) // an unreadable list may well change the price
	for _, i := range list {
		it.extra = it.extra || i.Type != "message"
	}
	return nil
}

// decodes reports whether b is a value of v's type, or null.
func decodes(b []byte, v any) bool { return json.Unmarshal(b, v) == nil }
