// Package sse reads server-sent events.
package sse

import (
	"bytes"
	"errors"
	"slices"
)

// MaxEvent bounds one server-sent event, in bytes.
const MaxEvent = 32 << 20

// ErrEventTooLarge is Events.Feed's error for an event over MaxEvent.
var ErrEventTooLarge = errors.New("server-sent event over 32 MiB")

var (
	done = []byte("[DONE]")
	bom  = []byte("\xef\xbb\xbf")
)

// Event is one server-sent event. Its slices are good until the next Feed.
type Event struct {
	Raw  []byte // every byte of it, comments and the blank line that ends it included
	Name string // of its last "event:" line
	Data []byte // its "data:" lines joined by line feeds; nil without any
}

// Done reports whether the event is the end marker of a chat stream.
func (e Event) Done() bool { return bytes.Equal(bytes.TrimSpace(e.Data), done) }

// Events splits a stream into events, whatever the pieces it comes in. Lines may end
// in LF, CRLF or CR. The zero value is ready.
type Events struct {
	buf    []byte // the event begun, when it spans pieces
	line   int    // where in the event its last line begins
	pos    int    // how far the event has been searched for line ends
	skipLF bool   // the last byte was a CR that ended a line: an LF next belongs to it
	first  bool   // the first event has been seen
}

// Feed takes the next piece and calls f for every event that it completes. Joined, the
// Raw of all events and Rest are the stream itself.
func (p *Events) Feed(piece []byte, f func(Event) error) error {
	data, buffered := piece, len(p.buf) > 0
	if buffered {
		p.buf = append(p.buf, piece...)
		data = p.buf
	}
	for {
		size, ok := p.scan(data)
		if !ok {
			break
		}
		e := p.parse(data[:size])
		data = data[size:]
		p.line, p.pos = 0, 0
		if err := f(e); err != nil {
			return err
		}
	}
	if len(data) > MaxEvent {
		return ErrEventTooLarge
	}
	switch {
	case len(data) == 0:
		p.buf = p.buf[:0]
	case buffered:
		p.buf = p.buf[:copy(p.buf, data)]
	default:
		p.buf = append(p.buf[:0], data...)
	}
	if len(p.buf) == 0 && cap(p.buf) > 1<<20 {
		p.buf = nil // one huge event does not pin its memory
	}
	return nil
}

// Rest is the event begun and not ended.
func (p *Events) Rest() []byte { return p.buf }

// scan looks for the end of the event that data begins with. Between calls line and
// pos remember how far it came.
func (p *Events) scan(data []byte) (size int, ok bool) {
	for p.pos < len(data) {
		if p.skipLF {
			p.skipLF = false
			if data[p.pos] == '\n' {
				p.pos++
				p.line = p.pos
				continue
			}
		}
		n := lineEnd(data[p.pos:])
		if n < 0 {
			p.pos = len(data)
			break
		}
		end := p.pos + n
		blank := end == p.line
		p.pos = end + 1
		if data[end] == '\r' {
			if p.pos < len(data) && data[p.pos] == '\n' {
				p.pos++
			} else if p.pos == len(data) {
				p.skipLF = true
			}
		}
		p.line = p.pos
		if blank {
			return p.pos, true
		}
	}
	return 0, false
}

// lineEnd is the index of the first CR or LF; -1 without one.
func lineEnd(b []byte) int {
	lf := bytes.IndexByte(b, '\n')
	if lf >= 0 {
		b = b[:lf]
	}
	if cr := bytes.IndexByte(b, '\r'); cr >= 0 {
		return cr
	}
	return lf
}

// parse reads the fields of a whole event.
func (p *Events) parse(raw []byte) Event {
	e := Event{Raw: raw}
	rest := raw
	if !p.first {
		p.first = true
		rest = bytes.TrimPrefix(rest, bom)
	}
	lines, joined := 0, false
	for len(rest) > 0 {
		end := lineEnd(rest)
		if end < 0 {
			break
		}
		line := rest[:end]
		rest = rest[end+1:]
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "data":
			lines++
			switch {
			case lines == 1:
				e.Data = slices.Clip(value)
			case !joined: // leave the wire's bytes alone
				e.Data, joined = append(append(bytes.Clone(e.Data), '\n'), value...), true
			default:
				e.Data = append(append(e.Data, '\n'), value...)
			}
		case "event":
			e.Name = string(value)
		}
	}
	return e
}

// firstLines is where in an event its kind is told: bytes.
const firstLines = 256

// MayBecome is how many bytes at the end of an event begun are, or may become, a line
// with one of the given beginnings, and what follows it. Only the event's first lines
// are looked at.
func MayBecome(begun []byte, beginnings []string) int {
	head := begun[:min(len(begun), firstLines)]
	for at := 0; at < len(head); {
		for _, marker := range beginnings {
			if n := min(len(marker), len(head)-at); string(head[at:at+n]) == marker[:n] {
				return len(begun) - at
			}
		}
		n := lineEnd(head[at:])
		if n < 0 {
			break
		}
		at += n + 1
	}
	return 0
}
