package gateway_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"loom.internal/pkg/catalog"
	"loom.internal/pkg/envelope"
	"loom.internal/pkg/event"
	"loom.internal/pkg/testkit"
	"loom.internal/services/gateway"
)

// twoTargets is a route "pair" to a first and a second provider.
func twoTargets(o catalog.RouteOptions, first, second string) setup {
	return setup{
		others: map[string]string{"first": first, "second": second},
		routes: []catalog.Route{{
			Model: "pair", RouteOptions: o,
			Targets: []catalog.Target{{Provider: "first", Model: "one"}, {Provider: "second", Model: "two"}},
		}},
	}
}

// oneTarget is a route "pair" to one provider, of a kind that is asked for usage.
func oneTarget(o catalog.RouteOptions, base string) setup {
	return setup{
		upstream: base, kind: catalog.OpenAI,
		routes: []catalog.Route{{Model: "pair", RouteOptions: o, Targets: []catalog.Target{{Provider: "up", Model: "one"}}}},
	}
}

const pairChat = `{"model":"pair","messages":[]}`

// What fails before its first byte is answered by the next target; the trace has every
// call, and names the target that answered.
func TestFallsBack(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		script http.HandlerFunc
		status int32
		class  string
	}{
		"server error":     {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, 500, "upstream_error"},
		"overloaded":       {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(529) }, 529, "upstream_error"},
		"rate limit":       {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(429) }, 429, "upstream_rate_limited"},
		"credentials":      {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) }, 401, "provider_auth_error"},
		"broken before it": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 0, "upstream_error"},
		"no header in time": {
			func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, 0, "upstream_timeout",
		},
	} {
		for _, stream := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, stream %v", name, stream), func(t *testing.T) {
				t.Parallel()
				bad := testkit.Upstream(t, func(w http.ResponseWriter, r *http.Request, _ []byte) { tt.script(w, r) })
				good := respond(t, 200, "application/json", whole)
				if stream {
					good = respond(t, 200, "text/event-stream", "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n")
				}
				w := start(t, twoTargets(catalog.RouteOptions{HeaderTimeout: 300}, bad.URL, good.URL))
				a := w.chat(fmt.Sprintf(`{"model":"pair","stream":%v,"messages":[]}`, stream))
				equal(t, "status", a.status, 200)
				equal(t, "error", a.err, nil)
				contains(t, "second request", string(good.Requests()[0].Body), `"model":"two"`)
				e := w.trace()
				equal(t, "outcome", e.GetOutcome(), event.Outcome_OUTCOME_COMPLETED)
				equal(t, "provider", e.GetProvider(), "second")
				equal(t, "model", e.GetModelUpstream(), "two")
				equal(t, "attempts", len(e.GetAttempts()), 2)
				first, second := e.GetAttempts()[0], e.GetAttempts()[1]
				equal(t, "first", fmt.Sprint(first.GetProvider(), first.GetStatus(), first.GetErrorClass()), fmt.Sprint("first", tt.status, tt.class))
				equal(t, "second", fmt.Sprint(second.GetProvider(), second.GetStatus(), second.GetErrorClass()), fmt.Sprint("second", 200, ""))
				if second.GetStartUs() < first.GetStartUs()+first.GetDurationUs() {
					t.Errorf("attempts overlap: %v", e.GetAttempts())
				}
			})
		}
	}
}

// What is the client's own fault, or has begun, is not tried elsewhere.
func TestDoesNotFallBack(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		status int
		script string
		class  string
	}{
		"bad request":     {400, `{"error":{"message":"no","type":"invalid_request_error","param":null,"code":null}}`, "upstream_rejected"},
		"broken mid-body": {200, "", "upstream_cut"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad := testkit.Upstream(t, func(w http.ResponseWriter, _ *http.Request, _ []byte) {
				if tt.script == "" {
					w.Header().Set("Content-Type", "text/event-stream")
					_, _ = io.WriteString(w, "data: {}\n\n")
					_ = http.NewResponseController(w).Flush()
					panic(http.ErrAbortHandler)
				}
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, tt.script)
			})
			good := respond(t, 200, "application/json", whole)
			w := start(t, twoTargets(catalog.RouteOptions{}, bad.URL, good.URL))
			a := w.chat(pairChat)
			equal(t, "status", a.status, tt.status)
			if tt.script != "" {
				equal(t, "body", a.body, tt.script)
			} else if a.err == nil {
				t.Error("a cut stream ended as if it were whole")
			}
			equal(t, "calls of the other", len(good.Requests()), 0)
			e := w.trace()
			equal(t, "attempts", len(e.GetAttempts()), 1)
			equal(t, "class", e.GetErrorClass(), tt.class)
			equal(t, "provider", e.GetProvider(), "first")
		})
	}
}

// When all have failed the client gets the last failure as it came.
func TestLastFailureIsTheAnswer(t *testing.T) {
	t.Parallel()
	const body = `{"error":{"message":"busy","type":"server_error","param":null,"code":"busy"}}`
	bad, worse := respond(t, 500, "text/html", "<p>no"), respond(t, 503, "application/json", body, "Retry-After-Ms", "30")
	w := start(t, twoTargets(catalog.RouteOptions{}, bad.URL, worse.URL))
	a := w.chat(pairChat)
	equal(t, "status", a.status, 503)
	equal(t, "body", a.body, body)
	equal(t, "retry-after-ms", a.header.Get("Retry-After-Ms"), "30")
	equal(t, "attempts", len(w.trace().GetAttempts()), 2)
}

// A target that keeps failing is left alone, and with nothing else there is an answer of
// the gateway's own, without a call and without a trace.
func TestCircuitOpens(t *testing.T) {
	t.Parallel()
	bad := respond(t, 500, "application/json", `{"error":{}}`)
	w := start(t, twoTargets(catalog.RouteOptions{}, bad.URL, bad.URL))
	for range 5 {
		equal(t, "status", w.chat(pairChat).status, 500)
	}
	a := w.chat(pairChat)
	equal(t, "status", a.status, 503)
	w.envelope(a, "server_error", "provider_unavailable")
	if after := a.header.Get("Retry-After"); after == "" || after == "0" {
		t.Errorf("retry-after: got %q", after)
	}
	equal(t, "calls", len(bad.Requests()), 10)
	w.traces(5)
}

// A route's only target is called whatever has been: its own answer tells the most.
func TestOnlyTargetHasNoCircuit(t *testing.T) {
	t.Parallel()
	bad := respond(t, 500, "application/json", `{"error":{}}`)
	w := start(t, setup{upstream: bad.URL})
	for range 20 {
		equal(t, "status", w.chat(asked).status, 500)
	}
	equal(t, "calls", len(bad.Requests()), 20)
}

// A route's own limits: on the whole request, and on silence within an answer.
func TestTimesOfARoute(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		options catalog.RouteOptions
		class   string
	}{
		"idle":  {catalog.RouteOptions{IdleTimeout: 100}, "upstream_idle_timeout"},
		"total": {catalog.RouteOptions{Timeout: 200}, "upstream_timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			slow := testkit.Upstream(t, func(w http.ResponseWriter, r *http.Request, _ []byte) {
				w.Header().Set("Content-Type", "text/event-stream")
				_, _ = io.WriteString(w, chunk("one"))
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
			})
			w := start(t, twoTargets(tt.options, slow.URL, slow.URL))
			begun := time.Now()
			a := w.chat(`{"model":"pair","stream":true}`)
			if took := time.Since(begun); took > 5*time.Second {
				t.Errorf("took %s", took)
			}
			contains(t, "body", a.body, `data: {"error":{"message":"The provider did not answer in time.","type":"server_error"`)
			if a.err == nil {
				t.Error("the stream ended as if it were whole")
			}
			e := w.trace()
			equal(t, "class", e.GetErrorClass(), tt.class)
			equal(t, "outcome", e.GetOutcome(), event.Outcome_OUTCOME_FAILED)
			contains(t, "recorded", w.open(e, envelope.FieldResponse), `"content":"one"`)
		})
	}
}

// Bytes that are no text pass as they come and are not recorded; an end is never clean
// that is none.
func TestBytesPass(t *testing.T) {
	t.Parallel()
	sound := make([]byte, 100_000)
	for i := range sound {
		sound[i] = byte(i * 7)
	}
	first := make(chan struct{})
	up := testkit.Upstream(t, func(w http.ResponseWriter, _ *http.Request, body []byte) {
		w.Header().Set("Content-Type", "audio/mpeg")
		_, _ = w.Write(sound[:10])
		_ = http.NewResponseController(w).Flush()
		<-first
		if strings.Contains(string(body), "break") {
			panic(http.ErrAbortHandler)
		}
		_, _ = w.Write(sound[10:])
	})
	w := start(t, setup{upstream: up.URL})
	for i, input := range []string{"whole", "break"} {
		resp, err := w.client.Do(w.request(context.Background(), http.MethodPost, "/v1/audio/speech", fmt.Appendf(nil, `{"model":"gpt-tts","input":%q}`, input)))
		w.must(err)
		head := make([]byte, 9) // the last of what came is held back
		_, err = io.ReadFull(resp.Body, head)
		w.must(err) // before the provider has gone on
		if i == 0 {
			close(first)
		}
		rest, err := io.ReadAll(resp.Body)
		w.must(resp.Body.Close())
		equal(t, "content type", resp.Header.Get("Content-Type"), "audio/mpeg")
		if input == "break" {
			if err == nil {
				t.Error("a cut answer ended as if it were whole")
			}
			continue
		}
		equal(t, "bytes", string(head)+string(rest), string(sound))
	}
	events := w.traces(2)
	equal(t, "outcome", events[0].GetOutcome(), event.Outcome_OUTCOME_COMPLETED)
	equal(t, "endpoint", events[0].GetEndpoint(), "audio.speech")
	equal(t, "bytes", events[0].GetResponseBytes(), int64(len(sound)))
	equal(t, "recorded", events[0].GetResponseBody() == nil, true)
	equal(t, "class", events[1].GetErrorClass(), "upstream_cut")
	equal(t, "path", up.Requests()[0].Path, "/audio/speech")
}

// Bodies of requests being served have a bound together.
func TestBodyMemory(t *testing.T) {
	t.Parallel()
	leave := make(chan struct{})
	up := testkit.Upstream(t, func(w http.ResponseWriter, _ *http.Request, _ []byte) {
		<-leave
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, whole)
	})
	w := start(t, setup{upstream: up.URL, change: func(c *gateway.Config) { c.MaxBody, c.BodyMemory = 1<<20, 1<<20 }})
	big := `{"model":"gpt-1","messages":[],"x":"` + strings.Repeat("x", 700_000) + `"}`
	done := make(chan answer)
	go func() { done <- w.chat(big) }()
	up.Await(t, 1, patience)
	a := w.chat(big)
	equal(t, "a second one", a.status, 503)
	w.envelope(a, "server_error", "provider_unavailable")
	equal(t, "retry-after", a.header.Get("Retry-After"), "1")
	close(leave)
	equal(t, "the first", (<-done).status, 200)
	equal(t, "afterwards", w.chat(big).status, 200)
}

// A client that leaves while another call is waited for is a client that has left.
func TestClientLeavesBetweenCalls(t *testing.T) {
	t.Parallel()
	bad := testkit.Upstream(t, func(w http.ResponseWriter, _ *http.Request, _ []byte) { w.WriteHeader(500) })
	w := start(t, oneTarget(catalog.RouteOptions{Retries: 5}, bad.URL))
	ctx, cancel := context.WithCancel(t.Context())
	go func() { bad.Await(t, 2, patience); cancel() }()
	resp, err := w.client.Do(w.request(ctx, http.MethodPost, "/v1/chat/completions", []byte(pairChat)))
	if err == nil {
		_ = resp.Body.Close()
		t.Errorf("got status %d", resp.StatusCode)
	}
	e := w.trace()
	equal(t, "outcome", e.GetOutcome(), event.Outcome_OUTCOME_CANCELED)
	equal(t, "status", e.GetHttpStatus(), 499)
	if n := len(e.GetAttempts()); n < 2 || n > 3 {
		t.Errorf("got %d attempts", n)
	}
}
