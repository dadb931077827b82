package traffic

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"

	"loom.internal/pkg/event"
)

// object is JSON that keeps the order in which it is written.
type object []member

type member struct {
	name  string
	value any
}

// MarshalJSON implements json.Marshaler.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	for i, m := range o {
		b.WriteByte(map[bool]byte{true: '{', false: ','}[i == 0])
		if err := enc.Encode(m.name); err != nil {
			return nil, err
		}
		b.WriteByte(':')
		if err := enc.Encode(m.value); err != nil {
			return nil, err
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

func encode(o object) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(o); err != nil {
		panic(err) // texts, numbers and lists of them
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// bodies are what is said in the turn that a request is of, in the words of its endpoint.
func (s *script) bodies(r *Request) (request, response []byte) {
	all := s.conversation(r.seed, r.turn)
	before, answer := all[:len(all)-1], all[len(all)-1]
	if answer.call == "" && !s.json {
		answer.text = filled(answer.text, s.more, r.seed+uint64(r.turn), int(r.GetResponseBytes())-300) //nolint:gosec // small
	}
	said := 0
	for _, m := range before {
		said += len(m.text) + 40
	}
	system := filled(s.system, s.facts, r.seed, int(r.GetRequestBytes())-said)
	switch r.GetEndpoint() {
	case messages:
		request = s.askMessages(r, system, before)
	case responses:
		request = s.askResponses(r, system, before)
	case embeddings:
		text := filled(all[0].text, s.facts, r.seed, int(r.GetRequestBytes()))
		request = encode(object{{"model", r.GetModelRequested()}, {"input", []string{text}}, {"encoding_format", "float"}})
	default:
		request = s.askChat(r, system, before)
	}
	return request, s.answer(r, answer)
}

// answer is what came back: nothing from who did not answer, an error, or as much of the
// answer as came.
func (s *script) answer(r *Request, m message) []byte {
	outcome := r.GetOutcome()
	switch {
	case outcome == event.Outcome_OUTCOME_INTERRUPTED, r.GetHttpStatus() == statusGone:
		return nil
	case outcome == event.Outcome_OUTCOME_FAILED && r.GetErrorClass() != cut:
		return fault(r.GetErrorClass())
	case outcome != event.Outcome_OUTCOME_COMPLETED && len(m.text) > 0:
		part := []rune(m.text)
		m.text, m.call = string(part[:r.seed%uint64(len(part))]), ""
	}
	switch r.GetEndpoint() {
	case messages:
		return s.answerMessages(r, m)
	case responses:
		return s.answerResponses(r, m)
	case embeddings:
		return answerEmbeddings(r)
	default:
		return s.answerChat(r, m)
	}
}

func fault(class string) []byte {
	said, ok := map[string][3]string{
		rateLimited: {"Rate limit reached for requests. Please try again in 840ms.", "requests", "rate_limit_exceeded"},
		rejected:    {"The response was filtered due to the prompt triggering the content management policy.", "invalid_request_error", "content_filter"},
		failed:      {"The server had an error while processing your request. Sorry about that!", "server_error", ""},
	}[class]
	if !ok {
		return nil // no answer came
	}
	var code any
	if said[2] != "" {
		code = said[2]
	}
	return encode(object{{"error", object{{"message", said[0]}, {"type", said[1]}, {"param", nil}, {"code", code}}}})
}

// usageOf is the usage as it stands in an answer; null if there is none.
func usageOf(r *Request) json.RawMessage {
	if len(r.GetUsageRaw()) == 0 {
		return json.RawMessage("null")
	}
	return r.GetUsageRaw()
}

// finish is why the answer ended, nil if it did not.
func finish(r *Request) any {
	if len(r.GetFinishReasons()) == 0 {
		return nil
	}
	return r.GetFinishReasons()[0]
}

func answerID(prefix string, r *Request) string {
	return fmt.Sprintf("%s%016x%02d", prefix, r.seed, r.turn)
}

// tools are those that a script knows, each in the form that of gives it.
func (s *script) tools(of func(name string, parameters object) object) []object {
	var all []object
	for _, t := range s.topics {
		if t.tool != "" {
			all = append(all, of(t.tool, object{{"type", "object"}, {"additionalProperties", true}}))
		}
	}
	return all
}

func (s *script) askChat(r *Request, system string, before []message) []byte {
	list := []object{{{"role", "system"}, {"content", system}}}
	for _, m := range before {
		switch {
		case m.role == "tool":
			list = append(list, object{{"role", "tool"}, {"tool_call_id", m.call}, {"content", m.text}})
		case m.call != "":
			list = append(list, object{{"role", "assistant"}, {"content", nil}, {"tool_calls", []object{chatCall(m)}}})
		default:
			list = append(list, object{{"role", m.role}, {"content", m.text}})
		}
	}
	o := object{{"model", r.GetModelRequested()}, {"messages", list}, {"temperature", 0.2}}
	if r.GetStream() {
		o = append(o, member{"stream", true}, member{"stream_options", object{{"include_usage", true}}})
	}
	if s.json {
		o = append(o, member{"response_format", object{{"type", "json_object"}}})
	}
	if tools := s.tools(func(name string, parameters object) object {
		return object{{"type", "function"}, {"function", object{{"name", name}, {"parameters", parameters}}}}
	}); tools != nil {
		o = append(o, member{"tools", tools})
	}
	if len(r.GetTags()) > 0 {
		o = append(o, member{"metadata", r.GetTags()})
	}
	if r.GetEndUser() != "" {
		o = append(o, member{"user", r.GetEndUser()})
	}
	return encode(o)
}

func chatCall(m message) object {
	return object{{"id", m.call}, {"type", "function"}, {"function", object{{"name", m.step.tool}, {"arguments", m.text}}}}
}

func (s *script) answerChat(r *Request, m message) []byte {
	said := object{{"role", "assistant"}, {"content", m.text}}
	if m.call != "" {
		said = object{{"role", "assistant"}, {"content", nil}, {"tool_calls", []object{chatCall(m)}}}
	}
	return encode(object{
		{"id", answerID("chatcmpl-", r)},
		{"object", "chat.completion"},
		{"created", r.GetStartedAtUs() / 1e6},
		{"model", r.GetModelAnswered()},
		{"choices", []object{{{"index", 0}, {"message", said}, {"finish_reason", finish(r)}}}},
		{"usage", usageOf(r)},
	})
}

func (s *script) askMessages(r *Request, system string, before []message) []byte {
	var list []object
	for _, m := range before {
		switch {
		case m.role == "tool":
			list = append(list, object{{"role", "user"}, {"content", []object{{{"type", "tool_result"}, {"tool_use_id", m.call}, {"content", m.text}}}}})
		case m.call != "":
			list = append(list, object{{"role", "assistant"}, {"content", []object{toolUse(m)}}})
		default:
			list = append(list, object{{"role", m.role}, {"content", m.text}})
		}
	}
	o := object{
		{"model", r.GetModelRequested()},
		{"max_tokens", 4096},
		{"system", []object{{{"type", "text"}, {"text", system}, {"cache_control", object{{"type", "ephemeral"}}}}}},
		{"messages", list},
	}
	if r.GetStream() {
		o = append(o, member{"stream", true})
	}
	if tools := s.tools(func(name string, parameters object) object {
		return object{{"name", name}, {"input_schema", parameters}}
	}); tools != nil {
		o = append(o, member{"tools", tools})
	}
	if r.GetEndUser() != "" {
		o = append(o, member{"metadata", object{{"user_id", r.GetEndUser()}}})
	}
	return encode(o)
}

func toolUse(m message) object {
	return object{{"type", "tool_use"}, {"id", m.call}, {"name", m.step.tool}, {"input", json.RawMessage(m.text)}}
}

func (s *script) answerMessages(r *Request, m message) []byte {
	content := object{{"type", "text"}, {"text", m.text}}
	if m.call != "" {
		content = toolUse(m)
	}
	return encode(object{
		{"id", answerID("msg_", r)},
		{"type", "message"},
		{"role", "assistant"},
		{"model", r.GetModelAnswered()},
		{"content", []object{content}},
		{"stop_reason", finish(r)},
		{"stop_sequence", nil},
		{"usage", usageOf(r)},
	})
}

func (s *script) askResponses(r *Request, system string, before []message) []byte {
	var list []object
	for _, m := range before {
		switch {
		case m.role == "tool":
			list = append(list, object{{"type", "function_call_output"}, {"call_id", m.call}, {"output", m.text}})
		case m.call != "":
			list = append(list, functionCall(m))
		default:
			list = append(list, object{{"role", m.role}, {"content", m.text}})
		}
	}
	o := object{
		{"model", r.GetModelRequested()},
		{"instructions", system},
		{"input", list},
		{"reasoning", object{{"effort", "medium"}, {"summary", "auto"}}},
		{"store", false},
	}
	if r.GetStream() {
		o = append(o, member{"stream", true})
	}
	if tools := s.tools(func(name string, parameters object) object {
		return object{{"type", "function"}, {"name", name}, {"parameters", parameters}}
	}); tools != nil {
		o = append(o, member{"tools", tools})
	}
	return encode(append(o, member{"metadata", r.GetTags()}))
}

func functionCall(m message) object {
	return object{{"type", "function_call"}, {"call_id", m.call}, {"name", m.step.tool}, {"arguments", m.text}}
}

func (s *script) answerResponses(r *Request, m message) []byte {
	last := object{
		{"type", "message"},
		{"id", answerID("msg_", r)},
		{"status", "completed"},
		{"role", "assistant"},
		{"content", []object{{{"type", "output_text"}, {"text", m.text}, {"annotations", []string{}}}}},
	}
	if m.call != "" {
		last = functionCall(m)
	}
	thought := object{{"type", "reasoning"}, {"id", answerID("rs_", r)}, {"summary", []object{{
		{"type", "summary_text"}, {"text", "**Finding what is asked**\n\nI look at what the question takes for granted before I answer it."},
	}}}}
	return encode(object{
		{"id", answerID("resp_", r)},
		{"object", "response"},
		{"created_at", r.GetStartedAtUs() / 1e6},
		{"status", finish(r)},
		{"model", r.GetModelAnswered()},
		{"output", []object{thought, last}},
		{"usage", usageOf(r)},
	})
}

func answerEmbeddings(r *Request) []byte {
	rng := rand.New(rand.NewPCG(r.seed, 3)) //nolint:gosec // to be foreseen
	vector := make([]float32, 256)
	for i := range vector {
		vector[i] = float32(int(rng.NormFloat64()*4e5)) / 1e7
	}
	return encode(object{
		{"object", "list"},
		{"data", []object{{{"object", "embedding"}, {"index", 0}, {"embedding", vector}}}},
		{"model", r.GetModelAnswered()},
		{"usage", usageOf(r)},
	})
}
