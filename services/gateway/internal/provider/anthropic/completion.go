package anthropic

import (
	"net/http"
	"strconv"
	"strings"

	wire "loom.internal/services/gateway/internal/anthropic"
	"loom.internal/services/gateway/internal/lenient"
)

// translateMessage makes a chat completion of a whole message.
func translateMessage(source []byte, created int64) (body, usage []byte, err error) {
	m, err := wire.ReadMessage(source)
	switch {
	case err != nil:
		return nil, nil, errNotMessage
	case m.Failed(): // in spite of its status
		return chatFault(http.StatusInternalServerError, &m.Error.V).Body(), nil, nil
	}
	return appendCompletion(nil, m, created), wire.MergeUsage(nil, m.Usage), nil
}

// appendCompletion writes a message as a chat completion.
func appendCompletion(b []byte, m *wire.Message, created int64) []byte {
	var content, reasoning strings.Builder
	var calls []byte
	wire.EachBlock(m.Content, func(x *wire.Block) {
		switch x.Type {
		case wire.TextBlock:
			content.WriteString(string(x.Text))
		case wire.ThinkingBlock:
			reasoning.WriteString(string(x.Thinking))
		case wire.ToolUse:
			calls = appendToolCall(comma(calls), x)
		}
	})
	b = lenient.AppendText(append(b, `{"id":`...), string(m.ID))
	b = strconv.AppendInt(append(b, `,"object":"chat.completion","created":`...), created, 10)
	b = lenient.AppendText(append(b, `,"model":`...), string(m.Model))
	b = append(b, `,"choices":[{"index":0,"message":{"role":"assistant","content":`...)
	b = lenient.AppendNullable(b, content.String())
	b = append(b, `,"refusal":`...)
	if m.StopReason == "refusal" {
		b = lenient.AppendNullable(b, clipRefusal(content.String()))
	} else {
		b = append(b, "null"...)
	}
	if reasoning.Len() > 0 {
		b = lenient.AppendText(append(b, `,"reasoning_content":`...), reasoning.String())
	}
	if len(calls) > 0 {
		b = append(append(append(b, `,"tool_calls":[`...), calls...), ']')
	}
	b = lenient.AppendText(append(b, `},"logprobs":null,"finish_reason":`...), finishReason(string(m.StopReason)))
	b = append(b, "}]"...)
	counts := wire.ReadCounts(m.Usage)
	if tier := serviceTier(string(counts.ServiceTier)); tier != "" {
		b = lenient.AppendText(append(b, `,"service_tier":`...), tier)
	}
	if usage := chatUsage(counts); usage != nil {
		b = append(append(b, `,"usage":`...), usage...)
	}
	return append(b, '}')
}

// appendToolCall writes a tool call, whose arguments are the JSON of the input, byte for
// byte.
func appendToolCall(b []byte, x *wire.Block) []byte {
	input := "{}"
	if x.Input.Kind() == '{' {
		input = string(x.Input)
	}
	b = lenient.AppendText(append(b, `{"id":`...), string(x.ID))
	b = lenient.AppendText(append(b, `,"type":"function","function":{"name":`...), string(x.Name))
	return append(lenient.AppendText(append(b, `,"arguments":`...), input), "}}"...)
}

// maxRefusal bounds the text of an answer that is repeated as its refusal.
const maxRefusal = 16 << 10

// clipRefusal cuts a text to what is repeated of it.
func clipRefusal(s string) string {
	if len(s) <= maxRefusal {
		return s
	}
	return strings.ToValidUTF8(s[:maxRefusal], "")
}

// finishReason translates a stop reason; chat clients know no others.
func finishReason(stop string) string {
	switch stop {
	case "max_tokens", "model_context_window_exceeded":
		return "length"
	case wire.ToolUse:
		return "tool_calls"
	case "refusal":
		return "content_filter"
	default:
		return "stop"
	}
}

// serviceTier translates the tier that served the request.
func serviceTier(tier string) string {
	if tier == "standard" {
		return "default"
	}
	return tier
}

// chatUsage is a usage object in the terms of chat completions, where the input includes
// what was read from the cache and written to it; nil where there are no counts.
func chatUsage(c wire.Counts) []byte {
	if !c.Input.Set || !c.Output.Set || min(c.Input.N, c.Output.N, c.CacheRead.N, c.CacheWrite.N) < 0 {
		return nil
	}
	prompt := c.Input.N + c.CacheWrite.N + c.CacheRead.N
	b := strconv.AppendInt([]byte(`{"prompt_tokens":`), prompt, 10)
	b = strconv.AppendInt(append(b, `,"completion_tokens":`...), c.Output.N, 10)
	b = strconv.AppendInt(append(b, `,"total_tokens":`...), prompt+c.Output.N, 10)
	b = appendDetails(b, "prompt_tokens_details", detail{"cached_tokens", c.CacheRead}, detail{"cache_write_tokens", c.CacheWrite})
	reasoning := c.Details.V.Thinking
	if !reasoning.Set {
		reasoning = c.Details.V.Reasoning
	}
	return append(appendDetails(b, "completion_tokens_details", detail{"reasoning_tokens", reasoning}), '}')
}

type detail struct {
	name  string
	count lenient.Integer
}

// appendDetails writes those of the counts that there are.
func appendDetails(b []byte, name string, details ...detail) []byte {
	var inner []byte
	for _, d := range details {
		if d.count.Set {
			inner = strconv.AppendInt(append(lenient.AppendText(comma(inner), d.name), ':'), d.count.N, 10)
		}
	}
	if len(inner) == 0 {
		return b
	}
	b = append(lenient.AppendText(append(b, ','), name), `:{`...)
	return append(append(b, inner...), '}')
}
