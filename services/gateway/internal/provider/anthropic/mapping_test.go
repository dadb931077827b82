package anthropic_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestRequestMapping has a row for each that the mapping of chat completions to
// messages has.
func TestRequestMapping(t *testing.T) {
	t.Parallel()
	const hi = `{"role":"user","content":"hi"}`
	const tool = `"tools":[{"type":"function","function":{"name":"f"}}]`
	const asTool = `"tools":[{"name":"f","input_schema":{"type":"object"}}]`
	messages := func(m string) string { return `"messages":[` + m + `]` }
	with := func(m string) string { return messages(hi) + "," + m }
	for _, row := range []struct{ name, in, want string }{
		{"system and developer anywhere: top-level system", messages(`{"role":"system","content":"a"},` + hi + `,{"role":"developer","content":"b"}`), `"system":"a\nb",` + messages(hi)},
		{"user string", messages(hi), messages(hi)},
		{"user parts", messages(`{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":""}]}`), messages(`{"role":"user","content":[{"type":"text","text":"a"}]}`)},
		{"assistant string", messages(hi + `,{"role":"assistant","content":"a"}`), messages(hi + `,{"role":"assistant","content":"a"}`)},
		{"assistant parts", messages(hi + `,{"role":"assistant","content":[{"type":"text","text":"a"},{"type":"refusal","refusal":"b"}]}`), messages(hi + `,{"role":"assistant","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}`)},
		{"assistant that says nothing", messages(hi + `,{"role":"assistant","content":"\n"}`), messages(hi)},
		{
			"a tool result and a following user text: one message, results first",
			messages(hi + `,{"role":"user","content":"more"},{"role":"tool","tool_call_id":"c","content":"r"}`),
			messages(`{"role":"user","content":[{"type":"tool_result","tool_use_id":"c","content":"r"},{"type":"text","text":"hi"},{"type":"text","text":"more"}]}`),
		},
		{
			"image_url data: base64", messages(`{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/gif;base64,R0lG","detail":"low"}}]}`),
			messages(`{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/gif","data":"R0lG"}}]}`),
		},
		{
			"image_url https: url", messages(`{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://a/b"}}]}`),
			messages(`{"role":"user","content":[{"type":"image","source":{"type":"url","url":"https://a/b"}}]}`),
		},
		{
			"file part (PDF): document", messages(`{"role":"user","content":[{"type":"file","file":{"file_data":"data:application/pdf;base64,JVBERi0x"}}]}`),
			messages(`{"role":"user","content":[{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"JVBERi0x"}}]}`),
		},
		{
			"assistant tool_calls after text", messages(hi + `,{"role":"assistant","content":"a","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"b\":1.0,\"a\":2}"}},{"id":"d","function":{"name":"g","arguments":""}}]}`),
			messages(hi + `,{"role":"assistant","content":[{"type":"text","text":"a"},{"type":"tool_use","id":"c","name":"f","input":{"b":1.0,"a":2}},{"type":"tool_use","id":"d","name":"g","input":{}}]}`),
		},
		{
			"role tool: several in a row are one message", messages(`{"role":"tool","tool_call_id":"c","content":"r"},{"role":"tool","tool_call_id":"d"}`),
			messages(`{"role":"user","content":[{"type":"tool_result","tool_use_id":"c","content":"r"},{"type":"tool_result","tool_use_id":"d"}]}`),
		},
		{"tools", with(`"tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object","z":1,"a":2}}}]`), with(`"tools":[{"name":"f","description":"d","input_schema":{"type":"object","z":1,"a":2}}]`)},
		{"tools without parameters", with(tool), with(asTool)},
		{"tool_choice auto", with(tool + `,"tool_choice":"auto"`), with(asTool + `,"tool_choice":{"type":"auto"}`)},
		{"tool_choice required", with(tool + `,"tool_choice":"required"`), with(asTool + `,"tool_choice":{"type":"any"}`)},
		{"tool_choice none", with(tool + `,"tool_choice":"none","parallel_tool_calls":false`), with(asTool + `,"tool_choice":{"type":"none"}`)},
		{"tool_choice function", with(tool + `,"tool_choice":{"type":"function","function":{"name":"f"}}`), with(asTool + `,"tool_choice":{"type":"tool","name":"f"}`)},
		{"tool_choice without tools", with(`"tool_choice":"auto","parallel_tool_calls":false,"tools":[]`), messages(hi)},
		{"parallel_tool_calls false", with(tool + `,"parallel_tool_calls":false`), with(asTool + `,"tool_choice":{"type":"auto","disable_parallel_tool_use":true}`)},
		{"parallel_tool_calls true", with(tool + `,"parallel_tool_calls":true`), with(asTool)},
		{"stop string", with(`"stop":"a"`), with(`"stop_sequences":["a"]`)},
		{"stop array, white space refused", with(`"stop":["a"," \n","b"]`), with(`"stop_sequences":["a","b"]`)},
		{"stop of white space only", with(`"stop":"\n"`), messages(hi)},
		{"temperature capped at 1", with(`"temperature":2`), with(`"temperature":1`)},
		{"temperature and top_p keep their digits", with(`"temperature":0.70,"top_p":0.90`), with(`"temperature":0.70,"top_p":0.90`)},
		{"top_p of 1 beside a temperature says nothing", with(`"temperature":0.5,"top_p":1`), with(`"temperature":0.5`)},
		{"reasoning_effort none", with(`"reasoning_effort":"none"`), messages(hi)},
		{"response_format text", with(`"response_format":{"type":"text"}`), messages(hi)},
		{"response_format json_schema", with(`"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"b":1.0,"a":1}}}`), with(`"output_config":{"format":{"type":"json_schema","schema":{"b":1.0,"a":1}}}`)},
		{"user", with(`"user":"u"`), with(`"metadata":{"user_id":"u"}`)},
		{"service_tier auto", with(`"service_tier":"auto"`), with(`"service_tier":"auto"`)},
		{"service_tier default", with(`"service_tier":"default"`), with(`"service_tier":"standard_only"`)},
		{"service_tier of OpenAI's own", with(`"service_tier":"flex"`), messages(hi)},
		{"n of 1, and nulls", with(`"n":1,"stop":null,"tools":null,"temperature":null,"user":null,"tool_choice":null`), messages(hi)},
		{
			"ignored: logprobs, logit_bias, seed, penalties, store, prediction, modalities",
			with(`"logprobs":true,"top_logprobs":2,"logit_bias":{"1":2},"seed":7,"presence_penalty":1,"frequency_penalty":1,"store":true,"prediction":{},"modalities":["text"],"metadata":{"a":"b"}`), messages(hi),
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			u := &upstream{}
			if _, fault := chat(t, u, `{"model":"m","max_tokens":9,`+row.in+`}`); fault != nil {
				t.Fatal(fault)
			}
			want := `{"model":"m","max_tokens":9,` + row.want + `}`
			if diff := cmp.Diff(want, string(u.sent)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestMaxTokensAndThinking(t *testing.T) {
	t.Parallel()
	const loop = `{"role":"user","content":"hi"},{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c","content":"r"}`
	for _, row := range []struct{ name, model, in, want, not string }{
		{"max_completion_tokens goes before max_tokens", "m", `"max_completion_tokens":7,"max_tokens":8`, `"max_tokens":7,`, ""},
		{"a whole number, however it is written", "m", `"max_tokens":7.0`, `"max_tokens":7,`, ""},
		{"an unknown model", "m", ``, `"max_tokens":4096,`, ""},
		{"claude 3", "claude-3-haiku-20240307", ``, `"max_tokens":4096,`, ""},
		{"claude 3.5", "claude-3-5-sonnet-latest", ``, `"max_tokens":8192,`, ""},
		{"claude 3.7", "anthropic/claude-3.7-sonnet", ``, `"max_tokens":32000,`, ""},
		{"claude 4", "claude-opus-4-20250514", ``, `"max_tokens":32000,`, ""},
		{"low", "claude-sonnet-4-5", `"reasoning_effort":"low"`, `"thinking":{"type":"enabled","budget_tokens":2048}`, "output_config"},
		{"high", "claude-sonnet-4-20250514", `"reasoning_effort":"high"`, `"budget_tokens":16000}`, ""},
		{"at least 1024", "claude-sonnet-4-5", `"reasoning_effort":"minimal","max_tokens":1025`, `"budget_tokens":1024}`, ""},
		{"less than max_tokens, or none", "claude-sonnet-4-5", `"reasoning_effort":"high","max_tokens":1024`, ``, "thinking"},
		{"no temperature beside thinking", "claude-sonnet-4-5", `"reasoning_effort":"low","temperature":0.5,"top_p":0.99`, `"top_p":0.99`, "temperature"},
		{"not where a tool is forced", "claude-sonnet-4-5", `"reasoning_effort":"low","tool_choice":"required","tools":[{"type":"function","function":{"name":"f"}}]`, ``, "thinking"},
		{"not amid tool calls, whose thinking is lost", "claude-sonnet-4-5", `"reasoning_effort":"low","messages":[` + loop + `]`, ``, "thinking"},
		{"models that take an effort", "claude-opus-4-6", `"reasoning_effort":"xhigh"`, `"thinking":{"type":"adaptive"},"output_config":{"effort":"high"}`, "budget"},
		{"an effort and a format", "claude-x-5", `"reasoning_effort":"minimal","response_format":{"type":"json_schema","json_schema":{"schema":{}}}`, `"output_config":{"effort":"low","format":`, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			u := &upstream{}
			body := `{"model":"` + row.model + `"`
			if !strings.Contains(row.in, "messages") {
				body += `,"messages":[{"role":"user","content":"hi"}]`
			}
			if row.in != "" {
				body += "," + row.in
			}
			if _, fault := chat(t, u, body+"}"); fault != nil {
				t.Fatal(fault)
			}
			if got := string(u.sent); !strings.Contains(got, row.want) || (row.not != "" && strings.Contains(got, row.not)) {
				t.Errorf("got %s, want %s and not %q", got, row.want, row.not)
			}
		})
	}
}

func TestRequestsAtFault(t *testing.T) {
	t.Parallel()
	const hi = `"messages":[{"role":"user","content":"hi"}]`
	user := func(part string) string { return `"messages":[{"role":"user","content":[` + part + `]}]` }
	for _, row := range []struct{ name, in, param string }{
		{"input_audio", user(`{"type":"input_audio","input_audio":{"data":"","format":"wav"}}`), "messages[0].content[0].type"},
		{"n > 1", hi + `,"n":2`, "n"},
		{"n no number", hi + `,"n":"2"`, "n"},
		{"json_object", hi + `,"response_format":{"type":"json_object"}`, "response_format"},
		{"json_schema without a schema", hi + `,"response_format":{"type":"json_schema","json_schema":{}}`, "response_format.json_schema.schema"},
		{"response_format no object", hi + `,"response_format":"text"`, "response_format"},
		{"functions", hi + `,"functions":[]`, "functions"},
		{"no messages", `"x":1`, "messages"},
		{"no conversation", `"messages":[{"role":"system","content":"a"}]`, "messages"},
		{"messages twice", hi + "," + hi, "messages"},
		{"messages no array", `"messages":{}`, "messages"},
		{"a message no object", `"messages":[1]`, "messages[0]"},
		{"role", `"messages":[{"role":"robot","content":"x"}]`, "messages[0].role"},
		{"content", `"messages":[{"role":"user","content":7}]`, "messages[0].content"},
		{"content absent", `"messages":[{"role":"user"}]`, "messages[0].content"},
		{"image over http", user(`{"type":"image_url","image_url":{"url":"http://a/b"}}`), "messages[0].content[0].image_url.url"},
		{"image not in base64", user(`{"type":"image_url","image_url":{"url":"data:image/png,x"}}`), "messages[0].content[0].image_url.url"},
		{"uploaded file", user(`{"type":"file","file":{"file_id":"file-1"}}`), "messages[0].content[0].file.file_data"},
		{"file no PDF", user(`{"type":"file","file":{"file_data":"data:text/plain;base64,YQ=="}}`), "messages[0].content[0].file.file_data"},
		{"tool result without its call", `"messages":[{"role":"tool","content":"r"}]`, "messages[0].tool_call_id"},
		{"arguments no JSON", `"messages":[{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"f","arguments":"{\"a\":"}}]}]`, "messages[0].tool_calls[0].function.arguments"},
		{"arguments no object", `"messages":[{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"f","arguments":"[]"}}]}]`, "messages[0].tool_calls[0].function.arguments"},
		{"call without id", `"messages":[{"role":"assistant","tool_calls":[{"function":{"name":"f"}}]}]`, "messages[0].tool_calls[0].id"},
		{"custom tool", hi + `,"tools":[{"type":"custom","custom":{"name":"f"}}]`, "tools[0].type"},
		{"tool without name", hi + `,"tools":[{"type":"function","function":{}}]`, "tools[0].function.name"},
		{"parameters no object", hi + `,"tools":[{"type":"function","function":{"name":"f","parameters":[]}}]`, "tools[0].function.parameters"},
		{"tool_choice", hi + `,"tool_choice":"maybe"`, "tool_choice"},
		{"tool_choice allowed_tools", hi + `,"tool_choice":{"type":"allowed_tools"}`, "tool_choice.type"},
		{"max_tokens", hi + `,"max_tokens":0`, "max_tokens"},
		{"max_completion_tokens", hi + `,"max_completion_tokens":1.5`, "max_completion_tokens"},
		{"temperature", hi + `,"temperature":"hot"`, "temperature"},
		{"top_p", hi + `,"top_p":[]`, "top_p"},
		{"stop", hi + `,"stop":[1]`, "stop[0]"},
		{"reasoning_effort", hi + `,"reasoning_effort":"huge"`, "reasoning_effort"},
		{"user", hi + `,"user":7`, "user"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			_, fault := chat(t, &upstream{}, `{"model":"m",`+row.in+`}`)
			if fault == nil || fault.Status != 400 || fault.Param != row.param || fault.Message == "" {
				t.Errorf("got %+v, want 400 for %s", fault, row.param)
			}
		})
	}
}
