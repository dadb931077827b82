package openai

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Bounds of an assembled answer; a stream that goes beyond them is cut in the record
// only.
const (
	maxIndex    = 128 // choices of an answer, and tool calls of a choice
	maxUsage    = 16 << 10
	entryCost   = 160 // charged against the limit for the frame of a choice or a call
	minAssembly = 4 << 10
)

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

// Assembler puts a chat stream's chunks together into the answer that the same
// request would have had without streaming.
type Assembler struct {
	room      int
	truncated bool
	sum       Summary
	head      head
	choices   map[int64]*assembled
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

// NewAssembler keeps at most about limit bytes of the answer.
func NewAssembler(limit int) *Assembler {
	return &Assembler{room: max(limit-minAssembly, 0), choices: make(map[int64]*assembled)}
}

// Event takes the next event of the stream. It reports whether the event brought the
// client something to read: text, a refusal, reasoning, a tool call or audio.
// What is no chunk is passed over.
func (a *Assembler) Event(e Event) (token bool) {
	if len(e.Data) == 0 || e.Done() {
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
	if c.Created.n != 0 && a.head.created == 0 {
		a.head.created = c.Created.n
	}
	if a.head.fingerprint == "" {
		a.head.fingerprint = a.take(string(c.SystemFingerprint))
	}
	for i := range c.Choices.v {
		if a.choice(&c.Choices.v[i], int64(i)) {
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

func (a *Assembler) choice(c *choice, position int64) (token bool) {
	index := position
	if c.Index.set {
		index = max(c.Index.n, 0)
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
	if c.Logprobs.set {
		x.probs = a.values(x.probs, c.Logprobs.v.Content.v)
		x.refusalProbs = a.values(x.refusalProbs, c.Logprobs.v.Refusal.v)
	}
	d := &c.Delta.v
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
	for i := range d.ToolCalls.v {
		a.toolCall(x, &d.ToolCalls.v[i], int64(i))
	}
	if d.FunctionCall.set {
		if x.function == nil {
			x.function = new(call)
		}
		a.name(x.function, d.FunctionCall.v.Name)
		a.append(&x.function.arguments, d.FunctionCall.v.Arguments)
	}
	if d.Audio.set {
		if x.audioID == "" {
			x.audioID = clip(string(d.Audio.v.ID))
		}
		a.append(&x.audioTranscript, d.Audio.v.Transcript)
	}
	return d.Content != "" || d.Refusal != "" || thought != "" || len(d.ToolCalls.v) > 0 || d.FunctionCall.set ||
		d.Audio.v.Data != "" || d.Audio.v.Transcript != ""
}

// toolCall adds a fragment to the call it belongs to: by index, else by id, else by
// its position in the list.
func (a *Assembler) toolCall(x *assembled, t *toolCall, position int64) {
	index := position
	if t.Index.set {
		index = max(t.Index.n, 0)
	}
	at := slices.IndexFunc(x.calls, func(c *call) bool {
		if !t.Index.set && t.ID != "" {
			return c.id == string(t.ID)
		}
		return c.index == index
	})
	if at < 0 {
		if !t.Index.set && t.ID != "" {
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
	a.name(c, t.Function.v.Name)
	a.append(&c.arguments, t.Function.v.Arguments)
	if t.Custom.set {
		c.custom = true
		a.name(c, t.Custom.v.Name)
		a.append(&c.arguments, t.Custom.v.Input)
	}
}

// name sets a call's name once: some providers repeat it in every fragment.
func (a *Assembler) name(c *call, name str) {
	if c.name != "" || name == "" {
		return
	}
	c.name = clip(string(name))
	a.sum.tool(c.name)
}

func (s *Summary) tool(name string) {
	if name != "" && len(s.ToolNames) < maxIndex && !slices.Contains(s.ToolNames, name) {
		s.ToolNames = append(s.ToolNames, name)
	}
}

// append adds text as far as there is room for it.
func (a *Assembler) append(to *strings.Builder, s str) {
	if s != "" {
		to.WriteString(a.take(string(s)))
	}
}

// take gives s, or the part of it that fits, and charges for it as quoted in JSON.
func (a *Assembler) take(s string) string {
	for i := range len(s) {
		cost := 1
		switch c := s[i]; {
		case c < ' ':
			cost = 6
		case c == '"', c == '\\':
			cost = 2
		}
		if !a.charge(cost) {
			a.truncated = true
			return strings.ToValidUTF8(s[:i], "")
		}
	}
	return s
}

func (a *Assembler) charge(n int) bool {
	if a.room < n {
		a.room = 0 // nothing smaller may follow what was cut
		return false
	}
	a.room -= n
	return true
}

func (a *Assembler) values(to []byte, values []jsontext.Value) []byte {
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

// clip bounds a name or an id.
func clip(s string) string { return strings.Clone(s[:min(len(s), maxQuoted)]) }

// Ended reports whether some choice has its finish reason.
func (a *Assembler) Ended() bool {
	for _, x := range a.choices {
		if x.finish != "" {
			return true
		}
	}
	return false
}

// Summary is what the stream has said of itself so far.
func (a *Assembler) Summary() Summary {
	s := a.sum
	for _, index := range a.order() {
		if f := a.choices[index].finish; f != "" {
			s.FinishReasons = append(s.FinishReasons, f)
		}
	}
	return s
}

func (a *Assembler) order() []int64 {
	order := make([]int64, 0, len(a.choices))
	for index := range a.choices {
		order = append(order, index)
	}
	slices.Sort(order)
	return order
}

// JSON is the answer so far in the shape of a chat completion, and whether some of it
// was left out for want of room.
func (a *Assembler) JSON() (answer []byte, truncated bool) {
	b := appendText([]byte(`{"id":`), clip(a.sum.ID))
	b = strconv.AppendInt(append(b, `,"object":"chat.completion","created":`...), a.head.created, 10)
	b = appendText(append(b, `,"model":`...), clip(a.sum.Model))
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
	b = appendText(append(b, `,"message":{"role":`...), role)
	b = append(b, `,"content":`...)
	if x.hasContent {
		b = appendText(b, x.content.String())
	} else {
		b = append(b, "null"...)
	}
	b = appendMember(b, "refusal", x.refusal.String())
	b = appendMember(b, "reasoning_content", x.reasoning.String())
	if x.audioID != "" || x.audioTranscript.Len() > 0 {
		b = appendText(append(b, `,"audio":{"id":`...), x.audioID)
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
		b = appendText(append(b, `,"function_call":{"name":`...), x.function.name)
		b = append(appendText(append(b, `,"arguments":`...), x.function.arguments.String()), '}')
	}
	b = append(b, '}')
	if len(x.probs)+len(x.refusalProbs) > 0 {
		b = append(append(b, `,"logprobs":{"content":[`...), x.probs...)
		b = append(append(append(b, `],"refusal":[`...), x.refusalProbs...), "]}"...)
	}
	b = appendNullable(append(b, `,"finish_reason":`...), x.finish)
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
	b = appendText(append(b, `{"id":`...), c.id)
	b = appendText(append(b, `,"type":`...), kind)
	b = appendText(append(b, body...), c.name)
	return append(appendText(append(b, text...), c.arguments.String()), "}}"...)
}

func appendMember(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	return appendText(append(append(append(b, `,"`...), name...), `":`...), value)
}
