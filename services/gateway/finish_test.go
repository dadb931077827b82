package gateway_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"loom.internal/pkg/envelope"
	"loom.internal/pkg/event"
	"loom.internal/pkg/testkit"
)

const (
	finishStream = `{"model":"finish-1","stream":true,"messages":[{"role":"user","content":"hi"}]}`
	finishWhole  = `{"model":"finish-1","messages":[{"role":"user","content":"hi"}]}`
	usageOf7     = `"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}`
)

// leaver is a provider that waits until its client's client has left, and then goes on.
func leaver(t *testing.T, begin, rest, contentType string) (up *testkit.Provider, leave chan struct{}) {
	t.Helper()
	leave = make(chan struct{})
	up = testkit.Upstream(t, func(w http.ResponseWriter, _ *http.Request, _ []byte) {
		w.Header().Set("Content-Type", contentType)
		if begin != "" {
			_, _ = io.WriteString(w, begin)
			_ = http.NewResponseController(w).Flush()
		}
		<-leave
		_, _ = io.WriteString(w, rest)
	})
	return up, leave
}

// On a route that finishes, the provider's answer is read to its end and its usage
// counts, whenever the client left.
func TestFinishesWithoutTheClient(t *testing.T) {
	t.Parallel()
	tail := chunk(" two") + `data: {"id":"c","object":"chat.completion.chunk","choices":[],` + usageOf7 + "}\n\ndata: [DONE]\n\n"
	for name, tt := range map[string]struct{ request, contentType, begin, rest, want string }{
		"before the header": {finishStream, "text/event-stream", "", chunk("one") + tail, "one two"},
		"mid-stream":        {finishStream, "text/event-stream", chunk("one"), tail, "one two"},
		"not streamed": {
			finishWhole, "application/json", "", `{"choices":[{"index":0,"finish_reason":"stop","message":{"content":"one two"}}],` + usageOf7 + `}`, "one two",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			up, leave := leaver(t, tt.begin, tt.rest, tt.contentType)
			w := start(t, setup{upstream: up.URL})
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				up.Await(t, 1, patience)
				if tt.begin == "" {
					cancel()
				}
			}()
			resp, err := w.client.Do(w.request(ctx, http.MethodPost, "/v1/chat/completions", []byte(tt.request)))
			if err == nil {
				_, _ = io.ReadFull(resp.Body, make([]byte, len(tt.begin)))
				cancel()
				_ = resp.Body.Close()
			}
			// Nothing shows from outside that the gateway has noticed: it is given time to.
			time.AfterFunc(300*time.Millisecond, func() { close(leave) })
			e := w.trace()
			equal(t, "outcome", e.GetOutcome(), event.Outcome_OUTCOME_CANCELED)
			equal(t, "error class", e.GetErrorClass(), "client_gone")
			equal(t, "usage source", e.GetUsageSource(), event.UsageSource_USAGE_SOURCE_PROVIDER)
			contains(t, "usage", string(e.GetUsageRaw()), `"total_tokens":7`)
			contains(t, "recorded", w.open(e, envelope.FieldResponse), tt.want)
		})
	}
}

// The server's end also ends an answer that nobody waits for any more.
func TestFinishingEndsWithTheServer(t *testing.T) {
	t.Parallel()
	gone := make(chan error, 1)
	up := testkit.Upstream(t, func(w http.ResponseWriter, r *http.Request, _ []byte) {
		_ = testkit.SSE(w, chunk("part"))
		gone <- testkit.WaitGone(r, patience)
	})
	w := start(t, setup{upstream: up.URL})
	ctx, cancel := context.WithCancel(t.Context())
	resp, err := w.client.Do(w.request(ctx, http.MethodPost, "/v1/chat/completions", []byte(finishStream)))
	w.must(err)
	_, _ = io.ReadFull(resp.Body, make([]byte, len("data: {")))
	cancel()
	_ = resp.Body.Close()
	select {
	case <-gone:
		t.Fatal("the provider's call ended with the client")
	case <-time.After(300 * time.Millisecond):
	}
	w.must(w.stop())
	w.must(<-gone)
	e := w.trace()
	equal(t, "outcome", e.GetOutcome(), event.Outcome_OUTCOME_CANCELED)
	if body := w.open(e, envelope.FieldResponse); !strings.Contains(body, "part") {
		t.Errorf("recorded: got %s, want the part that came", body)
	}
}
