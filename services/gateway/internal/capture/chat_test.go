package capture_test

import (
	"encoding/json"
	"strings"
	"testing"

	"loom.internal/services/gateway/internal/capture"
	"loom.internal/services/gateway/internal/sse"
)

func assemble(limit int, chunks ...string) *capture.Chat {
	a := capture.NewChat(limit)
	for _, c := range chunks {
		a.Event(sse.Event{Data: []byte(c)})
	}
	return a
}

func TestAssembler(t *testing.T) {
	t.Parallel()
	one := func(delta string) string { return `{"choices":[{"index":0,"delta":` + delta + `}]}` }
	for name, row := range map[string]struct {
		chunks []string
		want   string // within choices
	}{
		"two choices": {
			[]string{`{"choices":[{"index":1,"delta":{"content":"B"}}]}`, `{"choices":[{"index":0,"delta":{"content":"A"},"finish_reason":"stop"}]}`, `{"choices":[{"index":1,"delta":{"content":"b"},"finish_reason":"length"}]}`},
			`{"index":0,"message":{"role":"assistant","content":"A"},"finish_reason":"stop"},{"index":1,"message":{"role":"assistant","content":"Bb"},"finish_reason":"length"}`,
		},
		"refusal and reasoning": {
			[]string{one(`{"role":"assistant","refusal":"no","reasoning":"be"}`), one(`{"reasoning_content":"cause","content":null}`)},
			`{"index":0,"message":{"role":"assistant","content":null,"refusal":"no","reasoning_content":"because"},"finish_reason":null}`,
		},
		"tools": {
			[]string{
				one(`{"tool_calls":[{"index":1,"id":"b","type":"function","function":{"name":"g","arguments":""}}]}`),
				one(`{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{"}}]}`),
				one(`{"tool_calls":[{"index":0,"id":"","function":{"name":"f","arguments":"}"}}]}`),
				one(`{"tool_calls":[{"id":"b","function":{"arguments":"2"}}]}`),
			},
			`{"index":0,"message":{"role":"assistant","content":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"b","type":"function","function":{"name":"g","arguments":"2"}}]},"finish_reason":null}`,
		},
		"custom tool": {
			[]string{one(`{"tool_calls":[{"index":0,"id":"a","type":"custom","custom":{"name":"f","input":"x"}}]}`), one(`{"tool_calls":[{"index":0,"custom":{"input":"y"}}]}`)},
			`{"index":0,"message":{"role":"assistant","content":null,"tool_calls":[{"id":"a","type":"custom","custom":{"name":"f","input":"xy"}}]},"finish_reason":null}`,
		},
		"function call": {
			[]string{one(`{"function_call":{"name":"f","arguments":"{"}}`), one(`{"function_call":{"arguments":"}"}}`)},
			`{"index":0,"message":{"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{}"}},"finish_reason":null}`,
		},
		"odd kinds are passed over": {
			[]string{`{"id":7,"choices":[{"index":"0","delta":{"content":["x"],"tool_calls":{}}}]}`, `{"choices":null}`, `{"choices":[{"index":0}]}`, one(`{"content":"ok"}`), `not json`},
			`{"index":0,"message":{"role":"assistant","content":"ok"},"finish_reason":null}`,
		},
		"index out of bounds": {[]string{`{"choices":[{"index":128,"delta":{"content":"x"}}]}`}, ``},
		"logprobs": {
			[]string{`{"choices":[{"index":0,"logprobs":{"content":[{"t":1}]}}]}`, `{"choices":[{"index":0,"logprobs":{"content":[{"t":2}],"refusal":null}}]}`},
			`{"index":0,"message":{"role":"assistant","content":null},"logprobs":{"content":[{"t":1},{"t":2}]},"finish_reason":null}`,
		},
	} {
		got, _ := assemble(100000, row.chunks...).JSON()
		if want := `{"id":"","object":"chat.completion","created":0,"model":"","choices":[` + row.want + `]}`; string(got) != want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want)
		}
	}
}

func TestAssemblerKeepsWhatCameFirstAndBounds(t *testing.T) {
	t.Parallel()
	a := assemble(6000,
		`{"id":"c","model":"m","created":5,"service_tier":"default","choices":[{"index":0,"delta":{"content":"a"}}]}`,
		`{"id":"","model":"","created":0,"choices":[{"index":0,"content_filter_offsets":{}}]}`,
		`{"choices":[],"usage":{ "total_tokens":1}}`, `{"choices":[],"usage":{ "total_tokens": 2}}`, `{"usage":null}`)
	s := a.Summary()
	if s.ID != "c" || s.Model != "m" || s.ServiceTier != "default" || string(s.Usage) != `{ "total_tokens": 2}` || s.Failed {
		t.Errorf("summary: got %+v", s)
	}
	for range 100 {
		a.Event(sse.Event{Data: []byte(`{"choices":[{"index":0,"delta":{"content":"` + strings.Repeat(`\u0001`, 100) + `"}}]}`)})
	}
	got, truncated := a.JSON()
	if !truncated || len(got) > 6000 || !json.Valid(got) {
		t.Errorf("%d bytes, truncated %v: %s", len(got), truncated, got)
	}
}

func TestTokenIsWhatTheClientCanRead(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]bool{
		`{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}`:              false,
		`{"choices":[],"prompt_filter_results":[]}`:                                        false,
		`{"choices":[{"index":0,"delta":{"content":"a"}}]}`:                                true,
		`{"choices":[{"index":0,"delta":{"refusal":"a"}}]}`:                                true,
		`{"choices":[{"index":0,"delta":{"reasoning_content":"a"}}]}`:                      true,
		`{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"x"}]}}]}`:          true,
		`{"choices":[{"index":0,"delta":{"audio":{"data":"AA=="}}}]}`:                      true,
		`{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"obfuscation":"abcd"}`: false,
	} {
		if got, _ := capture.NewChat(9999).Event(sse.Event{Data: []byte(data)}); got != want {
			t.Errorf("%s: got %v, want %v", data, got, want)
		}
	}
}
