package capture

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"loom.internal/services/gateway/internal/lenient"
	"loom.internal/services/gateway/internal/sse"
)

// Bounds of an assembled answer; a stream that goes beyond them is cut in the record
// only.
const (
	maxIndex  = 128 // choices of an answer, and tool calls of a choice
	entryCost = 160 // charged against the limit for the frame of a choice or a call
)

// Chat puts a chat stream's chunks together into the answer that the same
// request would have had without streaming.
type Chat struct {
	room
	sum     Summary
	head    head
	choices map[int64]*assembled
}

type head struct {
	created     int64
	fingerprint string
}

// assembled is one choice so far.
type assembled struct {
	role, finish                                 string
	content, refusal, reasoning, audioTranscript strings.Builder
	hasContent                                   bool
	audioID                                      string
	calls                                        []*call
	function                                     *call // the older function_call
	probs, refusalProbs                          []byte
}

// call is a tool call so far.
type call struct {
	index          int64
	id, kind, name string
	arguments      strings.Builder
	custom         bool
}

// NewChat keeps at most about limit bytes of the answer.
func NewChat(limit int) *Chat {
	return &Chat{room: newRoom(limit), choices: make(map[int64]*assembled)}
}

// Event implements [Stream]. What is no chunk is passed over.
func (a *Chat) Event(e sse.Event) (token, last bool) {
	if e.Done() {
		return false, true
	}
	return a.chunk(e), false
}

// chunk reports whether the event brought text, a refusal, reasoning, a tool call or
// audio.
func (a *Chat) chunk(e sse.Event) (token bool) {
	if len(e.Data) == 0 {
		return false
	}
	if e.Name == "error" {
		a.sum.Failed = true
	}
	c, err := decodeChunk(e.Data)
	if err != nil {
		return false
	}
	if c.failed() || c.Type == "error" {
		a.sum.Failed = true
	}
	a.sum.describe(c)
	if c.Created.N != 0 && a.head.created == 0 {
		a.head.created = c.Created.N
	}
	if a.head.fingerprint == "" {
		a.head.fingerprint = a.take(string(c.SystemFingerprint))
	}
	for i := range c.Choices.V {
		if a.choice(&c.Choices.V[i], int64(i)) {
			token = true
		}
	}
	return token
}

// describe takes over what a chunk or an answer says of itself; an empty field never
// resets one already seen.
func (s *Summary) describe(c *chunk) {
	if s.ID == "" {
		s.ID = string(c.ID)
	}
	if c.Model != "" {
		s.Model = string(c.Model)
	}
	if c.ServiceTier != "" {
		s.ServiceTier = string(c.ServiceTier)
	}
	if c.Usage.Kind() == '{' && len(c.Usage) <= maxUsage {
		s.Usage = bytes.Clone(c.Usage) // the last one counts, never the sum
	}
}

func (a *Chat) choice(c *choice, position int64) (token bool) {
	index := position
	if c.Index.Set {
		index = max(c.Index.N, 0)
	}
	x := a.choices[index]
	if x == nil {
		if index >= maxIndex || !a.charge(entryCost) {
			a.truncated = true
			return false
		}
		x = new(assembled)
		a.choices[index] = x
	}
	if c.FinishReason != "" {
		x.finish = clip(string(c.FinishReason))
	}
	if c.Logprobs.Set {
		x.probs = a.values(x.probs, c.Logprobs.V.Content.V)
		x.refusalProbs = a.values(x.refusalProbs, c.Logprobs.V.Refusal.V)
	}
	d := &c.Delta.V
	if x.role == "" {
		x.role = clip(string(d.Role))
	}
	if d.Content != "" {
		x.hasContent = true
	}
	a.append(&x.content, d.Content)
	a.append(&x.refusal, d.Refusal)
	thought := d.ReasoningContent
	if thought == "" {
		thought = d.Reasoning
	}
	a.append(&x.reasoning, thought)
	for i := range d.ToolCalls.V {
		a.toolCall(x, &d.ToolCalls.V[i], int64(i))
	}
	if d.FunctionCall.Set {
		if x.function == nil {
			x.function = new(call)
		}
		a.name(x.function, d.FunctionCall.V.Name)
		a.append(&x.function.arguments, d.FunctionCall.V.Arguments)
	}
	if d.Audio.Set {
		if x.audioID == "" {
			x.audioID = clip(string(d.Audio.V.ID))
		}
		a.append(&x.audioTranscript, d.Audio.V.Transcript)
	}
	return d.Content != "" || d.Refusal != "" || thought != "" || len(d.ToolCalls.V) > 0 || d.FunctionCall.Set ||
		d.Audio.V.Data != "" || d.Audio.V.Transcript != ""
}

// toolCall adds a fragment to the call it belongs to: by index, else by id, else by
// its position in the list.
func (a *Chat) toolCall(x *assembled, t *toolCall, position int64) {
	index := position
	if t.Index.Set {
		index = max(t.Index.N, 0)
	}
	at := slices.IndexFunc(x.calls, func(c *call) bool {
		if !t.Index.Set && t.ID != "" {
			return c.id == string(t.ID)
		}
		return c.index == index
	})
	if at < 0 {
		if !t.Index.Set && t.ID != "" {
			index = int64(len(x.calls))
		}
		if index >= maxIndex || !a.charge(entryCost) {
			a.truncated = true
			return
		}
		at = len(x.calls)
		x.calls = append(x.calls, &call{index: index})
	}
	c := x.calls[at]
	if c.id == "" {
		c.id = clip(string(t.ID))
	}
	if c.kind == "" {
		c.kind = clip(string(t.Type))
	}
	a.name(c, t.Function.V.Name)
	a.append(&c.arguments, t.Function.V.Arguments)
	if t.Custom.Set {
		c.custom = true
		a.name(c, t.Custom.V.Name)
		a.append(&c.arguments, t.Custom.V.Input)
	}
}

// name sets a call's name once: some providers repeat it in every fragment.
func (a *Chat) name(c *call, name lenient.Str) {
	if c.name != "" || name == "" {
		return
	}
	c.name = clip(string(name))
	a.sum.tool(c.name)
}

// append adds text as far as there is room for it.
func (a *Chat) append(to *strings.Builder, s lenient.Str) {
	if s != "" {
		to.WriteString(a.take(string(s)))
	}
}

func (a *Chat) values(to []byte, values []jsontext.Value) []byte {
	for _, v := range values {
		if !a.charge(len(v) + 1) {
			a.truncated = true
			return to
		}
		if len(to) > 0 {
			to = append(to, ',')
		}
		to = append(to, v...)
	}
	return to
}

// Ended implements [Stream]: some choice has its finish reason.
func (a *Chat) Ended() bool {
	for _, x := range a.choices {
		if x.finish != "" {
			return true
		}
	}
	return false
}

// Summary implements [Stream].
func (a *Chat) Summary() Summary {
	s := a.sum
	for _, index := range a.order() {
		if f := a.choices[index].finish; f != "" {
			s.FinishReasons = append(s.FinishReasons, f)
		}
	}
	return s
}

func (a *Chat) order() []int64 {
	order := make([]int64, 0, len(a.choices))
	for index := range a.choices {
		order = append(order, index)
	}
	slices.Sort(order)
	return order
}

// JSON implements [Stream]: the answer is in the shape of a chat completion.
func (a *Chat) JSON() (answer []byte, truncated bool) {
	b := lenient.AppendText([]byte(`{"id":`), clip(a.sum.ID))
	b = strconv.AppendInt(append(b, `,"object":"chat.completion","created":`...), a.head.created, 10)
	b = lenient.AppendText(append(b, `,"model":`...), clip(a.sum.Model))
	b = append(b, `,"choices":[`...)
	for i, index := range a.order() {
		if i > 0 {
			b = append(b, ',')
		}
		b = a.choices[index].appendJSON(b, index)
	}
	b = append(b, ']')
	b = appendMember(b, "service_tier", clip(a.sum.ServiceTier))
	b = appendMember(b, "system_fingerprint", a.head.fingerprint)
	if a.sum.Usage != nil {
		b = append(append(b, `,"usage":`...), a.sum.Usage...)
	}
	return append(b, '}'), a.truncated
}

func (x *assembled) appendJSON(b []byte, index int64) []byte {
	b = strconv.AppendInt(append(b, `{"index":`...), index, 10)
	role := x.role
	if role == "" {
		role = "assistant"
	}
	b = lenient.AppendText(append(b, `,"message":{"role":`...), role)
	b = append(b, `,"content":`...)
	if x.hasContent {
		b = lenient.AppendText(b, x.content.String())
	} else {
		b = append(b, "null"...)
	}
	b = appendMember(b, "refusal", x.refusal.String())
	b = appendMember(b, "reasoning_content", x.reasoning.String())
	if x.audioID != "" || x.audioTranscript.Len() > 0 {
		b = lenient.AppendText(append(b, `,"audio":{"id":`...), x.audioID)
		b = append(appendMember(b, "transcript", x.audioTranscript.String()), '}')
	}
	if len(x.calls) > 0 {
		b = append(b, `,"tool_calls":[`...)
		slices.SortStableFunc(x.calls, func(a, b *call) int { return int(a.index - b.index) })
		for i, c := range x.calls {
			if i > 0 {
				b = append(b, ',')
			}
			b = c.appendJSON(b)
		}
		b = append(b, ']')
	}
	if x.function != nil {
		b = lenient.AppendText(append(b, `,"function_call":{"name":`...), x.function.name)
		b = append(lenient.AppendText(append(b, `,"arguments":`...), x.function.arguments.String()), '}')
	}
	b = append(b, '}')
	if len(x.probs)+len(x.refusalProbs) > 0 {
		b = append(append(b, `,"logprobs":{"content":[`...), x.probs...)
		b = append(append(append(b, `],"refusal":[`...), x.refusalProbs...), "]}"...)
	}
	b = lenient.AppendNullable(append(b, `,"finish_reason":`...), x.finish)
	return append(b, '}')
}

func (c *call) appendJSON(b []byte) []byte {
	kind, body, text := c.kind, `,"function":{"name":`, `,"arguments":`
	if c.custom {
		body, text = `,"custom":{"name":`, `,"input":`
	}
	if kind == "" {
		kind = "function"
	}
	b = lenient.AppendText(append(b, `{"id":`...), c.id)
	b = lenient.AppendText(append(b, `,"type":`...), kind)
	b = lenient.AppendText(append(b, body...), c.name)
	return append(lenient.AppendText(append(b, text...), c.arguments.String()), "}}"...)
}

func appendMember(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	return lenient.AppendText(append(append(append(b, `,"`...), name...), `":`...), value)
}
