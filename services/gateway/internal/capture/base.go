package capture

import (
	"bytes"

	"loom.internal/services/gateway/internal/lenient"
	"loom.internal/services/gateway/internal/sse"
)

// common is what events and answers of every endpoint may say.
type common struct {
	Type        lenient.Str `json:"type"`
	ID          lenient.Str `json:"id"`
	Model       lenient.Str `json:"model"`
	ServiceTier lenient.Str `json:"service_tier"`
	Usage       span        `json:"usage"`
	Error       span        `json:"error"`
}

// failed reports whether it is an error: of the kind that says so, or of the one that
// holds it.
func (c *common) failed() bool { return c.Type == "error" || c.Error.present() }

// base is what the readers of streams have in common.
type base struct {
	room
	sum   Summary
	fault []byte // the first error, as the provider put it
	ended bool
}

func newBase(limit int) base { return base{room: newRoom(limit)} }

// Ended implements [Stream].
func (b *base) Ended() bool { return b.ended }

// Summary implements [Stream].
func (b *base) Summary() Summary { return b.sum }

// read decodes an event into v, whose common part c is, and takes note of what it says
// of the answer. What is no object is passed over; of an error even that is kept.
func (b *base) read(e sse.Event, v any, c *common) bool {
	if len(e.Data) == 0 {
		return false
	}
	err := lenient.Unmarshal(e.Data, v)
	switch {
	case err != nil && e.Name == "error":
		b.fail(lenient.AppendText(nil, string(e.Data[:min(len(e.Data), maxName)])))
	case err != nil:
	case c.Error.present():
		b.fail(c.Error.of(e.Data))
	case c.Type == "error", e.Name == "error":
		b.fail(e.Data)
	}
	if err != nil {
		return false
	}
	b.sum.describe(c, e.Data)
	return true
}

// fail notes an error, a JSON value.
func (b *base) fail(value []byte) {
	if b.fault == nil && len(value) <= maxUsage && b.charge(len(value)) {
		b.fault = bytes.Clone(bytes.TrimSpace(value))
	}
	b.sum.Failed = true
}

// end appends the members that close an answer of any form.
func (b *base) end(out []byte) []byte {
	out = appendMember(out, "service_tier", b.sum.ServiceTier)
	out = appendRaw(out, "usage", b.sum.Usage)
	out = appendRaw(out, "error", b.fault)
	return append(out, '}')
}

// appendMember appends a member with a string as value, unless it is empty.
func appendMember(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	return lenient.AppendText(append(append(append(b, `,"`...), name...), `":`...), value)
}

// appendRaw appends a member with JSON as value, unless there is none.
func appendRaw(b []byte, name string, value []byte) []byte {
	if len(value) == 0 {
		return b
	}
	return append(append(append(append(b, `,"`...), name...), `":`...), value...)
}

// appendList appends a member whose value is the array of the given entries, which are
// joined by commas already, unless there are none.
func appendList(b []byte, name string, entries []byte) []byte {
	if len(entries) == 0 {
		return b
	}
	return append(append(append(append(append(b, `,"`...), name...), `":[`...), entries...), ']')
}
