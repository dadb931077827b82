package anthropic

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	wire "loom.internal/services/gateway/internal/anthropic"
	"loom.internal/services/gateway/internal/lenient"
	"loom.internal/services/gateway/internal/openai"
	"loom.internal/services/gateway/internal/provider/call"
)

// Bounds of an answer that is translated in one piece.
const (
	maxAnswer = 64 << 20
	maxFault  = 4 << 20
)

var (
	errTooLarge   = errors.New("provider's answer is too large to translate")
	errEncoded    = errors.New("provider's answer has a content encoding that was not asked for")
	errNotMessage = errors.New("provider's answer is no message")
)

// answer makes resp the answer to a chat completion. What it is read as is told by its
// content type, whatever was asked for.
func answer(resp *call.Response, asksUsage bool) {
	h := resp.Header
	created := time.Now()
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		created = date
	}
	encoded := h.Get("Content-Encoding") != ""
	status := resp.StatusCode
	switch {
	case status >= 300 && status < http.StatusBadRequest:
		return // its body is not for the client
	case encoded:
		h.Del("Content-Encoding")
		resp.Body = &document{source: resp.Body, read: func(io.Reader) ([]byte, error) { return nil, errEncoded }}
	case status >= http.StatusBadRequest:
		resp.StatusCode = statusOf(status)
		resp.Status = strconv.Itoa(resp.StatusCode) + " " + http.StatusText(resp.StatusCode)
		resp.Body = &document{source: resp.Body, read: func(r io.Reader) ([]byte, error) { return readFault(r, status) }}
		resp.Usage = func() []byte { return nil }
	case isEventStream(h):
		s := &stream{source: resp.Body, created: created.Unix(), asksUsage: asksUsage}
		resp.Body, resp.Usage = s, func() []byte { return s.usage }
		h.Del("Content-Length")
		resp.ContentLength = -1
		return
	default:
		d := &document{source: resp.Body}
		var usage []byte
		d.read = func(r io.Reader) (b []byte, err error) {
			b, usage, err = readMessage(r, created.Unix())
			return b, err
		}
		resp.Body, resp.Usage = d, func() []byte { return usage }
	}
	h.Set("Content-Type", "application/json")
	h.Del("Content-Length")
	resp.ContentLength = -1
}

// document is a body that is translated in one piece, once it is read.
type document struct {
	source io.ReadCloser
	read   func(io.Reader) ([]byte, error)
	done   bool
	rest   []byte
	err    error
}

// Read implements [io.Reader].
func (d *document) Read(p []byte) (int, error) {
	if !d.done {
		d.rest, d.err = d.read(d.source)
		d.done = true
	}
	if len(d.rest) == 0 {
		if d.err != nil {
			return 0, d.err
		}
		return 0, io.EOF
	}
	n := copy(p, d.rest)
	d.rest = d.rest[n:]
	return n, nil
}

// Close implements [io.Closer].
func (d *document) Close() error { return d.source.Close() }

// readMessage translates a whole message.
func readMessage(r io.Reader, created int64) (body, usage []byte, err error) {
	source, err := readLimited(r, maxAnswer)
	if err != nil {
		return nil, nil, err
	}
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

func isEventStream(h http.Header) bool {
	mediaType, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	return err == nil && mediaType == "text/event-stream"
}

// readLimited reads all of r, and refuses what is too large.
func readLimited(r io.Reader, limit int) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	if err == nil && len(b) > limit {
		return nil, errTooLarge
	}
	return b, err
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

// statusOf is the status that a chat client gets for one of Anthropic's. Those that
// are about the gateway's own account become such that the proxy keeps them to itself.
func statusOf(status int) int {
	switch status {
	case http.StatusPaymentRequired:
		return http.StatusForbidden
	case wire.StatusOverloaded: // not one that IANA knows
		return http.StatusServiceUnavailable
	default:
		return status
	}
}

// readFault translates an error's body. What is no JSON stays as it is, for the proxy to
// make something of.
func readFault(r io.Reader, status int) ([]byte, error) {
	body, err := readLimited(r, maxFault)
	if err != nil {
		return nil, err
	}
	m, err := wire.ReadMessage(body)
	switch {
	case err != nil:
		return body, nil //nolint:nilerr // the proxy tells the client
	case !m.Error.Set:
		return openai.UpstreamNotJSON(statusOf(status), body).Body(), nil
	}
	return chatFault(status, &m.Error.V).Body(), nil
}

// chatFault translates an error of Anthropic's.
func chatFault(status int, f *wire.Fault) *openai.Error {
	e := &openai.Error{Status: statusOf(status), Type: "server_error", Code: string(f.Type), Message: string(f.Message)}
	switch f.Type {
	case "invalid_request_error":
		e.Type, e.Code = "invalid_request_error", ""
	case "request_too_large":
		e.Type = "invalid_request_error"
	case "not_found_error":
		e.Type, e.Code, e.Param = "invalid_request_error", "model_not_found", "model"
	case "rate_limit_error":
		e.Type, e.Code = "requests", "rate_limit_exceeded"
		if strings.Contains(e.Message, "token") {
			e.Type = "tokens"
		}
	case "authentication_error", "billing_error", "permission_error":
		e.Code = openai.CodeProviderAuth
	default:
		if status < http.StatusInternalServerError {
			e.Type = "invalid_request_error"
		}
	}
	return e
}
