package capture

import (
	"slices"

	"loom.internal/services/gateway/internal/lenient"
	"loom.internal/services/gateway/internal/sse"
)

// Chat puts a stream's chunks together into the answer that the same request would have
// had without streaming: a chat completion, or a completion of the older kind.
type Chat struct {
	base
	older       bool // choices have a text and no message
	created     int64
	fingerprint string
	choices     map[int64]*assembled
}

// assembled is one choice so far.
type assembled struct {
	role, finish                string
	content, refusal, reasoning text
	hasContent                  bool
	calls                       []*call
	function                    *call // the older function_call
	audio                       *audio
	probs                       [len(probNames)][]byte // entries of each list
}

// call is a tool call so far.
type call struct {
	index          int64
	id, kind, name string
	arguments      text
	custom         bool
}

// audio is spoken content so far. The sound itself is only measured.
type audio struct {
	id         string
	transcript text
	data       int
	expires    int64
}

// NewChat keeps at most about limit bytes of the answer.
func NewChat(limit int) *Chat {
	return &Chat{base: newBase(limit), choices: make(map[int64]*assembled)}
}

// NewCompletions is NewChat for completions of the older kind.
func NewCompletions(limit int) *Chat {
	a := NewChat(limit)
	a.older = true
	return a
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
	c := new(chunk)
	if !a.read(e, c, &c.common) {
		return false
	}
	if c.Created.N != 0 && a.created == 0 {
		a.created = c.Created.N
	}
	if a.fingerprint == "" {
		a.fingerprint = a.name(c.SystemFingerprint)
	}
	a.truncated = a.truncated || c.Choices.Over
	for i := range c.Choices.V {
		if a.choice(&c.Choices.V[i], int64(i), e.Data) {
			token = true
		}
	}
	return token
}

func (a *Chat) choice(c *choice, position int64, data []byte) (token bool) {
	index := position
	if c.Index.Set {
		index = max(c.Index.N, 0)
	}
	x := a.choices[index]
	if x == nil {
		if index >= maxIndex {
			a.truncated = true
			return false
		}
		if !a.charge(entryCost) {
			return false
		}
		x = new(assembled)
		a.choices[index] = x
	}
	if f := string(c.FinishReason); f != "" && f != x.finish {
		x.finish, a.ended = a.name(c.FinishReason), true
	}
	if c.Logprobs.kind == '{' {
		a.logprobs(x, c.Logprobs.of(data))
	}
	if a.older {
		a.add(&x.content, c.Text)
		return c.Text != ""
	}
	return a.delta(x, &c.Delta.V)
}

// logprobs adds the entries of every list to those of earlier chunks.
func (a *Chat) logprobs(x *assembled, data []byte) {
	var p probs
	if lenient.Unmarshal(data, &p) != nil {
		return
	}
	for i, list := range p.lists() {
		x.probs[i] = a.values(x.probs[i], data, list)
	}
}

func (a *Chat) delta(x *assembled, d *delta) (token bool) {
	if x.role == "" {
		x.role = a.name(d.Role)
	}
	if d.Content != "" {
		x.hasContent = true
	}
	a.add(&x.content, d.Content)
	a.add(&x.refusal, d.Refusal)
	thought := d.ReasoningContent
	if thought == "" {
		thought = d.Reasoning
	}
	a.add(&x.reasoning, thought)
	a.truncated = a.truncated || d.ToolCalls.Over
	for i := range d.ToolCalls.V {
		a.toolCall(x, &d.ToolCalls.V[i], int64(i))
	}
	if d.FunctionCall.Set {
		if x.function == nil {
			x.function = new(call)
		}
		a.callName(x.function, d.FunctionCall.V.Name)
		a.add(&x.function.arguments, d.FunctionCall.V.Arguments)
	}
	if d.Audio.Set {
		a.audio(x, &d.Audio.V)
	}
	return d.Content != "" || d.Refusal != "" || thought != "" || len(d.ToolCalls.V) > 0 || d.FunctionCall.Set ||
		d.Audio.V.Data.size() > 0 || d.Audio.V.Transcript != ""
}

func (a *Chat) audio(x *assembled, d *audioFragment) {
	if x.audio == nil {
		x.audio = new(audio)
	}
	if x.audio.id == "" {
		x.audio.id = a.name(d.ID)
	}
	if d.ExpiresAt.Set {
		x.audio.expires = d.ExpiresAt.N
	}
	x.audio.data += d.Data.size()
	a.add(&x.audio.transcript, d.Transcript)
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
		if index >= maxIndex || len(x.calls) >= maxIndex {
			a.truncated = true
			return
		}
		if !a.charge(entryCost) {
			return
		}
		at = len(x.calls)
		x.calls = append(x.calls, &call{index: index})
	}
	c := x.calls[at]
	if c.id == "" {
		c.id = a.name(t.ID)
	}
	if c.kind == "" {
		c.kind = a.name(t.Type)
	}
	a.callName(c, t.Function.V.Name)
	a.add(&c.arguments, t.Function.V.Arguments)
	if t.Custom.Set {
		c.custom = true
		a.callName(c, t.Custom.V.Name)
		a.add(&c.arguments, t.Custom.V.Input)
	}
}

// callName sets a call's name once: some providers repeat it in every fragment.
func (a *Chat) callName(c *call, name lenient.Str) {
	if c.name != "" || name == "" {
		return
	}
	c.name = a.name(name)
	a.sum.tool(clip(string(name)))
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
