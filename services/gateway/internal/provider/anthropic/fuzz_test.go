package anthropic_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"loom.internal/services/gateway/internal/capture"
	"loom.internal/services/gateway/internal/endpoint"
	"loom.internal/services/gateway/internal/openai"
	"loom.internal/services/gateway/internal/provider/call"
	"loom.internal/services/gateway/internal/sse"
)

func seeds(f *testing.F, pattern string) [][]byte {
	f.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		f.Fatalf("%s: no seeds (%v)", pattern, err)
	}
	contents := make([][]byte, 0, len(paths))
	for _, p := range paths {
		b, err := os.ReadFile(filepath.Clean(p))
		if err != nil {
			f.Fatal(err)
		}
		contents = append(contents, b)
	}
	return contents
}

// FuzzChatRequest checks that whatever the gateway admits becomes a messages request or
// is answered with a fault of the client's.
func FuzzChatRequest(f *testing.F) {
	for _, s := range seeds(f, "testdata/requests/*.json") {
		f.Add(s)
	}
	f.Add([]byte(`{"model":"claude-3","messages":[{"role":"tool","tool_call_id":"c"}],"tool_choice":{"type":"function","function":{"name":"f"}},"tools":[{"type":"function","function":{"name":"f","parameters":{"a":1}}}],"n":1.0,"max_tokens":1e3}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		req, fault := openai.ParseRequest(body, "")
		if fault != nil {
			return
		}
		u := &upstream{}
		resp, fault := chat(t, u, string(body))
		if fault != nil {
			if fault.Status != http.StatusBadRequest || fault.Message == "" || !json.Valid(fault.Body()) {
				t.Errorf("%q: fault %+v", body, fault)
			}
			return
		}
		_ = resp.Body.Close()
		var sent struct {
			Model     string            `json:"model"`
			MaxTokens int64             `json:"max_tokens"`
			Messages  []json.RawMessage `json:"messages"`
			Thinking  struct {
				Budget int64 `json:"budget_tokens"`
			} `json:"thinking"`
		}
		if !jsontext.Value(u.sent).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) {
			t.Fatalf("%q became %q, which is no JSON", body, u.sent)
		}
		if err := json.Unmarshal(u.sent, &sent); err != nil {
			t.Fatalf("%q became %q: %v", body, u.sent, err)
		}
		if sent.Model != req.Model || sent.MaxTokens < 1 || len(sent.Messages) == 0 || (sent.Thinking.Budget != 0 && (sent.Thinking.Budget < 1024 || sent.Thinking.Budget >= sent.MaxTokens)) {
			t.Errorf("%q became %q", body, u.sent)
		}
	})
}

// FuzzMessagesStream checks that whatever a provider streams is translated into events
// that clients can read, and that the traces of both are JSON within their bounds.
func FuzzMessagesStream(f *testing.F) {
	for _, s := range seeds(f, "testdata/answers/*.sse") {
		f.Add(s, 7)
	}
	f.Add([]byte("event: error\r\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"m\"}}\r\n\r\n"), 1)
	f.Add([]byte("data: {\"type\":\"content_block_start\",\"index\":-1,\"content_block\":{\"type\":\"tool_use\",\"input\":{\"a\":1}}}\n\ndata: {\"type\":\"message_stop\"}\n\n"), 64)
	f.Fuzz(func(t *testing.T, stream []byte, size int) {
		size = 1 + max(0, size)%64
		p := &pieces{err: io.EOF}
		for rest := stream; len(rest) > 0; rest = rest[min(size, len(rest)):] {
			p.rest = append(p.rest, rest[:min(size, len(rest))])
		}
		resp, fault := chat(t, &upstream{header: eventStream, body: p}, streaming)
		if fault != nil {
			t.Fatal(fault)
		}
		got, _ := io.ReadAll(resp.Body) // it ends in an error where the stream has no end
		const limit = 8 << 10
		var events sse.Events
		translation, native := capture.FormOf(endpoint.Chat).Stream(limit), capture.FormOf(endpoint.Messages).Stream(limit)
		done := false
		_ = events.Feed(got, func(e sse.Event) error {
			if bytes.Count(e.Raw, []byte("\n")) != 2 || done || (!e.Done() && !json.Valid(e.Data)) {
				t.Errorf("event %q", e.Raw)
			}
			done = e.Done()
			translation.Event(e)
			return nil
		})
		if rest := events.Rest(); len(rest) > 0 {
			t.Errorf("half an event: %q", rest)
		}
		events = sse.Events{}
		_ = events.Feed(stream, func(e sse.Event) error { native.Event(e); return nil })
		for _, s := range []capture.Stream{translation, native} {
			answer, _ := s.JSON()
			if !jsontext.Value(answer).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) || len(answer) > 2*limit+len(s.Summary().Usage) {
				t.Errorf("answer of %d bytes is no JSON or too long: %q", len(answer), answer)
			}
		}
		if done != translation.Ended() && done {
			t.Errorf("the end without a finish reason: %q", got)
		}
	})
}

func BenchmarkRequest(b *testing.B) {
	text := strings.Repeat("lorem ipsum ", 800)
	for name, body := range map[string]string{
		"text":  `{"model":"claude-sonnet-4-5","stream":true,"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"` + text + `"}],"temperature":0.5}`,
		"image": `{"model":"claude-sonnet-4-5","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,` + strings.Repeat("iVBORw0K", 1<<17) + `"}}]}]}`,
	} {
		b.Run(name, func(b *testing.B) {
			u := &discard{}
			c := clientOf(u)
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				resp, err := c.Send(b.Context(), call.Request{Endpoint: endpoint.Chat, Header: http.Header{}, Body: []byte(body)})
				if err != nil {
					b.Fatal(err)
				}
				_ = resp.Body.Close()
			}
		})
	}
}

func BenchmarkStream(b *testing.B) {
	const events = 200
	stream := []byte("event: message_start\ndata: " + `{"type":"message_start","message":{"id":"msg_01","type":"message","role":"assistant","model":"claude-sonnet-4-5","content":[],"usage":{"input_tokens":10,"output_tokens":1,"service_tier":"standard"}}}` + "\n\n")
	for i := range events {
		stream = fmt.Appendf(stream, "event: content_block_delta\ndata: "+`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" word%d"}}`+"\n\n", i)
	}
	stream = append(stream, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"...)
	u := &discard{stream: stream}
	c := clientOf(u)
	buf := make([]byte, 32<<10)
	b.ReportAllocs()
	b.SetBytes(int64(len(stream)))
	for b.Loop() {
		resp, err := c.Send(b.Context(), call.Request{Endpoint: endpoint.Chat, Header: http.Header{}, Body: []byte(streaming), Stream: true})
		if err != nil {
			b.Fatal(err)
		}
		for err == nil {
			_, err = resp.Body.Read(buf)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/events, "ns/event")
}

// discard answers at once, whatever is sent.
type discard struct{ stream []byte }

func (d *discard) RoundTrip(r *http.Request) (*http.Response, error) {
	h := http.Header{"Content-Type": {"application/json"}}
	if d.stream != nil {
		h = eventStream.Clone()
	}
	return &http.Response{StatusCode: http.StatusOK, Header: h, Body: io.NopCloser(bytes.NewReader(d.stream)), Request: r}, nil
}
