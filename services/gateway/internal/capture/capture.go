// Package capture reads answers for their traces: it puts the events of a stream
// together into the answer that the same request would have had without streaming, and
// reads what an answer says of itself. Pictures and sound are not kept.
package capture

import (
	"slices"
	"strings"

	"loom.internal/services/gateway/internal/sse"
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

const (
	maxName  = 512      // bytes of a name or an id
	maxUsage = 16 << 10 // bytes of a usage object, and of an error
)

// describe takes over what an event or an answer says of itself; an empty field never
// resets one already seen.
func (s *Summary) describe(c *common, data []byte) {
	if s.ID == "" {
		s.ID = clip(string(c.ID))
	}
	if c.Model != "" && string(c.Model) != s.Model {
		s.Model = clip(string(c.Model))
	}
	if c.ServiceTier != "" && string(c.ServiceTier) != s.ServiceTier {
		s.ServiceTier = clip(string(c.ServiceTier))
	}
	if u := c.Usage.of(data); c.Usage.kind == '{' && len(u) <= maxUsage {
		s.Usage = append(s.Usage[:0], u...) // the last one counts, never the sum
	}
}

func (s *Summary) tool(name string) {
	if name != "" && len(s.ToolNames) < maxIndex && !slices.Contains(s.ToolNames, name) {
		s.ToolNames = append(s.ToolNames, name)
	}
}

// clip bounds a name or an id.
func clip(s string) string { return strings.Clone(strings.ToValidUTF8(s[:min(len(s), maxName)], "")) }
