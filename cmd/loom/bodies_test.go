package main_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestLargeBodies sends 2 MiB and gets 3 MiB, and reads both back from the record byte
// for byte.
func TestLargeBodies(t *testing.T) {
	t.Parallel()
	in := running(t)
	response := `{"id":"c","object":"chat.completion","created":1,"model":"wide","choices":[{"index":0,"message":{"role":"assistant","content":"` +
		strings.Repeat("warp and weft ", 3<<20/14) + `"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}`
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, response)
	}))
	t.Cleanup(provider.Close)
	in.cli(t, "apply", "-f", write(t, "providers: [{name: wide, kind: compatible, base_url: '"+provider.URL+"/v1', secret: sk-wide}]\n"+
		"routes: [{model: 'wide-*', targets: [{provider: wide}]}]\n"))
	key, _ := in.tenant(t, "wide")

	request := `{"model":"wide-1","messages":[{"role":"user","content":"` + strings.Repeat("thread ", 2<<20/7) + `"}]}`
	eventually(t, 10*time.Second, func() error {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, in.env.BaseURL+"/chat/completions", bytes.NewReader([]byte(request)))
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+key)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK || string(answer) != response {
			return errors.Join(err, errors.New("got "+resp.Status+", not the provider's answer"))
		}
		return nil
	})

	var id string
	eventually(t, 20*time.Second, func() error {
		var page struct{ Items []trace }
		if err := in.get(key, "/api/v1/traces?range=1h", &page); err != nil {
			return err
		}
		if len(page.Items) == 0 {
			return errors.New("no trace")
		}
		id = page.Items[0].ID
		return nil
	})
	var payload struct {
		Request, Response struct {
			Text      string
			Truncated bool
			Length    int
		}
	}
	if err := in.get(key, "/api/v1/traces/"+id+"/payload", &payload); err != nil {
		t.Fatal(err)
	}
	if got := payload.Request; got.Text != request || got.Truncated || got.Length != len(request) {
		t.Errorf("recorded request: %d bytes, truncated %v, want the %d that were sent", len(got.Text), got.Truncated, len(request))
	}
	if got := payload.Response; got.Text != response || got.Truncated || got.Length != len(response) {
		t.Errorf("recorded answer: %d bytes, truncated %v, want the %d that came", len(got.Text), got.Truncated, len(response))
	}
}
