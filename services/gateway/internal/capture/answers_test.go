package capture_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"loom.internal/services/gateway/internal/capture"
	"loom.internal/services/gateway/internal/endpoint"
	"loom.internal/services/gateway/internal/sse"
)

func TestStreamsBecomeAnswers(t *testing.T) {
	t.Parallel()
	picture := strings.Repeat("QUFB", 100)
	created := `{"type":"response.created","response":{"id":"r","model":"m","created_at":7,"status":"in_progress","usage":null,"error":null}}`
	for name, row := range map[string]struct {
		of               endpoint.Endpoint
		events           []string
		want             string
		tokens           string // a letter an event: t for a token, L for the last, . for neither
		failed, ended    bool
		usage, model, id string
		finish, tools    []string
		truncated        bool
		limit            int
	}{
		"completions": {
			of: endpoint.Completions,
			events: []string{
				`{"id":"c","created":7,"model":"m","choices":[{"index":1,"text":"B","logprobs":null,"finish_reason":"length"}]}`,
				`{"choices":[{"index":0,"text":"A","logprobs":{"tokens":["A"],"token_logprobs":[-1],"top_logprobs":[null],"text_offset":[0]}}]}`,
				`{"choices":[{"index":0,"text":"a","logprobs":{"tokens":["a"],"token_logprobs":[-2.50],"text_offset":[1]},"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}`,
				`[DONE]`,
			},
			want: `{"id":"c","object":"text_completion","created":7,"model":"m","choices":[` +
				`{"index":0,"text":"Aa","logprobs":{"tokens":["A","a"],"token_logprobs":[-1,-2.50],"top_logprobs":[null],"text_offset":[0,1]},"finish_reason":"stop"},` +
				`{"index":1,"text":"B","finish_reason":"length"}],"usage":{"prompt_tokens":1}}`,
			tokens: "tttL", ended: true, usage: `{"prompt_tokens":1}`, model: "m", id: "c", finish: []string{"stop", "length"},
		},
		"chat with sound and an error": {
			of: endpoint.Chat,
			events: []string{
				`{"id":"c","choices":[{"index":0,"delta":{"audio":{"id":"a","data":"` + picture + `"}}}]}`,
				`{"choices":[{"index":0,"delta":{"audio":{"transcript":"hi","expires_at":9}}}]}`,
				`{"error":{"message":"m"}}`,
			},
			want:   `{"id":"c","object":"chat.completion","created":0,"model":"","choices":[{"index":0,"message":{"role":"assistant","content":null,"audio":{"id":"a","data":"[left out: 400 bytes of base64]","expires_at":9,"transcript":"hi"}},"finish_reason":null}],"error":{"message":"m"}}`,
			tokens: "tt.", failed: true, id: "c",
		},
		"response": {
			of: endpoint.Responses,
			events: []string{
				created,
				`{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"Hel"}`,
				`{"type":"response.completed","response":{ "id":"r", "status":"completed", "n":1.0, "output":[{"type":"function_call","name":"f"},{"type":"message"}],"usage":{"input_tokens":1}}}`,
			},
			want:   `{ "id":"r", "status":"completed", "n":1.0, "output":[{"type":"function_call","name":"f"},{"type":"message"}],"usage":{"input_tokens":1}}`,
			tokens: ".tL", ended: true, usage: `{"input_tokens":1}`, model: "m", id: "r", finish: []string{"completed"}, tools: []string{"f"},
		},
		"response whose end leaves out what was said": {
			of: endpoint.Responses,
			events: []string{
				`{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"Hello"}`,
				`{"type":"response.completed","response":{"id":"r","status":"completed","output":[],"usage":{"input_tokens":1}}}`,
			},
			want: `{"id":"r","object":"response","created_at":0,"status":"completed","model":"","output":[` +
				`{"type":"message","role":"assistant","status":"in_progress","content":[{"type":"output_text","text":"Hello"}]}],"usage":{"input_tokens":1}}`,
			tokens: "tL", ended: true, usage: `{"input_tokens":1}`, id: "r", finish: []string{"completed"},
		},
		"response with a picture": {
			of: endpoint.Responses,
			events: []string{
				`{"type":"response.image_generation_call.partial_image","partial_image_b64":"` + picture + `"}`,
				`{"type":"response.incomplete","response":{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"output":[{"type":"image_generation_call","result":"` + picture + `"},{"result":"text that is to be read"}]}}`,
			},
			want:   `{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"output":[{"type":"image_generation_call","result":"[left out: 400 bytes of base64]"},{"result":"text that is to be read"}]}`,
			tokens: "tL", ended: true, finish: []string{"max_output_tokens"},
		},
		"response that broke off": {
			of: endpoint.Responses,
			events: []string{
				created,
				`{"type":"response.output_item.added","output_index":0,"item":{"id":"rs","type":"reasoning"}}`,
				`{"type":"response.reasoning_summary_text.delta","output_index":0,"summary_index":0,"delta":"be"}`,
				`{"type":"response.reasoning_summary_text.delta","output_index":0,"summary_index":0,"delta":"cause"}`,
				`{"type":"response.reasoning_text.delta","output_index":0,"content_index":0,"delta":"deep"}`,
				`{"type":"response.output_item.added","output_index":1,"item":{"id":"msg","type":"message"}}`,
				`{"type":"response.output_text.delta","output_index":1,"content_index":0,"delta":"Hello"}`,
				`{"type":"response.refusal.delta","output_index":1,"content_index":1,"delta":"no"}`,
				`{"type":"response.output_text.done","output_index":1,"content_index":0,"text":"Hello"}`,
				`{"type":"response.output_item.added","output_index":3,"item":{"id":"fc","type":"function_call","call_id":"call","name":"f","arguments":""}}`,
				`{"type":"response.function_call_arguments.delta","output_index":3,"delta":"{\"a\""}`,
				`{"type":"response.output_item.done","output_index":2,"item":{"id":"mcp","type":"mcp_call", "name":"g"}}`,
				`{"type":"response.custom_tool_call_input.delta","output_index":4,"delta":"x"}`,
				`{"type":"response.mcp_call_arguments.done","output_index":5,"arguments":"{}"}`,
			},
			want: `{"id":"r","object":"response","created_at":7,"status":"in_progress","model":"m","output":[` +
				`{"type":"reasoning","id":"rs","summary":[{"type":"summary_text","text":"because"}],"content":[{"type":"reasoning_text","text":"deep"}]},` +
				`{"type":"message","id":"msg","role":"assistant","status":"in_progress","content":[{"type":"output_text","text":"Hello"},{"type":"refusal","refusal":"no"}]},` +
				`{"id":"mcp","type":"mcp_call", "name":"g"},` +
				`{"type":"function_call","id":"fc","call_id":"call","name":"f","arguments":"{\"a\""},` +
				`{"type":"custom_tool_call","input":"x"},{"type":"mcp_call","arguments":"{}"}]}`,
			tokens: "..ttt.tt.tttttt"[:14], model: "m", id: "r", tools: []string{"f", "g"},
		},
		"response that fails": {
			of:     endpoint.Responses,
			events: []string{created, `{"type":"response.failed","response":{"id":"r","status":"failed","error":{"code":"server_error"}}}`},
			want:   `{"id":"r","status":"failed","error":{"code":"server_error"}}`,
			tokens: ".L", failed: true, ended: true, model: "m", id: "r", finish: []string{"failed"},
		},
		"response that ends in an error": {
			of:     endpoint.Responses,
			events: []string{created, `{"type":"error","code":"x","message":"y"}`},
			want:   `{"id":"r","object":"response","created_at":7,"status":"in_progress","model":"m","output":[],"error":{"type":"error","code":"x","message":"y"}}`,
			tokens: ".L", failed: true, ended: true, model: "m", id: "r",
		},
		"response with an error of the other shape": {
			of:     endpoint.Responses,
			events: []string{`{"error":{"message":"m"}}`, `[DONE]`},
			want:   `{"id":"","object":"response","created_at":0,"status":"in_progress","model":"","output":[],"error":{"message":"m"}}`,
			tokens: ".L", failed: true,
		},
		"response without room": {
			of: endpoint.Responses, limit: 5000,
			events: []string{
				`{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"Hello"}`,
				`{"type":"response.completed","response":{"id":"r","status":"completed","usage":{"input_tokens":1},"output":[{"type":"message"}],"pad":"` + strings.Repeat("x", 5000) + `"}}`,
			},
			want: `{"id":"r","object":"response","created_at":0,"status":"completed","model":"","output":[` +
				`{"type":"message","role":"assistant","status":"in_progress","content":[{"type":"output_text","text":"Hello"}]}],"usage":{"input_tokens":1}}`,
			tokens: "tL", ended: true, usage: `{"input_tokens":1}`, id: "r", finish: []string{"completed"}, truncated: true,
		},
		"speech": {
			of:     endpoint.Speech,
			events: []string{`{"type":"speech.audio.delta","audio":"AAAA"}`, `{"type":"speech.audio.delta","audio":"AA=="}`, `{"type":"speech.audio.done","usage":{"input_tokens":1}}`},
			want:   `{"audio":"[left out: 8 bytes of base64]","pieces":2,"usage":{"input_tokens":1}}`,
			tokens: "ttL", ended: true, usage: `{"input_tokens":1}`,
		},
		"transcription": {
			of: endpoint.Transcriptions,
			events: []string{
				`{"type":"transcript.text.delta","delta":"Hel","logprobs":[{"t":1}]}`,
				`{"type":"transcript.text.segment","text":"Hello","speaker":"A"}`,
				`{"type":"transcript.text.done","text":"Hello.","logprobs":[{"t":2}],"usage":{"type":"duration","seconds":3}}`,
			},
			want:   `{"text":"Hello.","logprobs":[{"t":2}],"segments":[{"type":"transcript.text.segment","text":"Hello","speaker":"A"}],"usage":{"type":"duration","seconds":3}}`,
			tokens: "ttL", ended: true, usage: `{"type":"duration","seconds":3}`,
		},
		"transcription that broke off": {
			of:     endpoint.Translations,
			events: []string{`{"type":"transcript.text.delta","delta":"Hel"}`, `{"type":"transcript.text.delta","delta":"lo"}`},
			want:   `{"text":"Hello"}`,
			tokens: "tt",
		},
		"pictures": {
			of: endpoint.ImageGenerations,
			events: []string{
				`{"type":"image_generation.partial_image","b64_json":"` + picture + `","created_at":7,"size":"1x1","quality":"low","background":"opaque","output_format":"png"}`,
				`{"type":"image_generation.completed","b64_json":"` + picture + `","created_at":8,"size":"2x2","usage":{"input_tokens":1}}`,
				`{"type":"image_generation.completed","b64_json":"QUFB"}`,
			},
			want: `{"created":7,"background":"opaque","data":[{"b64_json":"[left out: 400 bytes of base64]"},{"b64_json":"[left out: 4 bytes of base64]"}],` +
				`"output_format":"png","quality":"low","size":"2x2","partial_images":1,"usage":{"input_tokens":1}}`,
			tokens: "ttt", ended: true, usage: `{"input_tokens":1}`,
		},
		"embeddings that stream": {
			of:     endpoint.Embeddings,
			events: []string{`{"model":"m","usage":{"prompt_tokens":1}}`, `text`},
			want:   `{"events":[{"model":"m","usage":{"prompt_tokens":1}},"text"]}`,
			tokens: "tt", ended: true, usage: `{"prompt_tokens":1}`, model: "m",
		},
	} {
		if row.limit == 0 {
			row.limit = 1 << 20
		}
		s := capture.FormOf(row.of).Stream(row.limit)
		tokens := ""
		for _, data := range row.events {
			switch token, last := s.Event(sse.Event{Data: []byte(data)}); {
			case last:
				tokens += "L"
			case token:
				tokens += "t"
			default:
				tokens += "."
			}
		}
		answer, truncated := s.JSON()
		if string(answer) != row.want || truncated != row.truncated {
			t.Errorf("%s, truncated %v:\n got %s\nwant %s", name, truncated, answer, row.want)
		}
		sum := s.Summary()
		if tokens != row.tokens || s.Ended() != row.ended || sum.Failed != row.failed {
			t.Errorf("%s: got %s, ended %v, failed %v; want %s, %v, %v", name, tokens, s.Ended(), sum.Failed, row.tokens, row.ended, row.failed)
		}
		if string(sum.Usage) != row.usage || sum.Model != row.model || sum.ID != row.id || !slices.Equal(sum.FinishReasons, row.finish) || !slices.Equal(sum.ToolNames, row.tools) {
			t.Errorf("%s: got %+v, usage %s", name, sum, sum.Usage)
		}
	}
}

// The type of an event may be told by its name alone.
func TestEventsAreKnownByTheirNames(t *testing.T) {
	t.Parallel()
	for e, name := range map[endpoint.Endpoint]string{
		endpoint.Responses: "response.completed", endpoint.Speech: "speech.audio.done", endpoint.Transcriptions: "transcript.text.done",
	} {
		s := capture.FormOf(e).Stream(9999)
		if _, last := s.Event(sse.Event{Name: name, Data: []byte(`{"response":{"status":"completed"},"text":"x"}`)}); !last || !s.Ended() {
			t.Errorf("%s: last %v, ended %v", name, last, s.Ended())
		}
	}
	for _, e := range endpoints {
		s := capture.FormOf(e).Stream(9999)
		s.Event(sse.Event{Name: "error", Data: []byte(`overloaded`)})
		if answer, _ := s.JSON(); !s.Summary().Failed || !strings.Contains(string(answer), "overloaded") {
			t.Errorf("%s: failed %v: %s", e.Name, s.Summary().Failed, answer)
		}
	}
}

// What ends a stream is held back until the trace is safe, from its first bytes on.
func TestLastEventsAreHeldBack(t *testing.T) {
	t.Parallel()
	for begun, e := range map[string]endpoint.Endpoint{
		"event: response.completed\n":                  endpoint.Responses,
		"event: response.incom":                        endpoint.Responses,
		`data: {"type":"response.failed","seq`:         endpoint.Responses,
		"event: error\n":                               endpoint.Responses,
		"data:{\"type\":\"speech.audio.done\"":         endpoint.Speech,
		"event: transcript.text.done\ndata: {\"text\"": endpoint.Translations,
		"data: [DONE]":                                 endpoint.Completions,
	} {
		if got := sse.MayBecome([]byte(begun), capture.FormOf(e).Last); got != len(begun) {
			t.Errorf("%s: %q: got %d", e.Name, begun, got)
		}
	}
	for _, begun := range []string{"event: response.output_text.delta\n", `data: {"type":"response.output_text.delta"`, "event: response.created\n"} {
		if got := sse.MayBecome([]byte(begun), capture.FormOf(endpoint.Responses).Last); got != 0 {
			t.Errorf("%q: got %d, want 0", begun, got)
		}
	}
}

func TestWholeAnswers(t *testing.T) {
	t.Parallel()
	probs := strings.TrimSuffix(strings.Repeat(`{"token":"x","logprob":-1},`, 500), ",")
	for name, row := range map[string]struct {
		of   endpoint.Endpoint
		body string
		want string // id, model, usage, finish reasons, tools, failed
	}{
		"chat":                 {endpoint.Chat, `{"id":"c","model":"m","choices":[{"index":1,"finish_reason":"length"},{"index":0,"logprobs":{"content":[` + probs + `]},"message":{"tool_calls":[{"function":{"name":"f"}},{"custom":{"name":"g"}}]},"finish_reason":"odd"}],"usage":{"prompt_tokens":1}}`, `c m {"prompt_tokens":1} [odd length] [f g] false`},
		"chat, many choices":   {endpoint.Chat, `{"choices":[` + strings.TrimSuffix(strings.Repeat(`{},`, 200), ",") + `],"usage":{"prompt_tokens":1}}`, `  {"prompt_tokens":1} [] [] false`},
		"chat, an error":       {endpoint.Chat, `{"error":{"message":"m"}}`, `   [] [] true`},
		"completion":           {endpoint.Completions, `{"id":"c","choices":[{"text":"x","finish_reason":"stop"}],"usage":null}`, `c   [stop] [] false`},
		"response":             {endpoint.Responses, `{"id":"r","model":"m","status":"completed","error":null,"output":[{"type":"function_call","name":"f"}],"usage":{"input_tokens":1}}`, `r m {"input_tokens":1} [completed] [f] false`},
		"response, incomplete": {endpoint.Responses, `{"status":"incomplete","incomplete_details":{"reason":"content_filter"}}`, `   [content_filter] [] false`},
		"response, failed":     {endpoint.Responses, `{"status":"failed","error":{"code":"x"}}`, `   [failed] [] true`},
		"response, queued":     {endpoint.Responses, `{"id":"r","status":"queued"}`, `r   [] [] false`},
		"embeddings":           {endpoint.Embeddings, `{"object":"list","data":[{"embedding":"AAAA"}],"model":"m","usage":{"prompt_tokens":1,"total_tokens":1}}`, ` m {"prompt_tokens":1,"total_tokens":1} [] [] false`},
		"moderations":          {endpoint.Moderations, `{"id":"modr","model":"m","results":[]}`, `modr m  [] [] false`},
		"transcription":        {endpoint.Transcriptions, `{"text":"x","usage":{"type":"duration","seconds":3}}`, `  {"type":"duration","seconds":3} [] [] false`},
		"subtitles":            {endpoint.Transcriptions, "1\n00:00 --> 00:01\nx\n", `   [] [] false`},
		"pictures":             {endpoint.ImageEdits, `{"created":1,"data":[{"b64_json":"AAAA"}],"usage":{"input_tokens":1}}`, `  {"input_tokens":1} [] [] false`},
	} {
		s := capture.FormOf(row.of).Whole([]byte(row.body))
		if got := fmt.Sprintf("%s %s %s %v %v %v", s.ID, s.Model, s.Usage, s.FinishReasons, s.ToolNames, s.Failed); got != row.want {
			t.Errorf("%s: got %q, want %q", name, got, row.want)
		}
	}
}

func TestKeep(t *testing.T) {
	t.Parallel()
	blob := strings.Repeat("QUFB", 100)
	for name, row := range map[string]struct {
		of         endpoint.Endpoint
		kind, body string
		want       string
		none       bool
	}{
		"text":            {of: endpoint.Transcriptions, kind: "text/vtt; charset=utf-8", body: "WEBVTT\n", want: "WEBVTT\n"},
		"subtitles":       {of: endpoint.Transcriptions, kind: "application/x-subrip", body: "1\n", want: "1\n"},
		"sound":           {of: endpoint.Speech, kind: "audio/mpeg", body: "ID3", none: true},
		"sound by bytes":  {of: endpoint.Speech, kind: "application/octet-stream", body: "\xff\xfb", none: true},
		"text by bytes":   {of: endpoint.Transcriptions, body: "é", want: "é"},
		"zeros":           {of: endpoint.Chat, kind: "application/json", body: "{\x00}", none: true},
		"odd type":        {of: endpoint.Chat, kind: "Application/Problem+JSON; =", body: "{}", want: "{}"},
		"picture":         {of: endpoint.ImageGenerations, kind: "application/json", body: `{ "created":1.0,"data":[{"b64_json" : "` + blob + `"},{"b64_json":"QUFB"}]}`, want: `{ "created":1.0,"data":[{"b64_json" : "[left out: 400 bytes of base64]"},{"b64_json":"QUFB"}]}`},
		"escaped picture": {of: endpoint.ImageEdits, kind: "application/json", body: `{"data":[{"b64_json":"data:image\/png;base64,` + blob + `"}]}`, want: `{"data":[{"b64_json":"[left out: 423 bytes of base64]"}]}`},
		"cut picture":     {of: endpoint.ImageEdits, kind: "application/json", body: `{"data":[{"b64_json":"` + blob, want: `{"data":[{"b64_json":"[left out: 400 bytes of base64]"`},
		"spoken answer":   {of: endpoint.Chat, kind: "application/json", body: `{"choices":[{"message":{"audio":{"data":"` + blob + `"},"data":"` + blob + `"}}]}`, want: `{"choices":[{"message":{"audio":{"data":"[left out: 400 bytes of base64]"},"data":"` + blob + `"}}]}`},
		"long result":     {of: endpoint.Responses, kind: "application/json", body: `{"result":"` + strings.Repeat("to read ", 100) + `"}`, want: `{"result":"` + strings.Repeat("to read ", 100) + `"}`},
		"embedding":       {of: endpoint.Embeddings, kind: "application/json", body: `{"data":[{"embedding":"` + blob + `"}]}`, want: `{"data":[{"embedding":"` + blob + `"}]}`},
	} {
		got := capture.FormOf(row.of).Keep(row.kind, []byte(row.body))
		if string(got) != row.want || (got == nil) != row.none {
			t.Errorf("%s:\n got %q\nwant %q", name, got, row.want)
		}
	}
}
