package dashboard_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"loom.internal/pkg/testkit"
	"loom.internal/services/dashboard"
)

const playing = "/api/v1/playground/chat/completions"

// withGateway is a rig whose playground asks a gateway of the test's own, at an address
// that ends as people write it, too.
func withGateway(t *testing.T, answer http.HandlerFunc) *rig {
	t.Helper()
	srv := httptest.NewServer(answer)
	t.Cleanup(srv.Close)
	return newRig(t, func(c *dashboard.Config) { c.PlaygroundURL = srv.URL + "/" })
}

// play is a chat completion of a browser that has a session and sends all that browsers do.
func (r *rig) play(body any, header map[string]string) call {
	c := call{method: http.MethodPost, path: playing, key: r.acme, body: body, header: map[string]string{
		"X-Loom-Key": "loom_sk_the_key", "Cookie": "loom_session=secret", "Origin": r.base, "Sec-Fetch-Site": "same-origin",
		"User-Agent": "a browser", "X-Forwarded-For": "192.0.2.1", "Accept-Language": "en", "X-Request-Id": "mine",
	}}
	maps.Copy(c.header, header)
	return c
}

// The gateway gets the body and the key, and nothing else that the browser sent.
func TestPlayground(t *testing.T) {
	t.Parallel()
	got := make(chan *http.Request, 1)
	body := make(chan string, 1)
	r := withGateway(t, func(w http.ResponseWriter, req *http.Request) {
		b, _ := io.ReadAll(req.Body)
		body <- string(b)
		got <- req
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.Header().Set("X-Loom-Trace-Id", "trace-1")
		w.Header().Set("Set-Cookie", "gateway=1")
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = io.WriteString(w, `{"error":{"message":"slow down","type":"x","code":null}}`)
	})
	const sent = `{"model":"m","messages":[{"role":"user","content":"hi"}] }`
	out := r.do(t, r.play(sent, nil))
	if out.status != http.StatusTooManyRequests || out.header.Get("X-Loom-Trace-Id") != "trace-1" || out.header.Get("Set-Cookie") != "" ||
		!strings.Contains(string(out.body), "slow down") {
		t.Errorf("got %d %v %s", out.status, out.header, out.body)
	}
	req := <-got
	if req.URL.Path != "/v1/chat/completions" || <-body != sent {
		t.Errorf("the gateway was asked %s", req.URL)
	}
	var names []string
	for name := range req.Header {
		names = append(names, name)
	}
	slices.Sort(names)
	if want := []string{"Authorization", "Content-Length", "Content-Type", "User-Agent"}; !slices.Equal(names, want) || req.Header.Get("User-Agent") == "a browser" {
		t.Errorf("the gateway got %v, want %v", req.Header, want)
	}
	if key := req.Header.Get("Authorization"); key != "Bearer loom_sk_the_key" {
		t.Errorf("Authorization: %q", key)
	}
}

// What the gateway streams comes as it comes, and a client that leaves takes the call along.
func TestPlaygroundStreams(t *testing.T) {
	t.Parallel()
	more, gone := make(chan bool), make(chan error, 1)
	r := withGateway(t, func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for range more {
			_, _ = io.WriteString(w, "data: {}\n\n")
			_ = http.NewResponseController(w).Flush()
		}
		gone <- testkit.WaitGone(req, 20*time.Second)
	})
	c := r.play(`{"stream":true}`, nil)
	ctx, leave := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, c.method, r.base+c.path, strings.NewReader(`{"stream":true}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+r.acme)
	req.Header.Set("X-Loom-Key", "k")
	go func() { more <- true }()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for i := range 3 {
		if i > 0 {
			more <- true
		}
		if _, err := io.ReadFull(resp.Body, make([]byte, len("data: {}\n\n"))); err != nil {
			t.Fatalf("event %d: %v", i, err)
		}
	}
	close(more)
	leave()
	if err := <-gone; err != nil {
		t.Errorf("the call goes on: %v", err)
	}
}

// An answer that is cut does not look whole.
func TestPlaygroundIsCut(t *testing.T) {
	t.Parallel()
	r := withGateway(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: {}\n\n")
		_ = testkit.Cut(w)
	})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.base+playing, strings.NewReader(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+r.acme)
	req.Header.Set("X-Loom-Key", "k")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return // before its first byte
	}
	defer resp.Body.Close()
	if got, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("the answer ended well: %q", got)
	}
}

func TestPlaygroundRefuses(t *testing.T) {
	t.Parallel()
	r := withGateway(t, func(w http.ResponseWriter, req *http.Request) {
		switch req.Header.Get("Authorization") {
		case "Bearer page":
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, "<script>")
		case "Bearer elsewhere":
			http.Redirect(w, req, "http://127.0.0.1:1/", http.StatusTemporaryRedirect)
		default:
			t.Errorf("the gateway was asked with %v", req.Header)
		}
	})
	r.fails(t, r.play(`{}`, map[string]string{"X-Loom-Key": ""}), http.StatusBadRequest, "invalid_parameter")
	r.fails(t, r.play(`{}`, map[string]string{"Content-Type": "text/plain"}), http.StatusUnsupportedMediaType, "unsupported_media_type")
	r.fails(t, r.play(`{"x":"`+strings.Repeat("x", 1<<20)+`"}`, nil), http.StatusRequestEntityTooLarge, "body_too_large")
	r.fails(t, r.play(`{}`, map[string]string{"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}), http.StatusForbidden, "cross_origin")
	r.fails(t, r.play(`{}`, map[string]string{"X-Loom-Key": "page"}), http.StatusBadGateway, "gateway_unreachable")
	r.fails(t, r.play(`{}`, map[string]string{"X-Loom-Key": "elsewhere"}), http.StatusBadGateway, "gateway_unreachable")
	c := r.play(`{}`, nil)
	c.path += "?x=1"
	r.fails(t, c, http.StatusBadRequest, "invalid_parameter")
}

// Where no gateway is, the log says why and does not have the key.
func TestPlaygroundWithoutAGateway(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var log bytes.Buffer
	cfg := testConfig(t)
	cfg.PlaygroundURL = "http://127.0.0.1:1"
	s := r.replicaWith(t, cfg, nil, slog.New(slog.NewTextHandler(&log, nil)))
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, playing, strings.NewReader(`{"model":"canary"}`))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+r.acme)
	req.Header.Set("X-Loom-Key", "loom_sk_canary")
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, req)
	if w.Code != http.StatusBadGateway || !strings.Contains(w.Body.String(), "gateway_unreachable") {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	if text := log.String(); !strings.Contains(text, "connection refused") || strings.Contains(text, "canary") {
		t.Errorf("the log has %s", text)
	}
}
