package gateway_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"loom.internal/pkg/catalog"
	"loom.internal/pkg/envelope"
	"loom.internal/pkg/event"
	"loom.internal/pkg/testkit"
	"loom.internal/services/gateway"
)

// play is an upstream that streams chunks, whatever it is asked.
func play(t *testing.T, chunks ...string) *testkit.Provider {
	t.Helper()
	return testkit.Upstream(t, func(w http.ResponseWriter, _ *http.Request, _ []byte) {
		if err := testkit.SSE(w, chunks...); err != nil {
			t.Error(err)
		}
	})
}

// respond is an upstream with one answer.
func respond(t *testing.T, status int, contentType, body string, header ...string) *testkit.Provider {
	t.Helper()
	return testkit.Upstream(t, func(w http.ResponseWriter, _ *http.Request, _ []byte) {
		w.Header().Set("Content-Type", contentType)
		for i := 0; i < len(header); i += 2 {
			w.Header().Add(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

const (
	asked       = `{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]}`
	askedStream = `{"model":"gpt-4o","messages":[],"stream":true}`
	whole       = `{"id":"c1","object":"chat.completion","created":5,"model":"gpt-4o-2024","service_tier":"default","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],"usage":{ "prompt_tokens":1, "completion_tokens":2,"x":12345678901234567890 }}`
)

func chunk(content string) string {
	return fmt.Sprintf("data: {\"id\":\"c1\",\"model\":\"gpt-4o-2024\",\"choices\":[{\"index\":0,\"delta\":{\"content\":%q},\"finish_reason\":null}]}\n\n", content)
}

const (
	last = "data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
	done = "data: [DONE]\n\n"
)

func TestRequestBytesArriveUnchanged(t *testing.T) {
	t.Parallel()
	up := respond(t, 200, "application/json", whole)
	w := start(t, setup{upstream: up.URL + "/v1"})
	var raw bytes.Buffer
	raw.WriteString("\t{ \"z\":1.0, \"n\": 12345678901234567890, \"esc\":\"\\/\\u0041\", \"dup\":1, \"dup\":2,\r\n \"bytes\":\"")
	for b := 0x20; b <= 0xff; b++ {
		if b != '"' && b != '\\' {
			raw.WriteByte(byte(b))
		}
	}
	raw.WriteString("\" , \"model\" : \"gpt-4o\",\"messages\":[] } \n")
	a := w.do(w.request(t.Context(), http.MethodPost, "/v1/chat/completions", raw.Bytes()))
	equal(t, "status", a.status, 200)
	equal(t, "answer", a.body, whole)
	if got := up.Requests()[0].Body; !bytes.Equal(got, raw.Bytes()) {
		t.Errorf("request body:\n got %q\nwant %q", got, raw.Bytes())
	}
	e := w.trace()
	equal(t, "usage", string(e.GetUsageRaw()), `{ "prompt_tokens":1, "completion_tokens":2,"x":12345678901234567890 }`)
	equal(t, "answered", e.GetModelAnswered(), "gpt-4o-2024")
	equal(t, "tier", e.GetServiceTier(), "default")
	equal(t, "request", w.open(e, envelope.FieldRequest), raw.String())
	equal(t, "response", w.open(e, envelope.FieldResponse), whole)
	equal(t, "route", e.GetRoute(), "gpt-*")
	equal(t, "attempts", len(e.GetAttempts()), 1)
	equal(t, "trace header", a.header.Get("X-Loom-Trace-Id"), e.GetTraceId())
}

func TestModelIsRenamedInPlace(t *testing.T) {
	t.Parallel()
	up := respond(t, 200, "application/json", whole)
	w := start(t, setup{upstream: up.URL})
	a := w.chat(`{ "a":[{"model":"no"}], "mod\u0065l" :"alias", "stream":false}`)
	equal(t, "status", a.status, 200)
	equal(t, "body", string(up.Requests()[0].Body), `{ "a":[{"model":"no"}], "mod\u0065l" :"gpt-real \"quoted\"", "stream":false}`)
	e := w.trace()
	equal(t, "requested", e.GetModelRequested(), "alias")
	equal(t, "upstream", e.GetModelUpstream(), `gpt-real "quoted"`)
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	up := respond(t, 200, "application/json; charset=utf-8", whole,
		"X-Request-Id", "req_provider", "X-Ratelimit-Remaining-Tokens", "7", "Openai-Organization", "owner", "Set-Cookie", "__cf_bm=1",
		"Retry-After-Ms", "9", "Server", "cloudflare", "Alt-Svc", "h3", "X-Hop", "1", "Connection", "X-Hop", "X-Loom-Trace-Id", "forged", "X-Ms-Region", "Sweden")
	w := start(t, setup{upstream: up.URL})
	a := w.chat(asked, "Authorization", "", "X-Api-Key", w.key, "Api-Key", w.key, "Cookie", "c", "Openai-Organization", "org", "Openai-Project", "p",
		"X-Forwarded-For", "1.2.3.4", "Idempotency-Key", "idem", "X-Stainless-Lang", "js", "User-Agent", "me/1", "Openai-Beta", "b",
		"Connection", "X-Private", "X-Private", "1", "Accept-Encoding", "br", "X-Loom-Session-Id", "s1", "Traceparent", "00-1")
	equal(t, "status", a.status, 200)
	got := up.Requests()[0].Header
	want := http.Header{
		"Authorization": {"Bearer sk-upstream-secret"}, "Content-Type": {"application/json"}, "Idempotency-Key": {"idem"},
		"X-Stainless-Lang": {"js"}, "User-Agent": {"me/1"}, "Openai-Beta": {"b"}, "Traceparent": {"00-1"},
		"Accept-Encoding": {"gzip"}, "Content-Length": {fmt.Sprint(len(asked))},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("request header (-want +got):\n%s", diff)
	}
	a.header.Del("Date")
	e := w.trace()
	wantAnswer := http.Header{
		"Content-Type": {"application/json; charset=utf-8"}, "X-Request-Id": {"req_provider"}, "X-Ratelimit-Remaining-Tokens": {"7"},
		"Retry-After-Ms": {"9"}, "X-Ms-Region": {"Sweden"}, "X-Loom-Trace-Id": {e.GetTraceId()}, "Content-Length": {fmt.Sprint(len(whole))},
	}
	if diff := cmp.Diff(wantAnswer, a.header); diff != "" {
		t.Errorf("answer header (-want +got):\n%s", diff)
	}
	equal(t, "session", e.GetSessionId(), "s1")
	equal(t, "region", e.GetRegion(), "Sweden")
}

func TestStreamBytesArriveUnchanged(t *testing.T) {
	t.Parallel()
	for name, stream := range map[string]string{
		"lf":              chunk("a") + chunk("b") + last + done,
		"crlf":            strings.ReplaceAll(chunk("a")+last+done, "\n", "\r\n"),
		"cr":              strings.ReplaceAll(chunk("a")+last+done, "\n", "\r"),
		"comments":        ": keep\n\n" + chunk("é\u2028") + "id: 7\nretry: 9\n" + last + ": before\n" + done,
		"no space":        strings.ReplaceAll(chunk("a")+last+done, "data: ", "data:"),
		"no done":         chunk("a") + last,
		"no last blank":   chunk("a") + last + "data: [DONE]\n",
		"after done":      chunk("a") + last + done + ": bye\n\n",
		"several data":    "data: {\"id\":\"x\",\ndata: \"choices\":[]}\n\n" + chunk("a") + last + done,
		"usage on a text": strings.Replace(chunk("a"), `"choices"`, `"usage":{"prompt_tokens":3},"choices"`, 1) + last + done,
	} {
		for _, size := range []int{1 << 20, 7, 1} {
			t.Run(fmt.Sprintf("%s/%d", name, size), func(t *testing.T) {
				t.Parallel()
				var pieces []string
				for rest := stream; rest != ""; {
					n := min(size, len(rest))
					pieces, rest = append(pieces, rest[:n]), rest[n:]
				}
				up := play(t, pieces...)
				w := start(t, setup{upstream: up.URL})
				a := w.chat(askedStream)
				w.must(a.err)
				equal(t, "stream", a.body, stream)
				e := w.trace()
				equal(t, "outcome", e.GetOutcome(), event.Outcome_OUTCOME_COMPLETED)
				equal(t, "error class", e.GetErrorClass(), "")
			})
		}
	}
}

func TestUsageIsAskedForAndHidden(t *testing.T) {
	t.Parallel()
	c := func(rest string) string {
		return `data: {"id":"c","choices":[{"index":0,"delta":{"content":"x"}}]` + rest + "}\n\n"
	}
	usage := `data: {"id":"c","choices":[],"usage":{"prompt_tokens":9, "completion_tokens":4}}` + "\n\n"
	filter := `data: {"choices":[],"prompt_filter_results":[{"a":1}],"usage":null}` + "\n\n"
	upstream := filter + c(`,"usage":null,"obfuscation":"abc"`) + `data: {"usage":null,"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n" + usage + done
	hidden := strings.ReplaceAll(filter, `,"usage":null`, "") + c(`,"obfuscation":"abc"`) + `data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n" + done
	for _, row := range []struct{ name, options, sent, seen string }{
		{"not asked", ``, `"stream_options":{"include_usage":true},`, hidden},
		{"asked", `"stream_options": {"include_usage": true},`, `"stream_options": {"include_usage": true},`, upstream},
		{"null", `"stream_options":null,`, `"stream_options":{"include_usage":true},`, hidden},
		{"empty", `"stream_options": { },`, `"stream_options": {"include_usage":true },`, hidden},
		{"other", `"stream_options":{"include_obfuscation":false},`, `"stream_options":{"include_usage":true,"include_obfuscation":false},`, hidden},
		{"said no", `"stream_options":{"include_usage":false},`, `"stream_options":{"include_usage":true},`, hidden},
		{"odd", `"stream_options":7,`, `"stream_options":7,`, upstream},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			up := play(t, upstream[:len(upstream)/2], upstream[len(upstream)/2:])
			w := start(t, setup{upstream: up.URL, kind: catalog.OpenAI})
			a := w.chat(`{` + row.options + `"model":"gpt-4o","stream":true}`)
			w.must(a.err)
			equal(t, "sent", string(up.Requests()[0].Body), `{`+row.sent+`"model":"gpt-4o","stream":true}`)
			equal(t, "seen", a.body, row.seen)
			equal(t, "usage", string(w.trace().GetUsageRaw()), `{"prompt_tokens":9, "completion_tokens":4}`)
		})
	}
	t.Run("compatible is not asked", func(t *testing.T) {
		t.Parallel()
		up := play(t, upstream)
		w := start(t, setup{upstream: up.URL})
		a := w.chat(askedStream)
		equal(t, "sent", string(up.Requests()[0].Body), askedStream)
		equal(t, "seen", a.body, upstream)
	})
}

func TestStreamIsFlushedPerEventAndDoneWaitsForTheTrace(t *testing.T) {
	t.Parallel()
	step := make(chan struct{}, 8)
	up := testkit.Upstream(t, func(w http.ResponseWriter, r *http.Request, _ []byte) {
		for _, piece := range []string{"", chunk("a"), "data: {\"half\":", "1}\n\n", last, done} {
			select {
			case <-step:
			case <-r.Context().Done():
				return
			}
			if testkit.SSE(w, piece) != nil {
				return
			}
		}
	})
	w := start(t, setup{upstream: up.URL})
	step <- struct{}{}
	resp, err := w.client.Do(w.request(t.Context(), http.MethodPost, "/v1/chat/completions", []byte(askedStream)))
	w.must(err) // the header came before any event
	defer resp.Body.Close()
	for _, want := range []string{chunk("a"), "data: {\"half\":", "1}\n\n", last, done} {
		step <- struct{}{}
		got := make([]byte, len(want))
		_, err := io.ReadFull(resp.Body, got)
		w.must(err)
		equal(t, "piece", string(got), want)
	}
	w.trace()
	equal(t, "cache-control", resp.Header.Get("Cache-Control"), "no-cache")
}

func TestGzip(t *testing.T) {
	t.Parallel()
	up := testkit.Upstream(t, func(w http.ResponseWriter, r *http.Request, body []byte) {
		w.Header().Set("Content-Encoding", "gzip")
		kind, text := "application/json", whole
		if bytes.Contains(body, []byte(`"stream":true`)) {
			kind, text = "text/event-stream", chunk("a")+last+done
		}
		w.Header().Set("Content-Type", kind)
		z := gzip.NewWriter(w)
		_, _ = io.WriteString(z, text)
		_ = z.Close()
	})
	w := start(t, setup{upstream: up.URL})
	w.client.Transport.(*http.Transport).DisableCompression = true
	for body, want := range map[string]string{asked: whole, askedStream: chunk("a") + last + done} {
		a := w.chat(body, "Accept-Encoding", "gzip, br")
		equal(t, "body", a.body, want)
		equal(t, "content-encoding", a.header.Get("Content-Encoding"), "")
	}
	for _, e := range w.traces(2) {
		equal(t, "outcome", e.GetOutcome(), event.Outcome_OUTCOME_COMPLETED)
	}
}

func TestProviderFaults(t *testing.T) {
	t.Parallel()
	azure := `{"error":{"code":429,"innererror":{"a":1}, "message":"m"}}`
	for _, row := range []struct {
		name, contentType, body     string
		status, wantStatus          int
		wantBody, wantCode, wantCls string
	}{
		{"json passes", "application/json", azure, 429, 429, azure, "", "upstream_rate_limited"},
		{"bad request passes", "application/json", azure, 400, 400, azure, "", "upstream_rejected"},
		{"html becomes the envelope", "text/html", "<h1>bad\ngateway</h1>", 502, 502, "", "upstream_error", "upstream_error"},
		{"empty becomes the envelope", "text/plain", "", 503, 503, "", "upstream_error", "upstream_error"},
		{"401 is ours", "application/json", azure, 401, 502, "", "provider_auth_error", "provider_auth_error"},
		{"403 is ours", "application/json", azure, 403, 502, "", "provider_auth_error", "provider_auth_error"},
		{"redirect is not followed", "application/json", azure, 302, 502, "", "upstream_error", "upstream_error"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			up := respond(t, row.status, row.contentType, row.body, "Retry-After", "7", "X-Should-Retry", "true", "Location", "http://127.0.0.1:1/")
			w := start(t, setup{upstream: up.URL})
			for i, body := range []string{asked, askedStream} {
				a := w.chat(body)
				equal(t, "status", a.status, row.wantStatus)
				if row.wantBody != "" {
					equal(t, "body", a.body, row.wantBody)
					equal(t, "retry-after", a.header.Get("Retry-After"), "7")
				} else {
					w.envelope(a, "server_error", row.wantCode)
				}
				e := w.traces(i + 1)[i]
				equal(t, "outcome", e.GetOutcome(), event.Outcome_OUTCOME_FAILED)
				equal(t, "class", e.GetErrorClass(), row.wantCls)
				equal(t, "status in the trace", e.GetHttpStatus(), int32(row.wantStatus))
				equal(t, "attempt's status", e.GetAttempts()[0].GetStatus(), int32(row.status))
				equal(t, "recorded", w.open(e, envelope.FieldResponse), row.body)
				if row.wantCode == "provider_auth_error" {
					equal(t, "x-should-retry", a.header.Get("X-Should-Retry"), "false")
				}
			}
		})
	}
}

// envelope checks an error of the gateway's own.
func (w *world) envelope(a answer, typ, code string) {
	w.tb.Helper()
	var body struct {
		Error map[string]any `json:"error"`
	}
	if err := json.Unmarshal([]byte(a.body), &body); err != nil {
		w.tb.Fatalf("%q: %v", a.body, err)
	}
	equal(w.tb, "members", len(body.Error), 4)
	equal(w.tb, "type", body.Error["type"], any(typ))
	var want any
	if code != "" {
		want = code
	}
	equal(w.tb, "code", body.Error["code"], want)
	equal(w.tb, "content type", a.header.Get("Content-Type"), "application/json")
	if body.Error["message"] == "" || a.header.Get("X-Request-Id") == "" {
		w.tb.Errorf("no message or no request id: %s", a.body)
	}
}

func TestProviderDown(t *testing.T) {
	t.Parallel()
	w := start(t, setup{upstream: "http://127.0.0.1:1"})
	a := w.chat(askedStream)
	equal(t, "status", a.status, 502)
	w.envelope(a, "server_error", "upstream_error")
	e := w.trace()
	equal(t, "class", e.GetErrorClass(), "upstream_unreachable")
	equal(t, "trace header", a.header.Get("X-Loom-Trace-Id"), e.GetTraceId())
	equal(t, "request", w.open(e, envelope.FieldRequest), askedStream)
	equal(t, "response", e.GetResponseBody() == nil, true)
}

func TestPrivateUpstreamIsRefused(t *testing.T) {
	t.Parallel()
	up := respond(t, 200, "application/json", whole)
	w := start(t, setup{upstream: strings.Replace(up.URL, "http:", "https:", 1), change: func(c *gateway.Config) { c.AllowPrivateUpstreams = false }})
	equal(t, "status", w.chat(asked).status, 502)
	equal(t, "class", w.trace().GetErrorClass(), "upstream_unreachable")
	w2 := start(t, setup{upstream: up.URL, change: func(c *gateway.Config) { c.AllowPrivateUpstreams = false }})
	a := w2.chat(asked)
	equal(t, "status of plain http", a.status, 503)
	w2.envelope(a, "server_error", "provider_unavailable")
	equal(t, "class", w2.trace().GetErrorClass(), "provider_unavailable")
	equal(t, "requests that got through", len(up.Requests()), 0)
}

func TestCutStreamIsNoCleanEnd(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct{ sent, seen string }{
		"between events":   {chunk("part"), chunk("part")},
		"within an event":  {chunk("part") + "data: {\"id", chunk("part") + "data: {\"id\n\n"},
		"within the line":  {chunk("part") + "data: {}\n", chunk("part") + "data: {}\n\n\n"},
		"within the done":  {chunk("part") + "data: [DO", chunk("part")},
		"before any event": {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			up := testkit.Upstream(t, func(w http.ResponseWriter, _ *http.Request, _ []byte) {
				_ = testkit.SSE(w, row.sent)
				_ = testkit.Cut(w)
			})
			w := start(t, setup{upstream: up.URL})
			a := w.chat(askedStream)
			if a.err == nil {
				t.Error("the stream ended cleanly")
			}
			contains(t, "stream", a.body, row.seen+`data: {"error":{"message":`)
			e := w.trace()
			equal(t, "class", e.GetErrorClass(), "upstream_cut")
			equal(t, "usage source", e.GetUsageSource(), event.UsageSource_USAGE_SOURCE_NONE)
			if row.sent != "" {
				contains(t, "recorded", w.open(e, envelope.FieldResponse), `"content":"part"`)
			}
		})
	}
	t.Run("whole answer", func(t *testing.T) {
		t.Parallel()
		up := testkit.Upstream(t, func(w http.ResponseWriter, _ *http.Request, _ []byte) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "{")
			_ = http.NewResponseController(w).Flush()
			_ = testkit.Cut(w)
		})
		w := start(t, setup{upstream: up.URL})
		a := w.chat(asked)
		equal(t, "status", a.status, 502)
		equal(t, "class", w.trace().GetErrorClass(), "upstream_cut")
	})
}

func TestErrorsInsideOfASuccess(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct{ body, class string }{
		"error then done": {"data: {\"error\":{\"message\":\"x\"}}\n\n" + done, "upstream_error_in_answer"},
		"error event":     {chunk("a") + "event: error\ndata: {\"message\":\"x\"}\n\n", "upstream_error_in_answer"},
		"null is none":    {strings.Replace(chunk("a"), "{", "{\"error\":null,", 1) + last + done, ""},
		"truncated":       {chunk("a"), "upstream_truncated"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t, setup{upstream: play(t, row.body).URL})
			a := w.chat(askedStream)
			w.must(a.err)
			equal(t, "stream", a.body, row.body)
			e := w.trace()
			equal(t, "class", e.GetErrorClass(), row.class)
			equal(t, "failed", e.GetOutcome() == event.Outcome_OUTCOME_FAILED, row.class != "")
		})
	}
	t.Run("whole", func(t *testing.T) {
		t.Parallel()
		body := `{"error":{"message":"x"}}`
		w := start(t, setup{upstream: respond(t, 200, "application/json", body).URL})
		equal(t, "body", w.chat(asked).body, body)
		equal(t, "class", w.trace().GetErrorClass(), "upstream_error_in_answer")
	})
}

func TestBigBody(t *testing.T) {
	t.Parallel()
	up := respond(t, 200, "application/json", whole)
	w := start(t, setup{upstream: up.URL, change: func(c *gateway.Config) { c.CaptureLimit = 384 << 10 }})
	body := `{"model":"gpt-4o","image":"` + strings.Repeat("QUJD", 5<<20) + `"}`
	equal(t, "status", w.chat(body).status, 200)
	if got := up.Requests()[0].Body; string(got) != body {
		t.Errorf("a body of %d bytes arrived as %d", len(body), len(got))
	}
	e := w.trace()
	equal(t, "truncated", e.GetRequestBody().GetTruncated(), true)
	equal(t, "recorded", w.open(e, envelope.FieldRequest), body[:384<<10])
	equal(t, "bytes", e.GetRequestBytes(), int64(len(body)))
}

func TestSDKSeesErrorsAndTools(t *testing.T) {
	t.Parallel()
	tool := func(args string) string {
		return fmt.Sprintf("data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"call_1\",\"type\":\"function\",\"function\":{\"name\":\"weather\",\"arguments\":%q}}]}}]}\n\n", args)
	}
	up := testkit.Upstream(t, func(w http.ResponseWriter, _ *http.Request, body []byte) {
		switch {
		case bytes.Contains(body, []byte("cut")):
			_ = testkit.SSE(w, chunk("a"))
			_ = testkit.Cut(w)
		case bytes.Contains(body, []byte("limit")):
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(429)
			_, _ = io.WriteString(w, `{"error":{"message":"slow","type":"requests","param":null,"code":"rate_limit_exceeded"}}`)
		default:
			_ = testkit.SSE(w, tool(`{"city":`), tool(`"Oslo"}`), strings.Replace(last, "stop", "tool_calls", 1), done)
		}
	})
	w := start(t, setup{upstream: up.URL})
	client := openai.NewClient(option.WithBaseURL(w.url), option.WithAPIKey(w.key), option.WithMaxRetries(0))
	params := func(text string) openai.ChatCompletionNewParams {
		return openai.ChatCompletionNewParams{Model: "gpt-4o", Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage(text)}}
	}
	_, err := client.Chat.Completions.New(t.Context(), params("limit"))
	fault, ok := errors.AsType[*openai.Error](err)
	if !ok || fault.StatusCode != 429 || fault.Code != "rate_limit_exceeded" {
		t.Errorf("error: got %v", err)
	}
	stream := client.Chat.Completions.NewStreaming(t.Context(), params("cut"))
	for stream.Next() {
	}
	if err := stream.Err(); err == nil || !strings.Contains(err.Error(), "upstream_error") {
		t.Errorf("a cut stream: got %v", err)
	}
	stream = client.Chat.Completions.NewStreaming(t.Context(), params("tools"))
	for stream.Next() {
	}
	w.must(stream.Err())
	e := w.traces(3)[2]
	equal(t, "tool", strings.Join(e.GetToolNames(), ","), "weather")
	equal(t, "finish", strings.Join(e.GetFinishReasons(), ","), "tool_calls")
	contains(t, "recorded", w.open(e, envelope.FieldResponse), `"tool_calls":[{"id":"call_1","type":"function","function":{"name":"weather","arguments":"{\"city\":\"Oslo\"}"}}]`)
	stranger := openai.NewClient(option.WithBaseURL(w.url), option.WithAPIKey("nope"), option.WithMaxRetries(0))
	_, err = stranger.Chat.Completions.New(t.Context(), params("x"))
	if fault, ok := errors.AsType[*openai.Error](err); !ok || fault.StatusCode != 401 {
		t.Errorf("wrong key: got %v", err)
	}
}
