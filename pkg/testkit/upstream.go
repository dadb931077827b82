package testkit

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"
)

const maxRequestBody = 64 << 20

// Request is what a provider was sent.
type Request struct {
	Method string
	Path   string // with the query, as on the request line
	Header http.Header
	Body   []byte // raw, after transfer encoding
}

// Provider is a model provider that plays a script.
type Provider struct {
	URL string

	mu       sync.Mutex
	requests []Request
	arrived  chan struct{} // closed and replaced at each request
}

// Upstream starts a provider that answers every request with script, which gets
// the whole body. It stops when the test ends; contexts of requests still open
// are cancelled then.
func Upstream(tb testing.TB, script func(w http.ResponseWriter, r *http.Request, body []byte)) *Provider {
	tb.Helper()
	p := &Provider{arrived: make(chan struct{})}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequestBody))
		if err != nil {
			return // the client went away while sending
		}
		p.record(Request{Method: r.Method, Path: r.URL.RequestURI(), Header: r.Header.Clone(), Body: body})
		script(w, r, body)
	}))
	tb.Cleanup(func() {
		srv.CloseClientConnections() // a script that waits for the client must not hold up the end
		srv.Close()
	})
	p.URL = srv.URL
	return p
}

func (p *Provider) record(r Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests = append(p.requests, r)
	close(p.arrived)
	p.arrived = make(chan struct{})
}

// Requests returns what has been received so far, oldest first.
func (p *Provider) Requests() []Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.requests)
}

// Await returns the requests once there are n of them, and fails the test when
// that takes longer than limit.
func (p *Provider) Await(tb testing.TB, n int, limit time.Duration) []Request {
	tb.Helper()
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	for {
		p.mu.Lock()
		got, arrived := slices.Clone(p.requests), p.arrived
		p.mu.Unlock()
		if len(got) >= n {
			return got
		}
		select {
		case <-arrived:
		case <-timeout.C:
			tb.Fatalf("upstream got %d requests within %v, want %d", len(got), limit, n)
		}
	}
}

// SSE answers 200 with the headers of an event stream and sends each chunk,
// raw, in a write of its own. Call it again to go on.
func SSE(w http.ResponseWriter, chunks ...string) error {
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("Cache-Control", "no-cache")
		w.WriteHeader(http.StatusOK)
	}
	flush := http.NewResponseController(w)
	for _, c := range chunks {
		if _, err := io.WriteString(w, c); err != nil {
			return err
		}
		if err := flush.Flush(); err != nil {
			return err
		}
	}
	return flush.Flush()
}

// Cut drops the client's connection in the middle of the answer.
func Cut(w http.ResponseWriter) error {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return err
	}
	return conn.Close()
}

// WaitGone returns when the client has left, or an error after limit. It is for
// scripts, which run outside the test's goroutine.
func WaitGone(r *http.Request, limit time.Duration) error {
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	select {
	case <-r.Context().Done():
		return nil
	case <-timeout.C:
		return errors.New("the client is still there")
	}
}
