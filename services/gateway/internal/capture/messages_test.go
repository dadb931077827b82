package capture_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"loom.internal/services/gateway/internal/capture"
	"loom.internal/services/gateway/internal/endpoint"
	"loom.internal/services/gateway/internal/sse"
)

func messages(limit int, events ...string) (a *capture.Messages, tokens, last int) {
	a = capture.NewMessages(limit)
	for _, e := range events {
		token, end := a.Event(sse.Event{Data: []byte(e)})
		if token {
			tokens++
		}
		if end {
			last++
		}
	}
	return a, tokens, last
}

func TestMessagesAssembly(t *testing.T) {
	t.Parallel()
	start := func(index int, block string) string {
		return fmt.Sprintf(`{"type":"content_block_start","index":%d,"content_block":%s}`, index, block)
	}
	delta := func(index int, delta string) string {
		return fmt.Sprintf(`{"type":"content_block_delta","index":%d,"delta":%s}`, index, delta)
	}
	for name, row := range map[string]struct {
		events []string
		want   string // within content
	}{
		"text": {
			[]string{start(0, `{"type":"text","text":""}`), delta(0, `{"type":"text_delta","text":"a"}`), delta(0, `{"type":"text_delta","text":"\"b"}`)},
			`{"type":"text","text":"a\"b"}`,
		},
		"thinking with its signature": {
			[]string{
				start(0, `{"type":"thinking","thinking":"","signature":""}`), delta(0, `{"type":"thinking_delta","thinking":"hm"}`),
				delta(0, `{"type":"signature_delta","signature":"EqQB"}`),
			},
			`{"type":"thinking","thinking":"hm","signature":"EqQB"}`,
		},
		"redacted thinking": {[]string{start(0, `{"type":"redacted_thinking","data":"xx"}`)}, `{"type":"redacted_thinking","data":"xx"}`},
		"tool input keeps its digits": {
			[]string{
				start(1, `{"type":"tool_use","id":"t","name":"f","input":{}}`), delta(1, `{"type":"input_json_delta","partial_json":""}`),
				delta(1, `{"type":"input_json_delta","partial_json":"{\"b\": 1.0,"}`), delta(1, `{"type":"input_json_delta","partial_json":"\"a\":12345678901234567890}"}`),
			},
			`{"type":"tool_use","id":"t","name":"f","input":{"b": 1.0,"a":12345678901234567890}}`,
		},
		"tool without input": {[]string{start(0, `{"type":"tool_use","id":"t","name":"f","input":{}}`)}, `{"type":"tool_use","id":"t","name":"f","input":{}}`},
		"tool input that broke off": {
			[]string{start(0, `{"type":"tool_use","id":"t","name":"f","input":{}}`), delta(0, `{"type":"input_json_delta","partial_json":"{\"a\":"}`)},
			`{"type":"tool_use","id":"t","name":"f","partial_json":"{\"a\":"}`,
		},
		"server tools as given": {
			[]string{
				start(0, `{"type":"server_tool_use","id":"s","name":"web_search","input":{}}`), delta(0, `{"type":"input_json_delta","partial_json":"{\"query\":\"q\"}"}`),
				start(1, `{"type":"web_search_tool_result","tool_use_id":"s","content":[{"encrypted_content":"e","n":1.50}]}`),
			},
			`{"type":"server_tool_use","id":"s","name":"web_search","input":{"query":"q"}},{"type":"web_search_tool_result","tool_use_id":"s","content":[{"encrypted_content":"e","n":1.50}]}`,
		},
		"citations": {
			[]string{
				start(0, `{"type":"text","text":"","citations":[]}`), delta(0, `{"type":"text_delta","text":"x"}`),
				delta(0, `{"type":"citations_delta","citation":{"n":1}}`), delta(0, `{"type":"citations_delta","citation":{"n":2}}`),
			},
			`{"type":"text","text":"x","citations":[{"n":1},{"n":2}]}`,
		},
		"blocks in their order":          {[]string{start(1, `{"type":"text","text":"b"}`), start(0, `{"type":"text","text":"a"}`)}, `{"type":"text","text":"a"},{"type":"text","text":"b"}`},
		"a delta of a block never begun": {[]string{delta(3, `{"type":"text_delta","text":"x"}`)}, ``},
		"what is unknown or broken":      {[]string{`{"type":"ping"}`, `{"type":"later"}`, `{"type":7}`, `[`, `{"type":"content_block_start"}`}, ``},
	} {
		a, _, _ := messages(100000, row.events...)
		got, _ := a.JSON()
		if want := `{"id":"","type":"message","role":"assistant","model":"","content":[` + row.want + `],"stop_reason":null,"stop_sequence":null}`; string(got) != want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want)
		}
	}
}

var toolStream = []string{
	`{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-x","content":[],"stop_reason":null,"usage":{"input_tokens":10,"cache_creation_input_tokens":20,"cache_read_input_tokens":90,"cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":20},"output_tokens":1,"service_tier":"standard"}}}`,
	`{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`,
	`{"type":"ping"}`,
	`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Let me see."}}`,
	`{"type":"content_block_stop","index":0}`,
	`{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"toolu_1","name":"weather","input":{}}}`,
	`{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":""}}`,
	`{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"city\":\"Paris\"}"}}`,
	`{"type":"content_block_stop","index":1}`,
	`{"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"input_tokens":10,"cache_creation_input_tokens":20,"cache_read_input_tokens":90,"output_tokens":30}}`,
	`{"type":"message_stop"}`,
}

func TestMessagesSummary(t *testing.T) {
	t.Parallel()
	a, tokens, last := messages(100000, toolStream...)
	s := a.Summary()
	const usage = `{"input_tokens":10,"cache_creation_input_tokens":20,"cache_read_input_tokens":90,"cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":20},"output_tokens":30,"service_tier":"standard"}`
	if s.ID != "msg_1" || s.Model != "claude-x" || s.ServiceTier != "standard" || s.Failed || !a.Ended() ||
		!slices.Equal(s.FinishReasons, []string{"tool_use"}) || !slices.Equal(s.ToolNames, []string{"weather"}) {
		t.Errorf("summary: got %+v", s)
	}
	if string(s.Usage) != usage {
		t.Errorf("usage: got %s, want %s", s.Usage, usage)
	}
	if tokens != 2 || last != 1 {
		t.Errorf("got %d tokens and %d ends, want 2 and 1", tokens, last)
	}
	answer, truncated := a.JSON()
	if whole := capture.SummarizeMessages(answer); truncated || fmt.Sprint(whole) != fmt.Sprint(s) {
		t.Errorf("of the whole answer: got %+v, want %+v", whole, s)
	}
}

func TestMessagesThatFailOrBreakOff(t *testing.T) {
	t.Parallel()
	a, _, _ := messages(100000, toolStream[:8]...)
	if s := a.Summary(); a.Ended() || s.Failed || s.FinishReasons != nil {
		t.Errorf("broken off: got %+v", s)
	}
	for _, e := range []sse.Event{
		{Name: "error", Data: []byte(`{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`)},
		{Data: []byte(`{"type":"error","error":{"type":"overloaded_error"}}`)},
		{Data: []byte(`{"error":{}}`)},
		{Name: "error", Data: []byte(`{}`)},
		{Name: "error", Data: []byte(`overloaded`)},
	} {
		a := capture.NewMessages(9999)
		if a.Event(e); !a.Summary().Failed {
			t.Errorf("%q %s: is no failure", e.Name, e.Data)
		}
	}
}

func TestSummarizeMessages(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]capture.Summary{
		`{"input_tokens":2095}`: {}, // a count of tokens is no usage
		`nothing`:               {},
		`{"type":"error","error":{"type":"api_error","message":"x"}}`:                                                 {Failed: true},
		`{"content":[` + strings.Repeat(`{"type":"text"},`, 300) + `{"type":"server_tool_use","name":"web_search"}]}`: {ToolNames: []string{"web_search"}},
	} {
		if got := capture.SummarizeMessages([]byte(body)); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%.80s: got %+v, want %+v", body, got, want)
		}
	}
}

func TestMessagesAreBounded(t *testing.T) {
	t.Parallel()
	a, _, _ := messages(6000, toolStream[0])
	for i := range 6000 {
		for _, e := range []string{
			`{"type":"content_block_start","index":%d,"content_block":{"type":"text","text":"aaaaaaaa"}}`,
			`{"type":"content_block_delta","index":%d,"delta":{"text":"\u0001\u0001","thinking":"b","partial_json":"{\"","signature":"c","citation":{"d":1}}}`,
		} {
			a.Event(sse.Event{Data: fmt.Appendf(nil, e, i)})
		}
	}
	got, truncated := a.JSON()
	if !truncated || len(got) > 6000 || !json.Valid(got) {
		t.Errorf("%d bytes, truncated %v: %s", len(got), truncated, got)
	}
}

func TestFormOfMessages(t *testing.T) {
	t.Parallel()
	form := capture.FormOf(endpoint.Messages)
	if _, ok := form.Stream(1).(*capture.Messages); !ok {
		t.Errorf("stream: got %T", form.Stream(1))
	}
	if n := sse.MayBecome([]byte("event: message_stop\n"), form.Last); n != 20 {
		t.Errorf("last event: %d bytes held back, want 20", n)
	}
	if s := form.Whole([]byte(`{"id":"msg_1"}`)); s.ID != "msg_1" {
		t.Errorf("whole: got %+v", s)
	}
}

func FuzzMessages(f *testing.F) {
	f.Add([]byte("event: x\ndata: "+strings.Join(toolStream, "\n\nevent: x\ndata: ")+"\n\n"), 3)
	f.Add([]byte("event: error\r\ndata: {\"error\":{}}\r\n\r\n"), 1)
	f.Fuzz(func(t *testing.T, stream []byte, size int) {
		size = max(1, size%64)
		var p sse.Events
		a := capture.NewMessages(8 << 10)
		for piece := range slices.Chunk(stream, size) {
			if err := p.Feed(piece, func(e sse.Event) error { a.Event(e); return nil }); err != nil {
				t.Fatal(err)
			}
		}
		answer, _ := a.JSON()
		if !json.Valid(bytes.ToValidUTF8(answer, []byte("?"))) || len(answer) > 12<<10+len(a.Summary().Usage) {
			t.Errorf("answer of %d bytes is no JSON or too long: %q", len(answer), answer)
		}
	})
}

func BenchmarkMessages(b *testing.B) {
	stream := []byte("event: message_start\ndata: " + toolStream[0] + "\n\nevent: content_block_start\ndata: " + toolStream[1] + "\n\n")
	for i := range 200 {
		stream = fmt.Appendf(stream, "event: content_block_delta\ndata: "+`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" word%d"}}`+"\n\n", i)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(stream)))
	for b.Loop() {
		var p sse.Events
		a := capture.NewMessages(1 << 20)
		_ = p.Feed(stream, func(e sse.Event) error { a.Event(e); return nil })
		a.JSON()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/200, "ns/event")
}
