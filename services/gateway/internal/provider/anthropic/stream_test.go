package anthropic_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"loom.internal/services/gateway/internal/capture"
	"loom.internal/services/gateway/internal/endpoint"
	"loom.internal/services/gateway/internal/sse"
)

func answerFile(t interface{ Fatal(args ...any) }, name string) []byte {
	b, err := os.ReadFile("testdata/answers/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// pieces is a reader that gives one piece at a time, and then err.
type pieces struct {
	rest [][]byte
	err  error
}

func (p *pieces) Read(to []byte) (int, error) {
	if len(p.rest) == 0 {
		return 0, p.err
	}
	n := copy(to, p.rest[0])
	if p.rest[0] = p.rest[0][n:]; len(p.rest[0]) == 0 {
		p.rest = p.rest[1:]
	}
	return n, nil
}

// However a stream is cut into pieces, and however it is read, the translation is the
// same to the byte.
func TestStreamOfAnySplit(t *testing.T) {
	t.Parallel()
	source := answerFile(t, "tools.sse")
	_, want, err := translated(t, sseOf(source), streaming)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		p := &pieces{err: io.EOF}
		text := source
		if rapid.Bool().Draw(t, "crlf") {
			text = bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))
		}
		for rest := text; len(rest) > 0; {
			n := rapid.IntRange(1, min(len(rest), 400)).Draw(t, "piece")
			p.rest, rest = append(p.rest, rest[:n]), rest[n:]
		}
		resp, fault := chat(t, &upstream{header: eventStream, body: p}, streaming)
		if fault != nil {
			t.Fatal(fault)
		}
		var got []byte
		buf := make([]byte, rapid.IntRange(1, 700).Draw(t, "buffer"))
		for {
			n, err := resp.Body.Read(buf)
			got = append(got, buf[:n]...)
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

// message is a random message, whole and as a stream.
func message(t *rapid.T) (whole, stream []byte) {
	quote := func(v any) []byte { b, _ := json.Marshal(v); return b } //nolint:errchkjson // strings
	text := rapid.StringN(1, 20, -1)
	stop := rapid.SampledFrom([]string{"end_turn", "stop_sequence", "pause_turn", "max_tokens", "model_context_window_exceeded", "tool_use", "refusal", "new"}).Draw(t, "stop")
	usage := fmt.Sprintf(`{"input_tokens":%d,"cache_creation_input_tokens":%d,"cache_read_input_tokens":3,"output_tokens":%%d,"service_tier":"standard"}`,
		rapid.IntRange(0, 1000).Draw(t, "input"), rapid.IntRange(0, 1000).Draw(t, "written"))
	event := func(kind, rest string) {
		stream = fmt.Appendf(stream, "event: %s\ndata: {\"type\":%q%s}\n\n", kind, kind, rest)
	}
	event("message_start", fmt.Sprintf(`,"message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-x","content":[],"stop_reason":null,"usage":%s}`, fmt.Sprintf(usage, 1)))
	var content [][]byte
	for i := range rapid.IntRange(0, 5).Draw(t, "blocks") {
		kind := rapid.SampledFrom([]string{"text", "thinking", "tool_use"}).Draw(t, "kind")
		said := text.Draw(t, "said")
		first, member, value := `"text":""`, "text", quote(said)
		switch kind {
		case "thinking":
			first, member = `"thinking":""`, "thinking"
		case "tool_use":
			said = fmt.Sprintf(`{"q": %s, "n": 1%s.0}`, quote(said), rapid.StringOfN(rapid.RuneFrom([]rune("0123456789")), 0, 20, -1).Draw(t, "digits"))
			first, member, value = fmt.Sprintf(`"id":"toolu_%d","name":"f%d","input":{}`, i, i%2), "partial_json", []byte(said)
		}
		event("content_block_start", fmt.Sprintf(`,"index":%d,"content_block":{"type":%q,%s}`, i, kind, first))
		runes := []rune(said)
		for len(runes) > 0 {
			n := rapid.IntRange(0, len(runes)).Draw(t, "delta")
			event("content_block_delta", fmt.Sprintf(`,"index":%d,"delta":{"type":"x_delta","%s":%s}`, i, member, quote(string(runes[:n]))))
			runes = runes[n:]
		}
		event("content_block_stop", fmt.Sprintf(`,"index":%d`, i))
		whole := strings.Replace(first, `""`, string(value), 1)
		if kind == "tool_use" {
			whole = strings.Replace(first, "{}", said, 1)
		}
		content = append(content, fmt.Appendf(nil, `{"type":%q,%s}`, kind, whole))
	}
	event("ping", "")
	event("message_delta", fmt.Sprintf(`,"delta":{"stop_reason":%q,"stop_sequence":null},"usage":%s`, stop, fmt.Sprintf(usage, 77)))
	event("message_stop", "")
	return fmt.Appendf(nil, `{"id":"msg_1","type":"message","role":"assistant","model":"claude-x","content":[%s],"stop_reason":%q,"stop_sequence":null,"usage":%s}`,
		bytes.Join(content, []byte(",")), stop, fmt.Sprintf(usage, 77)), stream
}

// A message says the same to a chat client whether it comes whole or as a stream, and
// its trace says the same of both.
func TestStreamAndWholeSayTheSame(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		whole, stream := message(t)
		respWhole, fault := chat(t, &upstream{body: bytes.NewReader(whole)}, plain)
		if fault != nil {
			t.Fatal(fault)
		}
		want, err := io.ReadAll(respWhole.Body)
		if err != nil {
			t.Fatal(err)
		}
		respStream, fault := chat(t, sseOf(stream), streaming)
		if fault != nil {
			t.Fatal(fault)
		}
		chunks, err := io.ReadAll(respStream.Body)
		if err != nil {
			t.Fatal(err)
		}
		got, summary := capturedAs(t, endpoint.Chat, chunks)
		if diff := cmp.Diff(loose(t, want), loose(t, got)); diff != "" {
			t.Fatalf("%s\n%s\nas a chat completion (-whole +stream):\n%s", whole, stream, diff)
		}
		if diff := cmp.Diff(capture.Summarize(want), summary); diff != "" {
			t.Fatalf("summary (-whole +stream):\n%s", diff)
		}
		if a, b := string(respWhole.Usage()), string(respStream.Usage()); a != b || !strings.Contains(a, `"output_tokens":77`) {
			t.Fatalf("usage: whole %s, stream %s", a, b)
		}
		native, summary := capturedAs(t, endpoint.Messages, stream)
		if diff := cmp.Diff(loose(t, whole), loose(t, native)); diff != "" {
			t.Fatalf("as a message (-whole +stream):\n%s", diff)
		}
		if diff := cmp.Diff(capture.SummarizeMessages(whole), summary); diff != "" {
			t.Fatalf("summary of the message (-whole +stream):\n%s", diff)
		}
	})
}

// capturedAs is what the trace of a stream holds.
func capturedAs(t interface{ Fatal(args ...any) }, e endpoint.Endpoint, stream []byte) ([]byte, capture.Summary) {
	s := capture.FormOf(e).Stream(1 << 20)
	var p sse.Events
	last := false
	err := p.Feed(stream, func(e sse.Event) error {
		_, last = s.Event(e)
		return nil
	})
	if err != nil || !last || !s.Ended() {
		t.Fatal("the stream has no end: ", string(stream), err)
	}
	b, truncated := s.JSON()
	if truncated {
		t.Fatal("truncated: ", string(b))
	}
	return b, s.Summary()
}

// loose is an answer without the members that are null.
func loose(t interface{ Fatal(args ...any) }, b []byte) any {
	var v any
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		t.Fatal(string(b), err)
	}
	var prune func(v any)
	prune = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for name, value := range v {
				if value == nil {
					delete(v, name)
				}
				prune(value)
			}
		case []any:
			for _, value := range v {
				prune(value)
			}
		}
	}
	prune(v)
	return v
}

func TestStreamUsageOnlyIfAsked(t *testing.T) {
	t.Parallel()
	for request, want := range map[string]int{
		streaming: 1,
		`{"model":"m","messages":[{"role":"user","content":"Hi"}],"stream":true}`:                                          0,
		`{"model":"m","messages":[{"role":"user","content":"Hi"}],"stream":true,"stream_options":{}}`:                      0,
		`{"model":"m","messages":[{"role":"user","content":"Hi"}],"stream":true,"stream_options":{"include_usage":false}}`: 0,
	} {
		resp, got, err := translated(t, sseOf(answerFile(t, "text.sse")), request)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(got, []byte(`"choices":[],"usage":{`)); n != want || bytes.Contains(got, []byte(`"usage":null`)) != (want == 1) {
			t.Errorf("%s: got %d usage chunks, want %d: %s", request, n, want, got)
		}
		const usage = `{"input_tokens":10,"cache_creation_input_tokens":20,"cache_read_input_tokens":90,"cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":20},"output_tokens":12,"service_tier":"standard"}`
		if s := string(resp.Usage()); s != usage {
			t.Errorf("usage: got %s, want %s", s, usage)
		}
	}
}

// firstEvents are the first n events of a stream.
func firstEvents(stream []byte, n int) []byte {
	return append(bytes.Join(bytes.SplitAfterN(stream, []byte("\n\n"), n+1)[:n], nil), "\nevent: content_bl"...)
}

func TestStreamThatBreaksOff(t *testing.T) {
	t.Parallel()
	reset := errors.New("connection reset")
	for _, row := range []struct {
		name       string
		end, want  error
		events     int
		wantMarker bool
	}{
		{"by an error", reset, reset, 4, false},
		{"by an end that looks clean", io.EOF, io.ErrUnexpectedEOF, 4, false},
		{"by an end after its stop reason", io.EOF, nil, 12, true},
		{"before it began", io.EOF, io.ErrUnexpectedEOF, 0, false},
	} {
		p := &pieces{rest: [][]byte{firstEvents(answerFile(t, "text.sse"), row.events)}, err: row.end}
		_, got, err := translated(t, &upstream{header: eventStream, body: p}, streaming)
		if !errors.Is(err, row.want) || bytes.Contains(got, []byte("[DONE]")) != row.wantMarker || bytes.Contains(got, []byte("Hello")) != (row.events > 2) {
			t.Errorf("%s: got %v, want %v: %s", row.name, err, row.want, got)
		}
	}
}

func TestStreamThatFails(t *testing.T) {
	t.Parallel()
	for event, want := range map[string]string{
		"event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n": `data: {"error":{"message":"Overloaded","type":"server_error","param":null,"code":"overloaded_error"}}` + "\n\n",
		"data: {\"error\":{\"message\":\"x\"}}\n\n": `data: {"error":{"message":"x","type":"server_error","param":null,"code":null}}` + "\n\n",
		"event: error\ndata: oh\n\n":                `data: {"error":{"message":"The provider broke off its answer.","type":"server_error","param":null,"code":"api_error"}}` + "\n\n",
	} {
		begun := firstEvents(answerFile(t, "text.sse"), 4)
		begun = append(begun[:bytes.LastIndex(begun, []byte("\n\n"))+2], event...)
		// What comes after it, be it an end that hangs, is not waited for.
		p := &pieces{rest: [][]byte{begun}, err: errors.New("read on")}
		_, got, err := translated(t, &upstream{header: eventStream, body: p}, streaming)
		if err != nil || !bytes.HasSuffix(got, []byte(want)) {
			t.Errorf("%q: got %v and %s, want %s", event, err, got, want)
		}
		s := capture.NewChat(1 << 20)
		var events sse.Events
		_ = events.Feed(got, func(e sse.Event) error { s.Event(e); return nil })
		if !s.Summary().Failed {
			t.Errorf("%q: the trace calls it no failure", event)
		}
	}
}

// An event is translated as soon as it is there: no read waits for the one after it.
func TestStreamWaitsForNoMoreThanOneEvent(t *testing.T) {
	t.Parallel()
	events := bytes.SplitAfter(answerFile(t, "tools.sse"), []byte("\n\n"))
	events = slices.DeleteFunc(events, func(e []byte) bool { return len(e) == 0 })
	counter := &counting{p: pieces{rest: events, err: io.EOF}}
	resp, fault := chat(t, &upstream{header: eventStream, body: counter}, streaming)
	if fault != nil {
		t.Fatal(fault)
	}
	buf := make([]byte, 32<<10)
	for i := 1; ; i++ {
		_, err := resp.Body.Read(buf)
		if counter.reads != i {
			t.Fatalf("read %d read the provider %d times", i, counter.reads)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

type counting struct {
	p     pieces
	reads int
}

func (c *counting) Read(p []byte) (int, error) { c.reads++; return c.p.Read(p) }

func TestStreamOddities(t *testing.T) {
	t.Parallel()
	start := func(index int, block string) string {
		return fmt.Sprintf("data: {\"type\":\"content_block_start\",\"index\":%d,\"content_block\":%s}\n\n", index, block)
	}
	const stop = "data: {\"type\":\"message_stop\"}\n\n"
	var many strings.Builder
	for i := range 200 {
		many.WriteString(start(i, `{"type":"tool_use","id":"t","name":"f","input":{}}`))
	}
	for _, row := range []struct{ name, stream, want, not string }{
		{"input that comes with the block", start(0, `{"type":"tool_use","id":"t","name":"f","input":{"a":1.0}}`) + "data: {\"type\":\"content_block_delta\",\"delta\":{\"partial_json\":\"x\"}}\n\n" + stop, `"arguments":"{\"a\":1.0}"`, `"x"`},
		{"text that comes with the block", start(0, `{"type":"text","text":"abc"}`) + stop, `"content":"abc"`, ""},
		{"more tool calls than clients take", many.String() + stop, `"index":127`, `"index":128`},
		{"nothing after the end", stop + start(0, `{"type":"text","text":"abc"}`), "[DONE]", "abc"},
		{"no stop reason", stop, `"finish_reason":"stop"`, ""},
		{"what is unknown or broken", "data: {\"type\":\"new\"}\n\ndata: [\n\n: c\n\n" + stop, "[DONE]", "error"},
	} {
		_, got, err := translated(t, sseOf([]byte(row.stream)), plain)
		if err != nil || !bytes.Contains(got, []byte(row.want)) || (row.not != "" && bytes.Contains(got, []byte(row.not))) {
			t.Errorf("%s: got %v and %s, want %s and not %s", row.name, err, got, row.want, row.not)
		}
	}
	// An event without end is not gathered for ever.
	endless := &upstream{header: eventStream, body: zeros{}}
	if _, _, err := translated(t, endless, streaming); !errors.Is(err, sse.ErrEventTooLarge) {
		t.Errorf("an event without end: got %v", err)
	}
	// A message to a client that asked for a stream, and the other way round.
	if _, got, err := translated(t, &upstream{body: bytes.NewReader(answerFile(t, "text.json"))}, streaming); err != nil || !bytes.HasPrefix(got, []byte(`{"id":"msg_01","object":"chat.completion",`)) {
		t.Errorf("a message instead of a stream: got %v and %s", err, got)
	}
	one := &upstream{header: http.Header{"Content-Type": {"text/event-stream"}}, body: iotest.OneByteReader(bytes.NewReader(answerFile(t, "text.sse")))}
	if _, got, err := translated(t, one, plain); err != nil || !bytes.HasPrefix(got, []byte(`data: {"id":"msg_01"`)) {
		t.Errorf("a stream instead of a message: got %v and %s", err, got)
	}
}
