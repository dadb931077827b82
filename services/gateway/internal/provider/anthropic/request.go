package anthropic

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"loom.internal/services/gateway/internal/lenient"
	"loom.internal/services/gateway/internal/openai"
	"loom.internal/services/gateway/internal/provider/call"
)

// chatRequest are the members of a chat completion request that have a meaning for
// Anthropic. Everything else, such as seed, logit_bias, logprobs or the penalties, has
// no counterpart and is left out, as in Anthropic's own compatibility layer.
type chatRequest struct {
	model, messages, tools, toolChoice, parallelToolCalls jsontext.Value
	maxTokens, maxCompletionTokens                        jsontext.Value
	stop, temperature, topP, n                            jsontext.Value
	reasoningEffort, responseFormat, user, serviceTier    jsontext.Value
	streamOptions, functions                              jsontext.Value
}

// translate makes the body of a messages request out of that of a chat completion.
func translate(r call.Request, maxTokens int) (body []byte, asksUsage bool, fault *openai.Error) {
	var q chatRequest
	fault = object(jsontext.Value(r.Body), "",
		field{"model", &q.model}, field{"messages", &q.messages},
		field{"tools", &q.tools}, field{"tool_choice", &q.toolChoice}, field{"parallel_tool_calls", &q.parallelToolCalls},
		field{"max_tokens", &q.maxTokens}, field{"max_completion_tokens", &q.maxCompletionTokens},
		field{"stop", &q.stop}, field{"temperature", &q.temperature}, field{"top_p", &q.topP}, field{"n", &q.n},
		field{"reasoning_effort", &q.reasoningEffort}, field{"response_format", &q.responseFormat},
		field{"user", &q.user}, field{"service_tier", &q.serviceTier},
		field{"stream_options", &q.streamOptions}, field{"functions", &q.functions},
	)
	if fault != nil {
		return nil, false, fault
	}
	if fault := q.judge(); fault != nil {
		return nil, false, fault
	}
	w := writer{q: &q, model: or(r.Model, lenient.Text(q.model)), stream: r.Stream}
	for _, step := range []func() *openai.Error{
		func() *openai.Error { return w.limit(maxTokens) },
		w.conversation, w.toolList, w.choice, w.sampling, w.thinking, w.output, w.rest,
	} {
		if fault := step(); fault != nil {
			return nil, false, fault
		}
	}
	if q.streamOptions.Kind() == '{' {
		var include jsontext.Value
		if fault := object(q.streamOptions, "stream_options", field{"include_usage", &include}); fault != nil {
			return nil, false, fault
		}
		asksUsage = include.Kind() == 't'
	}
	return w.body(), asksUsage, nil
}

// judge refuses what would be answered otherwise than asked.
func (q *chatRequest) judge() *openai.Error {
	if q.n != nil {
		n, fault := whole(q.n, "n")
		if fault != nil {
			return fault
		}
		if n != 1 {
			return openai.Invalid("n", "This model gives one choice only: leave 'n' out or set it to 1.")
		}
	}
	if q.functions != nil {
		return openai.Invalid("functions", "'functions' is not supported for this model: use 'tools'.")
	}
	if q.messages == nil {
		return openai.Invalid("messages", "You must provide messages.")
	}
	return nil
}

// writer gathers the members of the messages request.
type writer struct {
	q          *chatRequest
	model      string
	stream     bool
	maxTokens  int64
	system     []byte // text
	messages   []byte // entries
	toolLoop   bool   // the last turn of the assistant called tools
	tools      []byte // entries
	toolChoice string // type of tool_choice; empty without one
	thinks     bool
	members    []byte // everything else, each with a comma before it
	config     []byte // members of output_config
}

// body puts the request together.
func (w *writer) body() []byte {
	b := make([]byte, 0, len(w.messages)+len(w.system)+len(w.tools)+len(w.members)+len(w.config)+len(w.model)+256)
	b = lenient.AppendText(append(b, `{"model":`...), w.model)
	b = strconv.AppendInt(append(b, `,"max_tokens":`...), w.maxTokens, 10)
	if len(w.system) > 0 {
		b = lenient.AppendText(append(b, `,"system":`...), string(w.system))
	}
	b = append(append(append(b, `,"messages":[`...), w.messages...), ']')
	if len(w.tools) > 0 {
		b = append(append(append(b, `,"tools":[`...), w.tools...), ']')
	}
	b = append(b, w.members...)
	if len(w.config) > 0 {
		b = append(append(append(b, `,"output_config":{`...), w.config...), '}')
	}
	if w.stream {
		b = append(b, `,"stream":true`...)
	}
	return append(b, '}')
}

// member adds a member; value is JSON.
func (w *writer) member(name string, value []byte) {
	w.members = append(append(append(append(w.members, `,"`...), name...), `":`...), value...)
}

// limit finds max_tokens, which Anthropic requires.
func (w *writer) limit(byProvider int) *openai.Error {
	for _, m := range []struct {
		path  string
		value jsontext.Value
	}{{"max_completion_tokens", w.q.maxCompletionTokens}, {"max_tokens", w.q.maxTokens}} {
		if m.value == nil {
			continue
		}
		n, fault := whole(m.value, m.path)
		if fault == nil && n < 1 {
			fault = openai.Invalid(m.path, m.path+" must be at least 1.")
		}
		w.maxTokens = n
		return fault
	}
	if w.maxTokens = int64(byProvider); byProvider <= 0 {
		w.maxTokens = defaultMaxTokens(w.model)
	}
	return nil
}

// sampling translates stop, temperature and top_p.
func (w *writer) sampling() *openai.Error {
	if w.q.temperature != nil {
		f, fault := number(w.q.temperature, "temperature")
		if fault != nil {
			return fault
		}
		if f > 1 {
			w.q.temperature = jsontext.Value("1")
		}
	}
	if w.q.topP != nil {
		if _, fault := number(w.q.topP, "top_p"); fault != nil {
			return fault
		}
	}
	if w.q.stop == nil {
		return nil
	}
	var stops []byte
	add := func(v jsontext.Value, path string) *openai.Error {
		s, fault := text(v, path)
		if fault == nil && strings.TrimSpace(s) != "" { // Anthropic refuses those of white space alone
			stops = lenient.AppendText(comma(stops), s)
		}
		return fault
	}
	var fault *openai.Error
	if w.q.stop.Kind() == '[' {
		fault = each(w.q.stop, "stop", func(i int, v jsontext.Value) *openai.Error { return add(v, at("stop", i)) })
	} else {
		fault = add(w.q.stop, "stop")
	}
	if len(stops) > 0 {
		w.member("stop_sequences", slices.Concat([]byte{'['}, stops, []byte{']'}))
	}
	return fault
}

// output translates response_format.
func (w *writer) output() *openai.Error {
	if w.q.responseFormat == nil {
		return nil
	}
	var kind, schema jsontext.Value
	if fault := object(w.q.responseFormat, "response_format", field{"type", &kind}, field{"json_schema", &schema}); fault != nil {
		return fault
	}
	switch t := lenient.Text(kind); t {
	case "text":
		return nil
	case "json_schema":
		const path = "response_format.json_schema"
		var inner jsontext.Value
		if fault := object(schema, path, field{"schema", &inner}); fault != nil {
			return fault
		}
		if inner.Kind() != '{' {
			return openai.Invalid(path+".schema", path+".schema must be an object.")
		}
		w.config = append(append(append(comma(w.config), `"format":{"type":"json_schema","schema":`...), inner...), '}')
		return nil
	case "json_object":
		return openai.Invalid("response_format", "This model has no 'json_object' format: use 'json_schema' with a schema, or ask for JSON in the prompt.")
	default:
		return openai.Invalid("response_format.type", fmt.Sprintf("response_format.type '%s' is not supported for this model: use 'text' or 'json_schema'.", cut(t)))
	}
}

// rest translates what stands for itself, and writes what thinking had a say in.
func (w *writer) rest() *openai.Error {
	// A top_p of 1 is no limit; newer models refuse it beside a temperature.
	topP, temperature := w.q.topP, w.q.temperature
	if f, _ := strconv.ParseFloat(string(topP), 64); topP != nil && ((f >= 1 && temperature != nil) || (w.thinks && f < minThinkingTopP)) {
		topP = nil
	}
	if temperature != nil && !w.thinks { // thinking has no other than its own
		w.member("temperature", temperature)
	}
	if topP != nil {
		w.member("top_p", topP)
	}
	user, fault := text(w.q.user, "user")
	if fault != nil {
		return fault
	}
	if user != "" {
		w.member("metadata", append(lenient.AppendText([]byte(`{"user_id":`), user), '}'))
	}
	switch lenient.Text(w.q.serviceTier) {
	case "auto":
		w.member("service_tier", []byte(`"auto"`))
	case "default":
		w.member("service_tier", []byte(`"standard_only"`))
	}
	return nil
}

// cut bounds what of a request is repeated in a message.
func cut(s string) string {
	const limit = 64
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}
