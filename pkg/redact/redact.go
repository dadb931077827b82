// Package redact takes personal data and secrets out of what is recorded. Bytes on
// the wire are never its business.
//
// What a rule matches is replaced by its mark, "[redacted:<name>]". A mark is never
// redacted again, so redacting twice does the same as once, and when all is done no
// rule matches anything between the marks. To that end a text is searched again
// once something was taken out of it. What does not come to rest after a few times,
// or grows too much, or matches too often, becomes the mark "[redacted:all]" as a
// whole: rather too much is redacted than too little, and time and memory are bounded.
package redact

import (
	"bytes"
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// Redactor redacts by its rules; a nil one redacts nothing. It may be used by many
// at a time.
type Redactor struct {
	rules   []rule
	marks   map[string]bool
	numbers bool // some rule can match a JSON number
}

// Text redacts a text. Where it holds escapes of JSON strings, it is searched with
// and without them, so that they hide nothing.
func (r *Redactor) Text(s string) string {
	if r == nil || s == "" {
		return s
	}
	if out, changed := r.rewrite([]byte(s), false); changed {
		return string(out)
	}
	return s
}

// JSON redacts what the strings of body hold, not its member names; all else is left
// as it is, to the byte. A number that matches becomes a string. A string that holds
// JSON itself is searched as a text, with and without its own escapes; if it was JSON
// it is JSON still, unless a rule matches its syntax.
//
// What is no valid JSON is redacted so up to the first fault and as a text, member
// names included, from there on; a body that was cut is a case of that. What it lost
// may be what a rule would have known a secret by.
//
// A body in which nothing is redacted is returned itself, not a copy.
func (r *Redactor) JSON(body []byte) []byte {
	if r == nil {
		return body
	}
	out := body
	for range maxPasses {
		next, again := r.walk(out)
		if len(next) > grown(len(body)) {
			break
		}
		if out = next; !again {
			return out
		}
	}
	return []byte(`"` + mark(all) + `"`)
}

// walk redacts body once. Again says that something was redacted behind a fault of
// the JSON, so that it may be read another way now. It stops early when out has grown
// too much.
func (r *Redactor) walk(body []byte) (out []byte, again bool) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(body), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	done := 0 // up to here body is in out
	put := func(from, to int, text []byte) {
		out = append(append(out, body[done:from]...), text...)
		done = to
	}
	limit := grown(len(body))
	for {
		raw, err := r.next(dec, body)
		if errors.Is(err, io.EOF) {
			break
		}
		end := int(dec.InputOffset())
		if err != nil {
			if tail, changed := r.rewrite(body[end:], false); changed {
				put(end, len(body), tail)
				again = true
			}
			break
		}
		start := end - len(raw)
		switch kind := jsontext.Value(raw).Kind(); {
		case kind == '"':
			if text, changed := r.rewrite(raw[1:len(raw)-1], true); changed {
				put(start+1, end-1, text)
			}
		case kind == '0' && r.numbers:
			if text, changed := r.rewrite(raw, false); changed {
				put(start, end, append(append([]byte{'"'}, text...), '"'))
			}
		}
		if len(out) > limit {
			return out, false
		}
	}
	if done == 0 {
		return body, false
	}
	return append(out, body[done:]...), again
}

// errMark is of a mark that stands where a JSON array could begin.
var errMark = errors.New("a mark")

// next reads the next value that is a string or a number.
func (r *Redactor) next(dec *jsontext.Decoder, body []byte) (raw []byte, err error) {
	for {
		kind := dec.PeekKind()
		if kind == '"' || kind == '0' {
			value, err := dec.ReadValue()
			if err != nil {
				return nil, err
			}
			if parent, n := dec.StackIndex(dec.StackDepth()); parent == '{' && n%2 == 1 {
				continue // a name
			}
			return value, nil
		}
		if kind == '[' {
			at := int(dec.InputOffset())
			if begin := bytes.IndexByte(body[at:], '['); r.markAt(body[at+begin:]) > 0 {
				return nil, errMark
			}
		}
		if _, err := dec.ReadToken(); err != nil {
			return nil, err
		}
	}
}
