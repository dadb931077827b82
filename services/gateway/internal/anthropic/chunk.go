package anthropic

import (
	"github.com/go-json-experiment/json/jsontext"

	"loom.internal/services/gateway/internal/lenient"
	"loom.internal/services/gateway/internal/sse"
)

// The types of events.
const (
	MessageStart = "message_start"
	MessageDelta = "message_delta"
	MessageStop  = "message_stop"
	BlockStart   = "content_block_start"
	BlockDelta   = "content_block_delta"
	BlockStop    = "content_block_stop"
	Failure      = "error"
)

// The types of content that the gateway knows by name.
const (
	TextBlock     = "text"
	ThinkingBlock = "thinking"
	ToolUse       = "tool_use"
)

// Chunk is one event of a stream.
type Chunk struct {
	Type    lenient.Str             `json:"type"`
	Message lenient.Object[Message] `json:"message"`
	Index   lenient.Integer         `json:"index"`
	Block   jsontext.Value          `json:"content_block"`
	Delta   lenient.Object[Delta]   `json:"delta"`
	Usage   jsontext.Value          `json:"usage"`
	Error   lenient.Object[Fault]   `json:"error"`
}

// Delta is what an event adds to a block or to the message.
type Delta struct {
	Type         lenient.Str    `json:"type"`
	Text         lenient.Str    `json:"text"`
	Thinking     lenient.Str    `json:"thinking"`
	Signature    lenient.Str    `json:"signature"`
	PartialJSON  lenient.Str    `json:"partial_json"`
	Citation     jsontext.Value `json:"citation"`
	StopReason   lenient.Str    `json:"stop_reason"`
	StopSequence lenient.Str    `json:"stop_sequence"`
}

// Message is a whole answer, or what a stream begins with. A stream's error and an
// error's body have its shape too, with nothing but Error.
type Message struct {
	Type         lenient.Str           `json:"type"`
	ID           lenient.Str           `json:"id"`
	Role         lenient.Str           `json:"role"`
	Model        lenient.Str           `json:"model"`
	Content      jsontext.Value        `json:"content"`
	StopReason   lenient.Str           `json:"stop_reason"`
	StopSequence lenient.Str           `json:"stop_sequence"`
	Usage        jsontext.Value        `json:"usage"`
	Error        lenient.Object[Fault] `json:"error"`
}

// Failed reports whether it is an error in the place of a message.
func (m *Message) Failed() bool { return m.Type == Failure || m.Error.Set }

// Fault is what an error says.
type Fault struct {
	Type    lenient.Str `json:"type"`
	Message lenient.Str `json:"message"`
}

// Block is a block of content, as far as the gateway reads it.
type Block struct {
	Type      lenient.Str    `json:"type"`
	ID        lenient.Str    `json:"id"`
	Name      lenient.Str    `json:"name"`
	Text      lenient.Str    `json:"text"`
	Thinking  lenient.Str    `json:"thinking"`
	Signature lenient.Str    `json:"signature"`
	Input     jsontext.Value `json:"input"`
}

// ReadChunk reads an event of a stream. The type that its data names goes before the
// name of the event.
func ReadChunk(e sse.Event) (*Chunk, error) {
	c := new(Chunk)
	err := lenient.Unmarshal(e.Data, c)
	if c.Type == "" || e.Name == Failure {
		c.Type = lenient.Str(e.Name)
	}
	if c.Error.Set {
		c.Type = Failure
	}
	return c, err
}

// ReadMessage reads a whole answer.
func ReadMessage(body []byte) (*Message, error) {
	m := new(Message)
	err := lenient.Unmarshal(body, m)
	return m, err
}

// ReadBlock reads a block; what is no object is one without a type.
func ReadBlock(raw jsontext.Value) *Block {
	b := new(Block)
	if raw.Kind() == '{' {
		_ = lenient.Unmarshal(raw, b) // it has been read before
	}
	return b
}

// EachBlock calls f for the blocks of a message's content, however many there are.
func EachBlock(content jsontext.Value, f func(*Block)) {
	if content.Kind() != '[' {
		return
	}
	dec := lenient.NewDecoder(content)
	if _, err := dec.ReadToken(); err != nil {
		return
	}
	for dec.PeekKind() != ']' {
		raw, err := dec.ReadValue()
		if err != nil {
			return
		}
		f(ReadBlock(raw))
	}
}
