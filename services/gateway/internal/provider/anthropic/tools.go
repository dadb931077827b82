package anthropic

import (
	"fmt"

	"github.com/go-json-experiment/json/jsontext"

	"loom.internal/services/gateway/internal/lenient"
	"loom.internal/services/gateway/internal/openai"
)

// toolList translates tools.
func (w *writer) toolList() *openai.Error {
	if w.q.tools == nil {
		return nil
	}
	return each(w.q.tools, "tools", func(i int, v jsontext.Value) *openai.Error {
		path := at("tools", i)
		var kind, function, name, description, parameters jsontext.Value
		if fault := object(v, path, field{"type", &kind}, field{"function", &function}); fault != nil {
			return fault
		}
		if t := lenient.Text(kind); t != "function" {
			return openai.Invalid(path+".type", fmt.Sprintf("%s.type '%s' is not supported for this model: use 'function'.", path, cut(t)))
		}
		path += ".function"
		if fault := object(function, path, field{"name", &name}, field{"description", &description}, field{"parameters", &parameters}); fault != nil {
			return fault
		}
		if name.Kind() != '"' {
			return openai.Invalid(path+".name", path+".name must be a string.")
		}
		b := append(append(comma(w.tools), `{"name":`...), name...)
		if description != nil {
			b = append(append(b, `,"description":`...), description...)
		}
		b, fault := appendSchema(append(b, `,"input_schema":`...), parameters, path+".parameters")
		w.tools = append(b, '}')
		return fault
	})
}

// appendSchema writes the schema of a tool's parameters. Anthropic requires one, and
// that it says to be of an object.
func appendSchema(b []byte, schema jsontext.Value, path string) ([]byte, *openai.Error) {
	if schema == nil {
		return append(b, `{"type":"object"}`...), nil
	}
	var kind jsontext.Value
	if fault := object(schema, path, field{"type", &kind}); fault != nil {
		return b, fault
	}
	if kind != nil {
		return append(b, schema...), nil
	}
	rest := schema[1:]
	b = append(b, `{"type":"object"`...)
	if dec := lenient.NewDecoder(schema); !emptyObject(dec) {
		b = append(b, ',')
	}
	return append(b, rest...), nil
}

func emptyObject(dec *jsontext.Decoder) bool {
	_, err := dec.ReadToken()
	return err != nil || dec.PeekKind() == '}'
}

// choice translates tool_choice and parallel_tool_calls. Without tools there is nothing
// to choose, and Anthropic refuses to be told how.
func (w *writer) choice() *openai.Error {
	var name jsontext.Value
	switch choice := w.q.toolChoice; choice.Kind() {
	case 0: // absent
	case '"':
		switch s := lenient.Text(choice); s {
		case "auto", "none":
			w.toolChoice = s
		case "required":
			w.toolChoice = "any"
		default:
			return openai.Invalid("tool_choice", fmt.Sprintf("tool_choice '%s' is not supported: use auto, required, none or a function.", cut(s)))
		}
	default:
		var kind, function jsontext.Value
		if fault := object(choice, "tool_choice", field{"type", &kind}, field{"function", &function}); fault != nil {
			return fault
		}
		if t := lenient.Text(kind); t != "function" {
			return openai.Invalid("tool_choice.type", fmt.Sprintf("tool_choice.type '%s' is not supported for this model: use 'function'.", cut(t)))
		}
		if fault := object(function, "tool_choice.function", field{"name", &name}); fault != nil {
			return fault
		}
		if name.Kind() != '"' {
			return openai.Invalid("tool_choice.function.name", "tool_choice.function.name must be a string.")
		}
		w.toolChoice = "tool"
	}
	if len(w.tools) == 0 {
		w.toolChoice = ""
		return nil
	}
	oneAtATime := w.q.parallelToolCalls.Kind() == 'f'
	if w.toolChoice == "" {
		if !oneAtATime {
			return nil
		}
		w.toolChoice = "auto"
	}
	b := lenient.AppendText([]byte(`{"type":`), w.toolChoice)
	if name != nil {
		b = append(append(b, `,"name":`...), name...)
	}
	if oneAtATime && w.toolChoice != "none" {
		b = append(b, `,"disable_parallel_tool_use":true`...)
	}
	w.member("tool_choice", append(b, '}'))
	return nil
}
