package anthropic

import (
	"bytes"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"

	"loom.internal/services/gateway/internal/lenient"
	"loom.internal/services/gateway/internal/openai"
)

// message are the members of a chat message that are translated.
type message struct {
	path                                          string
	role, content, toolCalls, toolCallID, refusal jsontext.Value
	audio, functionCall                           jsontext.Value
}

// turn is what the user's side says between two messages of the assistant: the results
// of tools, which Anthropic wants first, and everything else.
type turn struct {
	results, blocks []byte
	only            jsontext.Value // the content of a single message that is a string
	messages        int
}

// conversation translates messages.
func (w *writer) conversation() *openai.Error {
	var user turn
	fault := each(w.q.messages, "messages", func(i int, v jsontext.Value) *openai.Error {
		m := message{path: at("messages", i)}
		fault := object(v, m.path,
			field{"role", &m.role}, field{"content", &m.content}, field{"tool_calls", &m.toolCalls},
			field{"tool_call_id", &m.toolCallID}, field{"refusal", &m.refusal}, field{"audio", &m.audio},
			field{"function_call", &m.functionCall},
		)
		if fault != nil {
			return fault
		}
		switch role := lenient.Text(m.role); role {
		case "system", "developer":
			return w.instruct(&m)
		case "user":
			return user.say(&m)
		case "tool":
			return user.result(&m)
		case "assistant":
			return w.assistant(&m, &user)
		default:
			return openai.Invalid(m.path+".role", fmt.Sprintf("%s.role '%s' is not supported: use system, developer, user, assistant or tool.", m.path, cut(role)))
		}
	})
	if fault != nil {
		return fault
	}
	w.flush(&user)
	if len(w.messages) == 0 {
		return openai.Invalid("messages", "messages must have at least one message that is not of the system or the developer.")
	}
	return nil
}

// instruct adds to the system prompt, wherever in the conversation the message stands.
func (w *writer) instruct(m *message) *openai.Error {
	add := func(s string) {
		if s == "" {
			return
		}
		if len(w.system) > 0 {
			w.system = append(w.system, '\n')
		}
		w.system = append(w.system, s...)
	}
	path := m.path + ".content"
	if m.content.Kind() != '[' {
		s, fault := text(m.content, path)
		add(s)
		return fault
	}
	return each(m.content, path, func(i int, v jsontext.Value) *openai.Error {
		p, fault := readPart(v, at(path, i))
		if fault == nil && p.kind != "text" {
			fault = p.unsupported()
		}
		if fault != nil {
			return fault
		}
		s, fault := text(p.text, p.path+".text")
		add(s)
		return fault
	})
}

// say adds a user's message.
func (t *turn) say(m *message) (fault *openai.Error) {
	t.messages++
	path := m.path + ".content"
	if m.content.Kind() == '[' {
		t.blocks, fault = appendParts(t.blocks, m.content, path)
		return fault
	}
	if m.content.Kind() != '"' {
		return openai.Invalid(path, path+" must be a string or an array of parts.")
	}
	if t.messages == 1 {
		t.only = m.content
	}
	t.blocks = appendTextBlock(t.blocks, m.content)
	return nil
}

// result adds the result of a tool call.
func (t *turn) result(m *message) (fault *openai.Error) {
	t.messages++
	if m.toolCallID.Kind() != '"' {
		return openai.Invalid(m.path+".tool_call_id", m.path+".tool_call_id must be a string.")
	}
	b := append(append(comma(t.results), `{"type":"tool_result","tool_use_id":`...), m.toolCallID...)
	switch path := m.path + ".content"; m.content.Kind() {
	case 0: // there was nothing to say
	case '"':
		b = append(append(b, `,"content":`...), m.content...)
	default:
		var parts []byte
		if parts, fault = appendParts(nil, m.content, path); fault != nil {
			return fault
		}
		b = append(append(append(b, `,"content":[`...), parts...), ']')
	}
	t.results = append(b, '}')
	return nil
}

// flush ends a turn of the user's side.
func (w *writer) flush(t *turn) {
	defer func() { *t = turn{} }()
	switch {
	case t.messages == 0:
		return
	case t.messages == 1 && t.only != nil:
		w.messages = append(append(append(comma(w.messages), `{"role":"user","content":`...), t.only...), '}')
		return
	}
	b := append(comma(w.messages), `{"role":"user","content":[`...)
	b = append(b, t.results...)
	if len(t.results) > 0 && len(t.blocks) > 0 {
		b = append(b, ',')
	}
	w.messages = append(append(b, t.blocks...), "]}"...)
}

// assistant adds a message of the assistant. One that says nothing has no counterpart.
func (w *writer) assistant(m *message, user *turn) (fault *openai.Error) {
	switch {
	case m.functionCall != nil:
		return openai.Invalid(m.path+".function_call", m.path+".function_call is not supported for this model: use 'tool_calls'.")
	case m.audio != nil:
		return openai.Invalid(m.path+".audio", m.path+".audio is not supported for this model.")
	}
	path := m.path + ".content"
	var blocks []byte
	simple := m.content.Kind() == '"' && m.toolCalls == nil
	switch m.content.Kind() {
	case 0:
	case '"':
		blocks = appendTextBlock(nil, m.content)
	default:
		if blocks, fault = appendParts(nil, m.content, path); fault != nil {
			return fault
		}
	}
	if len(blocks) == 0 && m.refusal.Kind() == '"' {
		blocks, simple = appendTextBlock(nil, m.refusal), false
	}
	calls := false
	if m.toolCalls != nil {
		fault = each(m.toolCalls, m.path+".tool_calls", func(i int, v jsontext.Value) *openai.Error {
			calls = true
			var fault *openai.Error
			blocks, fault = appendCall(blocks, v, at(m.path+".tool_calls", i))
			return fault
		})
	}
	if fault != nil || len(blocks) == 0 {
		return fault
	}
	w.flush(user)
	w.toolLoop = calls
	b := append(comma(w.messages), `{"role":"assistant","content":`...)
	if simple {
		b = append(b, m.content...)
	} else {
		b = append(append(append(b, '['), blocks...), ']')
	}
	w.messages = append(b, '}')
	return nil
}

// appendCall writes a tool call. Its arguments are a string with JSON in it, and become
// that JSON, byte for byte.
func appendCall(b []byte, v jsontext.Value, path string) ([]byte, *openai.Error) {
	var id, kind, function, name, arguments jsontext.Value
	if fault := object(v, path, field{"id", &id}, field{"type", &kind}, field{"function", &function}); fault != nil {
		return b, fault
	}
	if t := lenient.Text(kind); kind != nil && t != "function" {
		return b, openai.Invalid(path+".type", fmt.Sprintf("%s.type '%s' is not supported for this model: use 'function'.", path, cut(t)))
	}
	if id.Kind() != '"' {
		return b, openai.Invalid(path+".id", path+".id must be a string.")
	}
	path += ".function"
	if fault := object(function, path, field{"name", &name}, field{"arguments", &arguments}); fault != nil {
		return b, fault
	}
	if name.Kind() != '"' {
		return b, openai.Invalid(path+".name", path+".name must be a string.")
	}
	s, fault := text(arguments, path+".arguments")
	if fault != nil {
		return b, fault
	}
	input := jsontext.Value(bytes.TrimSpace([]byte(s)))
	switch {
	case len(input) == 0:
		input = jsontext.Value("{}")
	case input.Kind() != '{' || !input.IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)):
		return b, openai.Invalid(path+".arguments", path+".arguments must be a JSON object in a string.")
	}
	b = append(append(comma(b), `{"type":"tool_use","id":`...), id...)
	b = append(append(b, `,"name":`...), name...)
	return append(append(append(b, `,"input":`...), input...), '}'), nil
}
