package gateway_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"loom.internal/pkg/catalog"
	"loom.internal/pkg/testkit"
	"loom.internal/services/gateway"
)

func routesTo(providers ...string) []catalog.Route {
	var routes []catalog.Route
	for _, p := range providers {
		routes = append(routes, catalog.Route{Model: p, Targets: []catalog.Target{{Provider: p}}})
	}
	return routes
}

// TestBurstOfQuickStreams: none of 3000 streams that end as soon as they begin is cut.
func TestBurstOfQuickStreams(t *testing.T) {
	t.Parallel()
	const streams, clients = 3000, 32
	want := chunk("a") + last + done
	up := testkit.Upstream(t, func(w http.ResponseWriter, _ *http.Request, _ []byte) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, want)
	})
	w := start(t, setup{upstream: up.URL})
	var left, cut atomic.Int64
	left.Store(streams)
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				resp, err := w.client.Do(w.request(t.Context(), http.MethodPost, "/v1/chat/completions", []byte(askedStream)))
				if err != nil {
					cut.Add(1)
					continue
				}
				got, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if err != nil || string(got) != want {
					cut.Add(1)
				}
			}
		})
	}
	wg.Wait()
	equal(t, "cut streams", cut.Load(), 0)
}

// TestMemoryOfSlowStreams: what 500 open streams cost the process, which is also the
// provider and the clients here.
func TestMemoryOfSlowStreams(t *testing.T) {
	const streams, bound = 500, 256 << 10 // bytes each
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	up := testkit.Upstream(t, func(w http.ResponseWriter, r *http.Request, _ []byte) {
		_ = testkit.SSE(w, chunk("slow"))
		_ = testkit.WaitGone(r, 6*patience)
	})
	w := start(t, setup{upstream: up.URL})
	before := inUse()
	bodies := make(chan io.ReadCloser, streams)
	var wg sync.WaitGroup
	for range streams {
		wg.Go(func() {
			resp, err := w.client.Do(w.request(ctx, http.MethodPost, "/v1/chat/completions", []byte(askedStream)))
			if err != nil {
				return
			}
			_, _ = io.ReadFull(resp.Body, make([]byte, len(chunk("slow"))))
			bodies <- resp.Body
		})
	}
	wg.Wait()
	equal(t, "open streams", len(bodies), streams)
	each := (inUse() - before) / streams
	t.Logf("%d open streams take %d KiB each, gateway, provider and client together", streams, each>>10)
	if each > bound {
		t.Errorf("a slow stream takes %d bytes, want at most %d", each, bound)
	}
	cancel()
	close(bodies)
	for b := range bodies {
		_ = b.Close()
	}
}

func inUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// TestBigBodies: what is under the limit arrives whole; what is over it is answered with
// 413, by its length before a byte is read, or in chunks as soon as it is too much.
func TestBigBodies(t *testing.T) {
	t.Parallel()
	up := respond(t, 200, "application/json", whole)
	w := start(t, setup{upstream: up.URL, change: func(c *gateway.Config) { c.CaptureLimit = 1 << 10 }})
	body := []byte(`{"model":"gpt-4o","image":"` + strings.Repeat("QUJD", 30<<18) + `"}`)
	equal(t, "status", w.chat(string(body)).status, 200)
	if got := up.Requests()[0].Body; !bytes.Equal(got, body) {
		t.Errorf("a body of %d bytes arrived as %d", len(body), len(got))
	}
	large := bytes.Repeat([]byte("x"), 40<<20)
	a := w.do(w.request(t.Context(), http.MethodPost, "/v1/chat/completions", large))
	equal(t, "by its length", a.status, 413)
	w.envelope(a, "invalid_request_error", "request_too_large")

	req := w.request(t.Context(), http.MethodPost, "/v1/chat/completions", nil)
	req.Body, req.ContentLength = io.NopCloser(io.MultiReader(bytes.NewReader(large))), -1
	a = w.do(req)
	equal(t, "in chunks", a.status, 413)
	w.envelope(a, "invalid_request_error", "request_too_large")

	// The length alone decides: not a byte of this body is ever sent.
	req = w.request(t.Context(), http.MethodPost, "/v1/chat/completions", nil)
	never := &unread{}
	req.Body, req.ContentLength = never, 40<<20
	req.Header.Set("Expect", "100-continue")
	w.client.Transport.(*http.Transport).ExpectContinueTimeout = patience
	a = w.do(req)
	equal(t, "before it is sent", a.status, 413)
	equal(t, "read of the body", never.read.Load(), 0)
	equal(t, "requests that got through", len(up.Requests()), 1)
}

// unread is a body that counts what is taken of it.
type unread struct{ read atomic.Int64 }

func (u *unread) Read(p []byte) (int, error) { u.read.Add(int64(len(p))); return len(p), nil }
func (*unread) Close() error                 { return nil }
