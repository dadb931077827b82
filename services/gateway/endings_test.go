package gateway_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"loom.internal/pkg/catalog"
	"loom.internal/pkg/envelope"
	"loom.internal/pkg/event"
	"loom.internal/pkg/tenant"
	"loom.internal/pkg/testkit"
	"loom.internal/services/gateway"
)

// usageChunk reports usage, as a provider does that was asked for it.
const usageChunk = `data: {"id":"c","object":"chat.completion.chunk","choices":[],` + usageOf7 + "}\n\n"

// begin sends the first bytes of a plain answer that is longer.
func begin(w http.ResponseWriter, piece string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", "1000")
	_, _ = io.WriteString(w, piece)
	_ = http.NewResponseController(w).Flush()
}

// Every way a request can end is one trace that says so, with what of the answer had
// come and with the usage if somebody reported it.
func TestEndings(t *testing.T) {
	t.Parallel()
	const (
		completed, failed, canceled = event.Outcome_OUTCOME_COMPLETED, event.Outcome_OUTCOME_FAILED, event.Outcome_OUTCOME_CANCELED
		reported, none              = event.UsageSource_USAGE_SOURCE_PROVIDER, event.UsageSource_USAGE_SOURCE_NONE
	)
	gone := func(r *http.Request) { _ = testkit.WaitGone(r, patience) }
	for name, row := range map[string]struct {
		script  func(w http.ResponseWriter, r *http.Request)
		stream  bool
		leaves  string // what the client has read when it leaves; "at once" is before the header
		limits  catalog.RouteOptions
		outcome event.Outcome
		class   string
		status  int32
		usage   event.UsageSource
		partial string // within what is recorded of the answer; empty: nothing is
	}{
		"stream, completed": {
			script: func(w http.ResponseWriter, _ *http.Request) {
				_ = testkit.SSE(w, chunk("part"), last, usageChunk, done)
			},
			stream: true, outcome: completed, status: 200, usage: reported, partial: `"content":"part"`,
		},
		"stream, completed without usage": {
			script: func(w http.ResponseWriter, _ *http.Request) { _ = testkit.SSE(w, chunk("part"), last, done) },
			stream: true, outcome: completed, status: 200, usage: none, partial: `"content":"part"`,
		},
		"plain, completed": {
			script: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, `{"choices":[{"message":{"content":"part"}}],`+usageOf7+`}`)
			},
			outcome: completed, status: 200, usage: reported, partial: `"content":"part"`,
		},
		"provider error before the first byte": {
			script: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(400)
				_, _ = io.WriteString(w, `{"error":{"message":"part"}}`)
			},
			stream: true, outcome: failed, class: "upstream_rejected", status: 400, usage: none, partial: "part",
		},
		"provider error after the first byte": {
			script: func(w http.ResponseWriter, _ *http.Request) {
				_ = testkit.SSE(w, chunk("part"), "data: {\"error\":{\"message\":\"x\"}}\n\n")
			},
			stream: true, outcome: failed, class: "upstream_error_in_answer", status: 200, usage: none, partial: `"content":"part"`,
		},
		"provider cuts the stream": {
			script: func(w http.ResponseWriter, _ *http.Request) { _ = testkit.SSE(w, chunk("part")); _ = testkit.Cut(w) },
			stream: true, outcome: failed, class: "upstream_cut", status: 200, usage: none, partial: `"content":"part"`,
		},
		"provider cuts the stream after its usage": {
			script: func(w http.ResponseWriter, _ *http.Request) {
				_ = testkit.SSE(w, chunk("part"), usageChunk)
				_ = testkit.Cut(w)
			},
			stream: true, outcome: failed, class: "upstream_cut", status: 200, usage: reported, partial: `"content":"part"`,
		},
		"provider cuts a plain answer": {
			script:  func(w http.ResponseWriter, _ *http.Request) { begin(w, `{"part`); _ = testkit.Cut(w) },
			outcome: failed, class: "upstream_cut", status: 502, usage: none, partial: `{"part`,
		},
		"no header in time": {
			script: func(_ http.ResponseWriter, r *http.Request) { gone(r) }, limits: catalog.RouteOptions{HeaderTimeout: 100},
			stream: true, outcome: failed, class: "upstream_timeout", status: 504, usage: none,
		},
		"silence in a stream": {
			script: func(w http.ResponseWriter, r *http.Request) { _ = testkit.SSE(w, chunk("part")); gone(r) }, limits: catalog.RouteOptions{IdleTimeout: 100},
			stream: true, outcome: failed, class: "upstream_idle_timeout", status: 200, usage: none, partial: `"content":"part"`,
		},
		"silence in a plain answer": {
			script: func(w http.ResponseWriter, r *http.Request) { begin(w, `{"part`); gone(r) }, limits: catalog.RouteOptions{IdleTimeout: 100},
			outcome: failed, class: "upstream_idle_timeout", status: 504, usage: none, partial: `{"part`,
		},
		"client leaves before the header": {
			script: func(_ http.ResponseWriter, r *http.Request) { gone(r) }, leaves: "at once",
			stream: true, outcome: canceled, class: "client_gone", status: 499, usage: none,
		},
		"client leaves before the first token": {
			script: func(w http.ResponseWriter, r *http.Request) { _ = testkit.SSE(w, ": hello\n\n"); gone(r) }, leaves: ": hello\n\n",
			stream: true, outcome: canceled, class: "client_gone", status: 200, usage: none, partial: `"choices":[]`,
		},
		"client leaves mid-stream": {
			script: func(w http.ResponseWriter, r *http.Request) { _ = testkit.SSE(w, chunk("part")); gone(r) }, leaves: chunk("part"),
			stream: true, outcome: canceled, class: "client_gone", status: 200, usage: none, partial: `"content":"part"`,
		},
		"client of a plain answer leaves before its header": {
			script: func(_ http.ResponseWriter, r *http.Request) { gone(r) }, leaves: "at once",
			outcome: canceled, class: "client_gone", status: 499, usage: none,
		},
		"client of a plain answer leaves while it comes": {
			script: func(w http.ResponseWriter, r *http.Request) { begin(w, `{"part`); gone(r) }, leaves: "at once",
			outcome: canceled, class: "client_gone", status: 499, usage: none,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ended := make(chan struct{})
			up := testkit.Upstream(t, func(w http.ResponseWriter, r *http.Request, _ []byte) {
				defer close(ended)
				row.script(w, r)
			})
			w := start(t, oneTarget(row.limits, up.URL))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if row.leaves == "at once" {
				go func() { up.Await(t, 1, patience); cancel() }()
			}
			body := `{"model":"pair","messages":[]}`
			if row.stream {
				body = `{"model":"pair","stream":true,"messages":[]}`
			}
			resp, err := w.client.Do(w.request(ctx, http.MethodPost, "/v1/chat/completions", []byte(body)))
			left := time.Now()
			switch {
			case row.leaves == "":
				w.must(err)
				_, _ = io.ReadAll(resp.Body)
				w.must(resp.Body.Close())
			case err == nil:
				_, err = io.ReadFull(resp.Body, make([]byte, len(row.leaves)))
				w.must(err)
				cancel()
				left = time.Now()
				_ = resp.Body.Close()
			}
			<-ended
			if took := time.Since(left); row.leaves != "" && took > time.Second {
				t.Errorf("the provider's request was cancelled after %s", took)
			}
			e := w.trace()
			equal(t, "outcome", e.GetOutcome(), row.outcome)
			equal(t, "class", e.GetErrorClass(), row.class)
			equal(t, "status", e.GetHttpStatus(), row.status)
			equal(t, "usage source", e.GetUsageSource(), row.usage)
			equal(t, "usage", len(e.GetUsageRaw()) > 0, row.usage == reported)
			switch {
			case row.partial != "":
				contains(t, "recorded", w.open(e, envelope.FieldResponse), row.partial)
				equal(t, "marked as cut", e.GetResponseBody().GetTruncated(), !row.stream && row.outcome == failed && row.status >= 500)
			case e.GetResponseBody() != nil && !strings.Contains(name, "while it comes"):
				t.Errorf("recorded: got %q, want nothing", w.open(e, envelope.FieldResponse))
			}
		})
	}
}

// Where a tenant wants it, usage that nobody reported is estimated and marked so; what the
// provider reports goes before, and without an answer there is nothing to estimate.
func TestMissingUsageIsEstimated(t *testing.T) {
	t.Parallel()
	up := testkit.Upstream(t, func(w http.ResponseWriter, _ *http.Request, body []byte) {
		switch {
		case strings.Contains(string(body), "reported"):
			_ = testkit.SSE(w, chunk("part"), last, usageChunk, done)
		case strings.Contains(string(body), "refused"):
			w.WriteHeader(400)
		case strings.Contains(string(body), "cut"):
			_ = testkit.SSE(w, chunk("12345678"))
			_ = testkit.Cut(w)
		default:
			_ = testkit.SSE(w, chunk("12345678"), last, done)
		}
	})
	w := start(t, setup{upstream: up.URL})
	w.addTenant(tenant.Tenant{ID: "bolt", Status: tenant.Active, ContentMode: "full", MissingUsage: tenant.MissingEstimated})
	key := "Bearer " + w.addKey(tenant.Key{TenantID: "bolt", Scopes: tenant.Scopes()})
	const estimate = `{"prompt_tokens":2,"completion_tokens":2,"total_tokens":4}`
	for i, row := range []struct {
		content, key, usage string
		source              event.UsageSource
	}{
		{"missing!", key, estimate, event.UsageSource_USAGE_SOURCE_ESTIMATED},
		{"cut.....", key, estimate, event.UsageSource_USAGE_SOURCE_ESTIMATED},
		{"reported", key, `"total_tokens":7`, event.UsageSource_USAGE_SOURCE_PROVIDER},
		{"refused", key, "", event.UsageSource_USAGE_SOURCE_NONE},
		{"missing!", "Bearer " + w.key, "", event.UsageSource_USAGE_SOURCE_NONE},
	} {
		w.chat(`{"model":"gpt-1","stream":true,"messages":[{"role":"user","content":"`+row.content+`"}]}`, "Authorization", row.key)
		e := w.traces(i + 1)[i]
		equal(t, row.content+": source", e.GetUsageSource(), row.source)
		contains(t, row.content+": usage", string(e.GetUsageRaw()), row.usage)
	}
}

// A gateway that stops ends what outlives the drain: each stream with an error event and
// no clean end, a plain answer with 503; each has its trace. What is done in time is whole.
func TestStopWithOpenRequests(t *testing.T) {
	t.Parallel()
	const streams = 200
	up := testkit.Upstream(t, func(w http.ResponseWriter, r *http.Request, body []byte) {
		if strings.Contains(string(body), `"stream":true`) {
			_ = testkit.SSE(w, chunk("part"))
		}
		_ = testkit.WaitGone(r, patience)
	})
	w := start(t, setup{upstream: up.URL, change: func(c *gateway.Config) { c.Drain = 300 * time.Millisecond }})
	var clients, begun sync.WaitGroup
	begun.Add(streams)
	rests := make(chan string, streams)
	for range streams {
		clients.Go(func() {
			resp, err := w.client.Do(w.request(context.Background(), http.MethodPost, "/v1/chat/completions", []byte(askedStream)))
			if err != nil {
				t.Error(err)
				begun.Done()
				return
			}
			defer resp.Body.Close()
			_, err = io.ReadFull(resp.Body, make([]byte, len(chunk("part"))))
			begun.Done()
			if err != nil {
				t.Error(err)
			}
			rest, err := io.ReadAll(resp.Body)
			if err == nil {
				t.Error("a stream ended cleanly")
			}
			rests <- string(rest)
		})
	}
	plain := make(chan answer, 1)
	clients.Go(func() { plain <- w.chat(asked) })
	begun.Wait()
	up.Await(t, streams+1, patience)
	w.must(w.stop())
	clients.Wait()
	close(rests)
	for rest := range rests {
		contains(t, "rest", rest, `data: {"error":{"message":"The gateway is shutting down`)
	}
	a := <-plain
	equal(t, "status of the plain answer", a.status, 503)
	w.envelope(a, "server_error", "provider_unavailable")
	w.start(nil) // the next one publishes what the drain was too short for
	for _, e := range w.traces(streams + 1) {
		equal(t, "outcome", e.GetOutcome(), event.Outcome_OUTCOME_FAILED)
		equal(t, "class", e.GetErrorClass(), "gateway_shutdown")
		equal(t, "usage source", e.GetUsageSource(), event.UsageSource_USAGE_SOURCE_NONE)
		if e.GetStream() {
			contains(t, "recorded", w.open(e, envelope.FieldResponse), `"content":"part"`)
		}
	}
}
