// Package capture reads answers for their traces: it puts the events of a stream
// together into the answer that the same request would have had without streaming, and
// reads what an answer says of itself.
package capture

import (
	"slices"
	"strings"

	"loom.internal/services/gateway/internal/sse"
)

const (
	maxName     = 512      // bytes of a name or an id
	maxUsage    = 16 << 10 // bytes of a usage object
	minAssembly = 4 << 10  // for the frame of an answer
)

// Stream takes the events of one streamed answer. What it keeps is bounded, whatever
// the provider sends.
type Stream interface {
	// Event takes the next event. It reports whether the event brought the client
	// something to read, and whether the stream ends with it.
	Event(e sse.Event) (token, last bool)
	// Ended reports whether the answer came to its end, so that a stream which ends
	// here is whole.
	Ended() bool
	// Summary is what the answer has said of itself so far.
	Summary() Summary
	// JSON is the answer so far, and whether some of it was left out for want of room.
	JSON() (answer []byte, truncated bool)
}

// Summary is what an answer says of itself beside its text.
type Summary struct {
	ID            string
	Model         string // as the provider says; empty when it does not
	ServiceTier   string
	Usage         []byte   // the provider's object, byte for byte; nil when none came
	FinishReasons []string // one for each choice that has ended, by index
	ToolNames     []string // each once, in the order they came
	Failed        bool     // it is or holds an error in spite of status 200
}

func (s *Summary) tool(name string) {
	if name != "" && len(s.ToolNames) < maxIndex && !slices.Contains(s.ToolNames, name) {
		s.ToolNames = append(s.ToolNames, name)
	}
}

// clip bounds a name or an id.
func clip(s string) string { return strings.Clone(s[:min(len(s), maxName)]) }

// room is what is left of the bytes that may be kept.
type room struct {
	left      int
	truncated bool
}

func newRoom(limit int) room { return room{left: max(limit-minAssembly, 0)} }

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
			r.truncated = true
			return strings.ToValidUTF8(s[:i], "")
		}
	}
	return s
}

func (r *room) charge(n int) bool {
	if r.left < n {
		r.left = 0 // nothing smaller may follow what was cut
		return false
	}
	r.left -= n
	return true
}
