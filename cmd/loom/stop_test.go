package main_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"
)

const firstChunk = `{"id":"c","object":"chat.completion.chunk","created":1,"model":"endless","choices":[{"index":0,"delta":{"role":"assistant","content":"threads"},"finish_reason":null}]}`

// openStream asks a provider that begins an answer and never ends it. It returns what
// comes after the first chunk, when that has come.
func openStream(t *testing.T, in *instance) (rest io.Reader) {
	t.Helper()
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = fmt.Fprintf(w, "data: %s\n\n", firstChunk)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	t.Cleanup(provider.Close)
	in.cli(t, "apply", "-f", write(t, "providers: [{name: endless, kind: compatible, base_url: '"+provider.URL+"/v1'}]\n"+
		"routes: [{model: endless, targets: [{provider: endless}]}]\n"))

	var resp *http.Response
	eventually(t, 2*time.Second, func() error { // the route takes a moment to arrive
		body := strings.NewReader(`{"model":"endless","stream":true,"messages":[{"role":"user","content":"go on"}]}`)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, in.env.BaseURL+"/chat/completions", body)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+in.env.APIKey)
		if resp, err = http.DefaultClient.Do(req); err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("got %d, want 200: %w", resp.StatusCode, resp.Body.Close())
		}
		return nil
	})
	t.Cleanup(func() { _ = resp.Body.Close() })
	r := bufio.NewReader(resp.Body)
	line, err := r.ReadString('\n')
	if err != nil || line != "data: "+firstChunk+"\n" {
		t.Fatalf("first line of the stream: got %q, %v", line, err)
	}
	return r
}

// TestStopWithOpenStream stops Loom while it streams an answer: the client is told, the
// stop is in time, and what went out is on record.
func TestStopWithOpenStream(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	in := up(t, dir, nil)
	stream := openStream(t, in)
	rest := make(chan string, 1)
	go func() {
		all, _ := io.ReadAll(stream) // how it ends is not the question
		rest <- string(all)
	}()
	in.interrupted(t, syscall.SIGINT)
	if got := <-rest; strings.Contains(got, "data: [DONE]") || !strings.Contains(got, `"error"`) {
		t.Errorf("the stream ends with %q: want an error event and no [DONE]", got)
	}

	again := up(t, dir, nil)
	again.traces(t, again.env.APIKey, 1, 2*time.Second)
	var page struct{ Items []trace }
	if err := again.get(again.env.APIKey, "/api/v1/traces", &page); err != nil {
		t.Fatal(err)
	}
	if got := page.Items[0]; got.Outcome == "completed" || got.Provider != "endless" || !got.Stream {
		t.Errorf("trace: got %+v, want one of endless that did not complete", got)
	}
}

// TestKilledInMidStream kills Loom by SIGKILL while it streams an answer. When it is back
// there is one trace, of what was known before the provider was called.
func TestKilledInMidStream(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	in := up(t, dir, nil)
	_ = openStream(t, in)
	in.kill()

	again := up(t, dir, nil)
	again.traces(t, again.env.APIKey, 1, 30*time.Second)
	var page struct{ Items []trace }
	if err := again.get(again.env.APIKey, "/api/v1/traces", &page); err != nil {
		t.Fatal(err)
	}
	var got struct {
		trace
		ModelRequested string `json:"model_requested"`
		UsageSource    string `json:"usage_source"`
		RequestBytes   int64  `json:"request_bytes"`
		ResponseBytes  int64  `json:"response_bytes"`
		Attempts       int    `json:"attempts"`
	}
	// The cost of what has no usage is known as soon as analytics has seen the event.
	eventually(t, 5*time.Second, func() error {
		if err := again.get(again.env.APIKey, "/api/v1/traces/"+page.Items[0].ID, &got); err != nil {
			return err
		}
		if got.CostStatus != "no_usage" {
			return fmt.Errorf("cost status %q, want no_usage", got.CostStatus)
		}
		return nil
	})
	if got.Outcome != "interrupted" || got.ErrorClass != "gateway_died" || got.HTTPStatus != 0 || got.Attempts != 0 || got.ResponseBytes != 0 {
		t.Errorf("how it ended: got %+v, want interrupted, gateway_died, and no answer", got)
	}
	if got.UsageSource != "none" || got.TokensIn != nil || got.TokensOut != nil || got.CostUSD != nil {
		t.Errorf("usage: got %+v, want none", got)
	}
	if got.ModelRequested != "endless" || got.Provider != "endless" || !got.Stream || got.RequestBytes == 0 {
		t.Errorf("the request: got %+v, want a stream of endless", got)
	}
	// It is not recorded again by the life after.
	again.kill()
	last := up(t, dir, nil)
	if code := last.ask(t, last.env.APIKey, "loom-demo", "on we go"); code != http.StatusOK {
		t.Errorf("the life after: got %d, want 200", code)
	}
	last.traces(t, last.env.APIKey, 2, 45*time.Second)
}

// TestSecondSignalKills sends Ctrl-C again while the first is being obeyed.
func TestSecondSignalKills(t *testing.T) {
	t.Parallel()
	in := up(t, dataDir(t), nil, "--drain", "60s")
	postgres := in.postgres(t)
	_ = openStream(t, in)
	if err := in.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	// Draining begins with the end of the listener.
	gateway := strings.TrimSuffix(strings.TrimPrefix(in.env.BaseURL, "http://"), "/v1")
	eventually(t, 5*time.Second, func() error {
		conn, err := net.Dial("tcp", gateway)
		if err != nil {
			return nil //nolint:nilerr // what is waited for
		}
		return fmt.Errorf("still listening: %w", conn.Close())
	})
	if _, took, err := in.stop(syscall.SIGINT); err != nil || took > 2*time.Second {
		t.Errorf("the second Ctrl-C: the end after %v, %v; want it at once", took, err)
	}
	gone(t, postgres)
}
