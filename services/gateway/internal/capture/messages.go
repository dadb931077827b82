package capture

import (
	"bytes"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"loom.internal/services/gateway/internal/anthropic"
	"loom.internal/services/gateway/internal/lenient"
	"loom.internal/services/gateway/internal/sse"
)

// Messages puts a stream of Anthropic's messages API together into the message that
// the same request would have had without streaming.
type Messages struct {
	room
	sum          Summary
	role         string
	stopReason   string
	stopSequence string
	stopped      bool   // message_stop came
	counted      bool   // so did the final counts: the first ones hold a placeholder for the output
	fault        []byte // the first error, as the provider put it
	blocks       map[int64]*block
}

// maxBlocks bounds the blocks of one message; a long run of a provider's own tools has
// many of them.
const maxBlocks = 4096

// block is one block of content so far: what it began with, and what was added.
type block struct {
	start     jsontext.Value
	kind      string
	text      strings.Builder
	thinking  strings.Builder
	signature string
	input     strings.Builder // as JSON in the making
	citations []byte          // values with commas between them
}

// NewMessages keeps at most about limit bytes of the answer.
func NewMessages(limit int) *Messages {
	return &Messages{room: newRoom(limit), blocks: make(map[int64]*block)}
}

// Event implements [Stream]. What is no event of a message is passed over.
func (a *Messages) Event(e sse.Event) (token, last bool) {
	if len(e.Data) == 0 {
		return false, false
	}
	c, err := anthropic.ReadChunk(e)
	if err != nil {
		if e.Name == anthropic.Failure {
			a.fail(lenient.AppendText(nil, string(e.Data[:min(len(e.Data), maxName)])))
		}
		return false, false
	}
	switch c.Type {
	case anthropic.MessageStart:
		a.begin(&c.Message.V)
	case anthropic.BlockStart:
		a.start(c)
	case anthropic.BlockDelta:
		return a.delta(c), false
	case anthropic.MessageDelta:
		if d := &c.Delta.V; d.StopReason != "" {
			a.stopReason, a.stopSequence = clip(string(d.StopReason)), clip(string(d.StopSequence))
		}
		a.sum.messageUsage(c.Usage)
		a.counted = a.counted || c.Usage.Kind() == '{'
	case anthropic.MessageStop:
		a.stopped = true
		return false, true
	case anthropic.Failure:
		a.fail(e.Data)
	}
	return false, false
}

// fail notes an error, a JSON value; the first one is kept.
func (a *Messages) fail(value []byte) {
	if a.fault == nil && len(value) <= maxUsage && a.charge(len(value)) {
		a.fault = bytes.Clone(bytes.TrimSpace(value))
	}
	a.sum.Failed = true
}

func (a *Messages) begin(m *anthropic.Message) {
	a.sum.ID, a.sum.Model, a.role = clip(string(m.ID)), clip(string(m.Model)), clip(string(m.Role))
	a.sum.messageUsage(m.Usage)
}

// messageUsage takes over the counts, which are cumulative.
func (s *Summary) messageUsage(later jsontext.Value) {
	s.Usage = anthropic.MergeUsage(s.Usage, later)
	if tier := anthropic.ReadCounts(later).ServiceTier; tier != "" {
		s.ServiceTier = clip(string(tier))
	}
}

// start begins a block; one that began before keeps what it has.
func (a *Messages) start(c *anthropic.Chunk) {
	index := max(c.Index.N, 0)
	if a.blocks[index] != nil || c.Block.Kind() != '{' {
		return
	}
	if index >= maxBlocks || !a.charge(entryCost+len(c.Block)) {
		a.truncated = true
		return
	}
	b := anthropic.ReadBlock(c.Block)
	x := &block{start: c.Block, kind: string(b.Type), signature: string(b.Signature)}
	// What the block begins with has been charged.
	x.text.WriteString(string(b.Text))
	x.thinking.WriteString(string(b.Thinking))
	a.blocks[index] = x
	a.sum.tool(toolName(b))
}

// toolName is the tool that a block calls, be it the client's or the provider's own.
func toolName(b *anthropic.Block) string {
	if strings.HasSuffix(string(b.Type), anthropic.ToolUse) {
		return clip(string(b.Name))
	}
	return ""
}

// delta reports whether the event brought text, thinking or a tool's input.
func (a *Messages) delta(c *anthropic.Chunk) (token bool) {
	d := &c.Delta.V
	token = d.Text != "" || d.Thinking != "" || d.PartialJSON != ""
	x := a.blocks[max(c.Index.N, 0)]
	if x == nil {
		a.truncated = a.truncated || token
		return token
	}
	x.text.WriteString(a.take(string(d.Text)))
	x.thinking.WriteString(a.take(string(d.Thinking)))
	x.input.WriteString(a.take(string(d.PartialJSON)))
	if d.Signature != "" {
		x.signature = a.take(string(d.Signature)) // it comes in one piece
	}
	if d.Citation.Kind() == '{' {
		if !a.charge(len(d.Citation) + 1) {
			a.truncated = true
			return token
		}
		if len(x.citations) > 0 {
			x.citations = append(x.citations, ',')
		}
		x.citations = append(x.citations, d.Citation...)
	}
	return token
}

// Ended implements [Stream]: it has its stop reason.
func (a *Messages) Ended() bool { return a.stopped || a.stopReason != "" }

// Summary implements [Stream].
func (a *Messages) Summary() Summary {
	s := a.sum
	if !a.counted {
		s.Usage = nil
	}
	if a.stopReason != "" {
		s.FinishReasons = []string{a.stopReason}
	}
	return s
}

// JSON implements [Stream]: the answer is in the shape of a message.
func (a *Messages) JSON() (answer []byte, truncated bool) {
	role := a.role
	if role == "" {
		role = "assistant"
	}
	b := lenient.AppendText([]byte(`{"id":`), a.sum.ID)
	b = lenient.AppendText(append(b, `,"type":"message","role":`...), role)
	b = lenient.AppendText(append(b, `,"model":`...), a.sum.Model)
	b = append(b, `,"content":[`...)
	indices := make([]int64, 0, len(a.blocks))
	for index := range a.blocks {
		indices = append(indices, index)
	}
	slices.Sort(indices)
	for i, index := range indices {
		if i > 0 {
			b = append(b, ',')
		}
		b = a.blocks[index].appendJSON(b)
	}
	b = lenient.AppendNullable(append(b, `],"stop_reason":`...), a.stopReason)
	b = lenient.AppendNullable(append(b, `,"stop_sequence":`...), a.stopSequence)
	if a.counted && a.sum.Usage != nil {
		b = append(append(b, `,"usage":`...), a.sum.Usage...)
	}
	if a.fault != nil {
		b = append(append(b, `,"error":`...), a.fault...)
	}
	return append(b, '}'), a.truncated
}

// appendJSON writes the members that the block began with, and in the place of those
// that came piece by piece what they have become.
func (x *block) appendJSON(b []byte) []byte {
	added := map[string]bool{
		anthropic.TextBlock: x.text.Len() > 0, anthropic.ThinkingBlock: x.thinking.Len() > 0,
		"signature": x.signature != "", "input": x.input.Len() > 0, "citations": len(x.citations) > 0,
	}
	b = append(b, '{')
	first := len(b)
	member := func(name string) {
		if len(b) > first {
			b = append(b, ',')
		}
		b = append(lenient.AppendText(b, name), ':')
	}
	dec := lenient.NewDecoder(x.start)
	_ = lenient.EachMember(dec, func(name string) error { // the object has been read before
		value, err := dec.ReadValue()
		if err == nil && !added[name] {
			member(name)
			b = append(b, value...)
		}
		return err
	})
	for _, m := range []struct{ name, value string }{
		{anthropic.TextBlock, x.text.String()}, {anthropic.ThinkingBlock, x.thinking.String()}, {"signature", x.signature},
	} {
		if m.value != "" {
			member(m.name)
			b = lenient.AppendText(b, m.value)
		}
	}
	if added["input"] {
		input := jsontext.Value(x.input.String())
		if input.IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) {
			member("input")
			b = append(b, input...)
		} else {
			member("partial_json")
			b = lenient.AppendText(b, string(input))
		}
	}
	if added["citations"] {
		member("citations")
		b = append(append(append(b, '['), x.citations...), ']')
	}
	return append(b, '}')
}

// SummarizeMessages reads what a whole message says of itself. Any other answer, such
// as a count of tokens, has an empty summary.
func SummarizeMessages(body []byte) Summary {
	var s Summary
	m, err := anthropic.ReadMessage(body)
	if err != nil {
		return s
	}
	s.ID, s.Model, s.Failed = clip(string(m.ID)), clip(string(m.Model)), m.Failed()
	s.messageUsage(m.Usage)
	if m.StopReason != "" {
		s.FinishReasons = []string{clip(string(m.StopReason))}
	}
	anthropic.EachBlock(m.Content, func(b *anthropic.Block) { s.tool(toolName(b)) })
	return s
}
