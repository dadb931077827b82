package capture

import (
	"slices"
	"strconv"

	"loom.internal/services/gateway/internal/lenient"
)

// JSON implements [Stream]: the answer is in the shape of a chat completion, or of a
// completion of the older kind.
func (a *Chat) JSON() (answer []byte, truncated bool) {
	object := "chat.completion"
	if a.older {
		object = "text_completion"
	}
	b := lenient.AppendText([]byte(`{"id":`), a.sum.ID)
	b = appendMember(b, "object", object)
	b = strconv.AppendInt(append(b, `,"created":`...), a.created, 10)
	b = lenient.AppendText(append(b, `,"model":`...), a.sum.Model)
	b = append(b, `,"choices":[`...)
	for i, index := range a.order() {
		if i > 0 {
			b = append(b, ',')
		}
		b = a.choices[index].appendJSON(b, index, a.older)
	}
	b = appendMember(append(b, ']'), "system_fingerprint", a.fingerprint)
	return a.end(b), a.truncated
}

func (x *assembled) appendJSON(b []byte, index int64, older bool) []byte {
	b = strconv.AppendInt(append(b, `{"index":`...), index, 10)
	if older {
		b = lenient.AppendText(append(b, `,"text":`...), x.content.String())
	} else {
		b = x.appendMessage(append(b, `,"message":`...))
	}
	b = x.appendProbs(b)
	b = lenient.AppendNullable(append(b, `,"finish_reason":`...), x.finish)
	return append(b, '}')
}

func (x *assembled) appendMessage(b []byte) []byte {
	role := x.role
	if role == "" {
		role = "assistant"
	}
	b = lenient.AppendText(append(b, `{"role":`...), role)
	b = append(b, `,"content":`...)
	if x.hasContent {
		b = lenient.AppendText(b, x.content.String())
	} else {
		b = append(b, "null"...)
	}
	b = appendMember(b, "refusal", x.refusal.String())
	b = appendMember(b, "reasoning_content", x.reasoning.String())
	if x.audio != nil {
		b = x.audio.appendJSON(append(b, `,"audio":`...))
	}
	if len(x.calls) > 0 {
		b = append(b, `,"tool_calls":[`...)
		order := slices.Clone(x.calls)
		slices.SortStableFunc(order, func(a, b *call) int { return int(a.index - b.index) })
		for i, c := range order {
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

func (s *audio) appendJSON(b []byte) []byte {
	b = lenient.AppendText(append(b, `{"id":`...), s.id)
	if s.data > 0 {
		b = appendMember(b, "data", leftOut(s.data))
	}
	if s.expires != 0 {
		b = strconv.AppendInt(append(b, `,"expires_at":`...), s.expires, 10)
	}
	return append(appendMember(b, "transcript", s.transcript.String()), '}')
}

// appendProbs appends the lists of log probabilities that have entries.
func (x *assembled) appendProbs(b []byte) []byte {
	var lists []byte
	for i, name := range probNames {
		lists = appendList(lists, name, x.probs[i])
	}
	if len(lists) == 0 {
		return b
	}
	return append(append(append(b, `,"logprobs":{`...), lists[1:]...), '}')
}
