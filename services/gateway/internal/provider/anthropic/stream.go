package anthropic

import (
	"io"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	wire "loom.internal/services/gateway/internal/anthropic"
	"loom.internal/services/gateway/internal/lenient"
	"loom.internal/services/gateway/internal/openai"
	"loom.internal/services/gateway/internal/sse"
)

const (
	maxName  = 512     // bytes of the id and of the model, which every chunk repeats
	maxCalls = 128     // tool calls of one answer: clients take no more
	keptOut  = 1 << 20 // an output buffer above is not kept for the next events
)

// stream reads a stream of Anthropic's as one of chat completion chunks. A read brings
// what the next piece of the provider's stream is worth: that may be nothing.
type stream struct {
	source    io.ReadCloser
	created   int64
	asksUsage bool // the client did

	events sse.Events
	out    []byte // translated
	sent   int    // of out

	id, model string
	begun     bool
	calls     map[int64]*toolCall // begun and not ended, by the index of the block
	called    int                 // tool calls so far
	text      strings.Builder     // what a refusal would repeat
	finished  bool                // a finish reason was sent
	ended     bool                // the end was sent: nothing follows
	failed    bool                // it was an error
	usage     jsontext.Value
	counted   bool   // the final counts came: the first ones hold a placeholder for the output
	tier      string // that served the request
}

type toolCall struct {
	index int  // among the tool calls
	given bool // it has arguments
	whole bool // they came with the block
}

// Read implements [io.Reader]. Before its end is sent, the provider's own is an error: a
// stream that breaks off must not look whole.
func (s *stream) Read(p []byte) (int, error) {
	if n := s.take(p); n > 0 || len(p) == 0 {
		return n, nil
	}
	if s.failed {
		return 0, io.EOF
	}
	n, err := s.source.Read(p) // p holds what comes, until it is translated
	if n > 0 {
		if fault := s.events.Feed(p[:n], s.event); fault != nil {
			return 0, fault
		}
	}
	if err == io.EOF && !s.ended {
		if s.finished {
			s.end()
		} else {
			err = io.ErrUnexpectedEOF
		}
	}
	if len(s.out) > 0 { // the error comes again
		return s.take(p), nil
	}
	return 0, err
}

// take gives what is translated.
func (s *stream) take(p []byte) int {
	n := copy(p, s.out[s.sent:])
	if s.sent += n; s.sent == len(s.out) {
		s.out, s.sent = s.out[:0], 0
		if cap(s.out) > keptOut {
			s.out = nil
		}
	}
	return n
}

// Close implements [io.Closer].
func (s *stream) Close() error { return s.source.Close() }

// event translates one event.
func (s *stream) event(e sse.Event) error {
	if s.ended || len(e.Data) == 0 {
		return nil
	}
	c, err := wire.ReadChunk(e)
	if err != nil {
		if e.Name == wire.Failure {
			s.fail(&wire.Fault{Type: "api_error", Message: "The provider broke off its answer."})
		}
		return nil
	}
	switch c.Type {
	case wire.MessageStart:
		s.begin(&c.Message.V)
	case wire.BlockStart:
		s.startBlock(c)
	case wire.BlockDelta:
		s.delta(c)
	case wire.BlockStop:
		s.stopBlock(c)
	case wire.MessageDelta:
		s.count(c.Usage)
		s.counted = s.counted || c.Usage.Kind() == '{'
		if stop := string(c.Delta.V.StopReason); stop != "" {
			s.finish(stop)
		}
	case wire.MessageStop:
		s.finish("")
		s.end()
	case wire.Failure:
		s.fail(&c.Error.V)
	}
	return nil
}

func (s *stream) begin(m *wire.Message) {
	if s.begun {
		return
	}
	s.begun = true
	s.id, s.model = clip(string(m.ID)), clip(string(m.Model))
	s.count(m.Usage)
	s.open()
	s.out = append(s.out, `{"role":"assistant","content":"","refusal":null}`...)
	s.shut("")
}

// total is the provider's usage object once it is final; nil before.
func (s *stream) total() []byte {
	if !s.counted {
		return nil
	}
	return s.usage
}

// count takes over the counts so far.
func (s *stream) count(later jsontext.Value) {
	s.usage = wire.MergeUsage(s.usage, later)
	if tier := wire.ReadCounts(later).ServiceTier; tier != "" {
		s.tier = serviceTier(clip(string(tier)))
	}
}

// startBlock begins a tool call; blocks of text and thinking begin with nothing to say,
// as a rule.
func (s *stream) startBlock(c *wire.Chunk) {
	x := wire.ReadBlock(c.Block)
	switch x.Type {
	case wire.TextBlock:
		s.say("content", string(x.Text))
	case wire.ThinkingBlock:
		s.say("reasoning_content", string(x.Thinking))
	case wire.ToolUse:
		if s.called == maxCalls || s.calls[c.Index.N] != nil {
			return
		}
		if s.calls == nil {
			s.calls = make(map[int64]*toolCall)
		}
		t := &toolCall{index: s.called}
		s.called++
		s.calls[c.Index.N] = t
		s.open()
		s.out = strconv.AppendInt(append(s.out, `{"tool_calls":[{"index":`...), int64(t.index), 10)
		s.out = lenient.AppendText(append(s.out, `,"id":`...), string(x.ID))
		s.out = lenient.AppendText(append(s.out, `,"type":"function","function":{"name":`...), string(x.Name))
		s.out = append(s.out, `,"arguments":""}}]}`...)
		s.shut("")
		if x.Input.Kind() == '{' && strings.TrimSpace(string(x.Input[1:len(x.Input)-1])) != "" {
			s.argue(t, string(x.Input))
			t.whole = true
		}
	}
}

func (s *stream) delta(c *wire.Chunk) {
	d := &c.Delta.V
	s.say("content", string(d.Text))
	s.say("reasoning_content", string(d.Thinking))
	if t := s.calls[c.Index.N]; t != nil && d.PartialJSON != "" && !t.whole {
		s.argue(t, string(d.PartialJSON))
	}
}

// stopBlock ends a tool call; one whose input never came has an empty one.
func (s *stream) stopBlock(c *wire.Chunk) {
	if t := s.calls[c.Index.N]; t != nil && !t.given {
		s.argue(t, "{}")
	}
	delete(s.calls, c.Index.N)
}

// say brings text of the answer or of its reasoning.
func (s *stream) say(member, text string) {
	if text == "" {
		return
	}
	if member == "content" && s.text.Len() < maxRefusal {
		s.text.WriteString(text[:min(len(text), maxRefusal-s.text.Len())])
	}
	s.open()
	s.out = append(append(append(s.out, `{"`...), member...), `":`...)
	s.out = append(lenient.AppendText(s.out, text), '}')
	s.shut("")
}

func (s *stream) argue(t *toolCall, arguments string) {
	t.given = true
	s.open()
	s.out = strconv.AppendInt(append(s.out, `{"tool_calls":[{"index":`...), int64(t.index), 10)
	s.out = append(lenient.AppendText(append(s.out, `,"function":{"arguments":`...), arguments), `}}]}`...)
	s.shut("")
}

// finish sends the finish reason, once.
func (s *stream) finish(stop string) {
	if s.finished {
		return
	}
	s.finished = true
	s.open()
	if refusal := strings.ToValidUTF8(s.text.String(), ""); stop == "refusal" && refusal != "" {
		s.out = append(lenient.AppendText(append(s.out, `{"refusal":`...), refusal), '}')
	} else {
		s.out = append(s.out, "{}"...)
	}
	s.shut(finishReason(stop))
}

// end sends the usage, if the client asked, and the end marker.
func (s *stream) end() {
	s.ended = true
	if usage := chatUsage(wire.ReadCounts(s.total())); s.asksUsage && usage != nil {
		s.head()
		s.out = append(append(append(s.out, `,"choices":[],"usage":`...), usage...), "}\n\n"...)
	}
	s.out = append(s.out, "data: [DONE]\n\n"...)
}

// fail ends the stream with an error instead.
func (s *stream) fail(f *wire.Fault) {
	s.ended, s.failed = true, true
	e := openai.Error{Type: "server_error", Code: string(f.Type), Message: string(f.Message)}
	s.out = append(s.out, e.Event()...)
}

// head begins a chunk.
func (s *stream) head() {
	s.out = lenient.AppendText(append(s.out, `data: {"id":`...), s.id)
	s.out = strconv.AppendInt(append(s.out, `,"object":"chat.completion.chunk","created":`...), s.created, 10)
	s.out = lenient.AppendText(append(s.out, `,"model":`...), s.model)
	if s.tier != "" {
		s.out = lenient.AppendText(append(s.out, `,"service_tier":`...), s.tier)
	}
}

// open begins a chunk with a delta, which is to be written next.
func (s *stream) open() {
	s.head()
	s.out = append(s.out, `,"choices":[{"index":0,"delta":`...)
}

// shut ends the chunk.
func (s *stream) shut(finish string) {
	s.out = lenient.AppendNullable(append(s.out, `,"logprobs":null,"finish_reason":`...), finish)
	s.out = append(s.out, "}]"...)
	if s.asksUsage {
		s.out = append(s.out, `,"usage":null`...)
	}
	s.out = append(s.out, "}\n\n"...)
}

func clip(s string) string { return strings.ToValidUTF8(s[:min(len(s), maxName)], "") }
