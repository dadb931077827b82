package httpserve_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"loom.internal/pkg/httpserve"
)

func TestMain(m *testing.M) {
	if _, child := os.LookupEnv(stopping); child {
		stopForEver()
	}
	goleak.VerifyTestMain(m)
}

type valueKey struct{}

// server is a running Run.
type server struct {
	url  string
	stop context.CancelFunc
	done chan error
}

func start(t *testing.T, h http.Handler, opt httpserve.Options) *server {
	t.Helper()
	ln, err := httpserve.Listen(t.Context(), "127.0.0.1:0", "--addr")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithValue(context.Background(), valueKey{}, "v"))
	s := &server{url: "http://" + ln.Addr().String(), stop: stop, done: make(chan error, 1)}
	go func() { s.done <- httpserve.Run(ctx, ln, h, opt) }()
	t.Cleanup(func() {
		stop()
		select {
		case <-s.done:
		case <-time.After(20 * time.Second):
			t.Error("Run did not return")
		}
	})
	return s
}

// wait returns how long Run took from now on, and its error.
func (s *server) wait(t *testing.T) (time.Duration, error) {
	t.Helper()
	from := time.Now()
	select {
	case err := <-s.done:
		s.done <- err
		return time.Since(from), err
	case <-time.After(20 * time.Second):
		t.Fatal("Run did not return")
		return 0, nil
	}
}

// clients are one client per protocol.
func clients(t *testing.T) map[string]*http.Client {
	t.Helper()
	all := map[string]*http.Client{}
	for name, set := range map[string]func(*http.Protocols){
		"http1": func(p *http.Protocols) { p.SetHTTP1(true) },
		"h2c":   func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) },
	} {
		p := new(http.Protocols)
		set(p)
		tr := &http.Transport{Protocols: p}
		t.Cleanup(tr.CloseIdleConnections)
		all[name] = &http.Client{Transport: tr}
	}
	return all
}

func get(t *testing.T, c *http.Client, url string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

func TestServesBothProtocols(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Proto, " ", r.Context().Value(valueKey{}))
	})
	s := start(t, h, httpserve.Options{})
	for name, c := range clients(t) {
		b, err := io.ReadAll(get(t, c, s.url).Body)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"http1": "HTTP/1.1 v", "h2c": "HTTP/2.0 v"}[name]
		if string(b) != want {
			t.Errorf("%s: got %q, want %q", name, b, want)
		}
	}
	s.stop()
	if took, err := s.wait(t); err != nil || took > 3*time.Second {
		t.Errorf("idle connections: Run returned %v after %v, want nil at once", err, took)
	}
}

func TestHeaderLimit(t *testing.T) {
	s := start(t, http.NotFoundHandler(), httpserve.Options{})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Long", strings.Repeat("a", 64<<10))
	res, err := clients(t)["http1"].Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("status: got %d, want 431", res.StatusCode)
	}
}

func TestShortRequestFinishes(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(entered)
		<-release
		if err := r.Context().Err(); err != nil {
			t.Errorf("context during the drain: %v", err)
		}
		fmt.Fprint(w, "whole")
	})
	drained := make(chan struct{})
	s := start(t, h, httpserve.Options{Drain: 10 * time.Second, OnDrain: func() { close(drained) }})
	body := make(chan string, 1)
	c := clients(t)["http1"]
	go func() {
		req, _ := http.NewRequestWithContext(context.Background(), http.MethodGet, s.url, nil)
		res, err := c.Do(req)
		if err != nil {
			body <- err.Error()
			return
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		body <- string(b)
	}()
	<-entered
	s.stop()
	<-drained
	waitRefused(t, strings.TrimPrefix(s.url, "http://"))
	close(release)
	if got := <-body; got != "whole" {
		t.Errorf("answer: got %q, want whole", got)
	}
	if _, err := s.wait(t); err != nil {
		t.Errorf("Run: %v", err)
	}
}

// waitRefused polls until nothing accepts on addr.
func waitRefused(t *testing.T, addr string) {
	t.Helper()
	tick, limit := time.NewTicker(5*time.Millisecond), time.After(5*time.Second)
	defer tick.Stop()
	for {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
		if err != nil {
			return
		}
		_ = conn.Close()
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal("the listener stays open while draining")
		}
	}
}

// Whoever stops sending when it learns that the server is not ready any more, loses nothing.
func TestDelay(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "whole") })
	for round := range 5 {
		learned := make(chan struct{})
		s := start(t, h, httpserve.Options{Delay: time.Second, OnDrain: func() { close(learned) }})
		kept := clients(t)["http1"]
		if res := get(t, kept, s.url); res.Close {
			t.Fatal("before the end: the connection is closed after one request")
		} else if _, err := io.ReadAll(res.Body); err != nil {
			t.Fatal(err)
		}
		var answered atomic.Int64
		busy := make(chan struct{})
		var all errgroup.Group
		for range 16 {
			all.Go(func() error {
				c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
				for {
					select {
					case <-learned:
						return nil
					default:
					}
					req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url, strings.NewReader("asked"))
					if err != nil {
						return err
					}
					res, err := c.Do(req)
					if err != nil {
						return err
					}
					b, err := io.ReadAll(res.Body)
					_ = res.Body.Close()
					if err != nil || string(b) != "whole" {
						return fmt.Errorf("got %q, %w", b, err)
					}
					if answered.Add(1) == 100 {
						close(busy)
					}
				}
			})
		}
		select {
		case <-busy:
		case <-time.After(10 * time.Second):
			t.Error("few are answered")
		}
		s.stop()
		if err := all.Wait(); err != nil || answered.Load() == 0 {
			t.Errorf("round %d: a request after %d was lost: %v", round, answered.Load(), err)
		}
		if res := get(t, kept, s.url); !res.Close {
			t.Error("during the delay: the client is not asked to close its connection")
		}
		if took, err := s.wait(t); err != nil || took > 3*time.Second {
			t.Errorf("Run returned %v after %v", err, took)
		}
	}
}

func TestListenerFailsInTheDelay(t *testing.T) {
	ln, err := httpserve.Listen(t.Context(), "127.0.0.1:0", "--addr")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	broken := func() { _ = ln.Close() }
	err = httpserve.Run(ctx, ln, http.NotFoundHandler(), httpserve.Options{Delay: time.Minute, OnDrain: broken})
	if !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v, want net.ErrClosed", err)
	}
}

func TestOpenStreamIsToldOfShutdown(t *testing.T) {
	for name, c := range clients(t) {
		t.Run(name, func(t *testing.T) {
			h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprint(w, "data: first\n\n")
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
				if !errors.Is(context.Cause(r.Context()), httpserve.ErrShutdown) {
					t.Errorf("cause: got %v, want ErrShutdown", context.Cause(r.Context()))
				}
				fmt.Fprint(w, "event: error\n\n")
			})
			s := start(t, h, httpserve.Options{Drain: 100 * time.Millisecond})
			body := bufio.NewReader(get(t, c, s.url).Body)
			if line, err := body.ReadString('\n'); line != "data: first\n" {
				t.Fatalf("first line: got %q, %v", line, err)
			}
			s.stop()
			rest, err := io.ReadAll(body)
			if err != nil || string(rest) != "\nevent: error\n\n" {
				t.Errorf("rest: got %q, %v; want the error event and a clean end", rest, err)
			}
			if took, err := s.wait(t); err != nil || took > 5*time.Second {
				t.Errorf("Run returned %v after %v", err, took)
			}
		})
	}
}

func TestDeafHandlerIsCutOff(t *testing.T) {
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-release
	})
	s := start(t, h, httpserve.Options{Drain: 50 * time.Millisecond})
	res := get(t, clients(t)["http1"], s.url)
	s.stop()
	if _, err := io.ReadAll(res.Body); err == nil {
		t.Error("the cut stream ended cleanly: its reader would take it for whole")
	}
	if took, err := s.wait(t); err != nil || took > 5*time.Second {
		t.Errorf("Run returned %v after %v", err, took)
	}
}

func TestListenerFailure(t *testing.T) {
	ln, err := httpserve.Listen(t.Context(), "127.0.0.1:0", "--addr")
	if err != nil {
		t.Fatal(err)
	}
	_ = ln.Close()
	if err := httpserve.Run(t.Context(), ln, http.NotFoundHandler(), httpserve.Options{}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Run on a closed listener: got %v, want net.ErrClosed", err)
	}
}

func TestListenFaults(t *testing.T) {
	ln, err := httpserve.Listen(t.Context(), "127.0.0.1:0", "--x")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	for addr, want := range map[string]string{
		ln.Addr().String(): "port " + port + " is taken by another program: stop it, or choose another port with --gateway-addr or LOOM_GATEWAY_ADDR",
		"8080":             `cannot listen on "8080": want host:port or :port in --gateway-addr or LOOM_GATEWAY_ADDR`,
		"192.0.2.1:0":      `cannot listen on "192.0.2.1:0": change it with --gateway-addr`,
	} {
		l, err := httpserve.Listen(t.Context(), addr, "--gateway-addr or LOOM_GATEWAY_ADDR")
		if err == nil {
			_ = l.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Listen(%q): got %v, want %q", addr, err, want)
		}
	}
}

// What a request leaves behind lives by Base: it outlives the client, not the server.
func TestBaseOutlivesTheClient(t *testing.T) {
	base := make(chan context.Context, 1)
	left := make(chan struct{})
	s := start(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		base <- httpserve.Base(r.Context())
		<-r.Context().Done()
		close(left)
	}), httpserve.Options{Drain: 10 * time.Millisecond})
	ctx, leave := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := clients(t)["http1"]
	go func() {
		if res, err := client.Do(req); err == nil {
			_ = res.Body.Close()
		}
	}()
	server := <-base
	leave()
	<-left
	if err := server.Err(); err != nil {
		t.Errorf("the server's context ended with the client: %v", err)
	}
	s.stop()
	<-server.Done()
	if cause := context.Cause(server); !errors.Is(cause, httpserve.ErrShutdown) {
		t.Errorf("cause: got %v, want ErrShutdown", cause)
	}
	if _, err := s.wait(t); err != nil {
		t.Error(err)
	}
	if err := httpserve.Base(context.Background()).Err(); err != nil {
		t.Errorf("without a server: %v", err)
	}
}
