package anthropic_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"loom.internal/services/gateway/internal/endpoint"
	"loom.internal/services/gateway/internal/provider/anthropic"
	"loom.internal/services/gateway/internal/provider/call"
)

func TestServes(t *testing.T) {
	t.Parallel()
	for _, e := range endpoint.All() {
		want := e.Dialect == endpoint.Anthropic || e.Name == endpoint.Chat.Name
		if got := client(&upstream{}).Serves(e); got != want {
			t.Errorf("%s: got %v, want %v", e.Name, got, want)
		}
	}
	if _, err := client(&upstream{}).Send(t.Context(), call.Request{Endpoint: endpoint.Embeddings, Header: http.Header{}}); err == nil {
		t.Error("embeddings were sent")
	}
}

func TestBaseURLs(t *testing.T) {
	t.Parallel()
	for base, want := range map[string]string{
		"https://api.anthropic.com":     "https://api.anthropic.com/v1/messages/count_tokens?beta=true",
		"https://api.anthropic.com/":    "https://api.anthropic.com/v1/messages/count_tokens?beta=true",
		"https://api.anthropic.com/v1":  "https://api.anthropic.com/v1/messages/count_tokens?beta=true",
		"https://api.anthropic.com/v1/": "https://api.anthropic.com/v1/messages/count_tokens?beta=true",
		"http://h:1/anthropic":          "http://h:1/anthropic/v1/messages/count_tokens?beta=true",
	} {
		b, err := url.Parse(base)
		if err != nil {
			t.Fatal(err)
		}
		u := &upstream{}
		resp, err := anthropic.New(anthropic.Options{Base: b, Transport: u}).Send(t.Context(), call.Request{
			Endpoint: endpoint.CountTokens, Header: http.Header{}, Query: url.Values{"beta": {"true"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if got := u.request.URL.String(); got != want {
			t.Errorf("%s: got %s, want %s", base, got, want)
		}
	}
}

func TestMaxTokensOfTheProvider(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		plain: `"max_tokens":77,`,
		`{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"Hi"}]}`: `"max_tokens":5,`,
	} {
		u := &upstream{}
		c := anthropic.New(anthropic.Options{Base: &url.URL{Scheme: "https", Host: "h"}, MaxTokens: 77, Transport: u})
		resp, err := c.Send(t.Context(), call.Request{Endpoint: endpoint.Chat, Header: http.Header{}, Body: []byte(body)})
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if !strings.Contains(string(u.sent), want) || u.request.Header.Get("X-Api-Key") != "" {
			t.Errorf("got %s, want %s and no credential", u.sent, want)
		}
	}
}

func TestNativePassesThroughUntouched(t *testing.T) {
	t.Parallel()
	const sent, answered = ` {"model":"m", "x":1.0}`, `{"type":"error", "error":{"type":"overloaded_error"}}`
	u := &upstream{
		status: 529, body: strings.NewReader(answered),
		header: http.Header{"Request-Id": {"req_1"}, "Anthropic-Organization-Id": {"o"}, "Content-Type": {"application/json"}},
	}
	resp, err := client(u).Send(t.Context(), call.Request{Endpoint: endpoint.Messages, Body: []byte(sent), Header: http.Header{
		"Anthropic-Version": {"2024-01-01"}, "Anthropic-Beta": {"a,b"}, "Openai-Beta": {"x"}, "X-Stainless-Lang": {"go"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, _ := io.ReadAll(resp.Body)
	if string(u.sent) != sent || string(body) != answered || resp.StatusCode != 529 || resp.Usage != nil {
		t.Errorf("sent %s, got %d %s", u.sent, resp.StatusCode, body)
	}
	for name, want := range map[string]string{"X-Api-Key": "sk-ant", "Anthropic-Version": "2024-01-01", "Anthropic-Beta": "a,b", "Openai-Beta": "", "X-Stainless-Lang": "go"} {
		if got := u.request.Header.Get(name); got != want {
			t.Errorf("sent %s: got %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string]string{"Request-Id": "req_1", "X-Request-Id": "req_1", "Anthropic-Organization-Id": ""} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("answered %s: got %q, want %q", name, got, want)
		}
	}
}

func TestHeaderOfATranslatedRequest(t *testing.T) {
	t.Parallel()
	u := &upstream{}
	resp, err := client(u).Send(t.Context(), call.Request{
		Endpoint: endpoint.Chat, Body: []byte(plain), Model: "claude-y", Query: url.Values{"a": {"b"}},
		Header: http.Header{
			"Openai-Beta": {"x"}, "X-Stainless-Lang": {"js"}, "User-Agent": {"me"}, "Traceparent": {"t"}, "Anthropic-Beta": {"a"},
			"Anthropic-Version": {"1999"}, "Accept": {"*/*"}, "Content-Type": {"text/plain"}, "X-Other": {"o"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	h := u.request.Header
	for name, want := range map[string]string{
		"X-Api-Key": "sk-ant", "Anthropic-Version": "2023-06-01", "Anthropic-Beta": "a", "User-Agent": "me", "Traceparent": "t",
		"Content-Type": "application/json", "Accept": "application/json, text/event-stream",
	} {
		if got := h.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
		h.Del(name)
	}
	if len(h) > 0 || u.request.URL.RawQuery != "" || !strings.HasPrefix(string(u.sent), `{"model":"claude-y",`) {
		t.Errorf("more was sent: %v, query %q, %s", h, u.request.URL.RawQuery, u.sent)
	}
}

func TestErrorsAreTranslated(t *testing.T) {
	t.Parallel()
	body := func(kind, message, code, param string) string {
		quote := func(s string) string {
			if s == "" {
				return "null"
			}
			return `"` + s + `"`
		}
		return `{"error":{"message":"` + message + `","type":"` + kind + `","param":` + quote(param) + `,"code":` + quote(code) + `}}`
	}
	for _, row := range []struct {
		status  int
		kind    string
		message string
		want    int
		body    string
	}{
		{400, "invalid_request_error", "m", 400, body("invalid_request_error", "m", "", "")},
		{413, "request_too_large", "m", 413, body("invalid_request_error", "m", "request_too_large", "")},
		{401, "authentication_error", "m", 401, body("server_error", "m", "provider_auth_error", "")},
		{402, "billing_error", "m", 403, body("server_error", "m", "provider_auth_error", "")},
		{403, "permission_error", "m", 403, body("server_error", "m", "provider_auth_error", "")},
		{404, "not_found_error", "m", 404, body("invalid_request_error", "m", "model_not_found", "model")},
		{429, "rate_limit_error", "m", 429, body("requests", "m", "rate_limit_exceeded", "")},
		{429, "rate_limit_error", "input tokens", 429, body("tokens", "input tokens", "rate_limit_exceeded", "")},
		{500, "api_error", "m", 500, body("server_error", "m", "api_error", "")},
		{504, "timeout_error", "m", 504, body("server_error", "m", "timeout_error", "")},
		{529, "overloaded_error", "m", 503, body("server_error", "m", "overloaded_error", "")},
		{409, "conflict_error", "m", 409, body("invalid_request_error", "m", "conflict_error", "")},
	} {
		u := &upstream{
			status: row.status, body: strings.NewReader(`{"type":"error","error":{"type":"` + row.kind + `","message":"` + row.message + `"},"request_id":"r"}`),
			header: http.Header{"Retry-After": {"7"}, "Content-Length": {"5"}},
		}
		resp, got, err := translated(t, u, streaming)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != row.want || string(got) != row.body {
			t.Errorf("%d %s: got %d %s, want %d %s", row.status, row.kind, resp.StatusCode, got, row.want, row.body)
		}
		if h := resp.Header; h.Get("Retry-After") != "7" || h.Get("Content-Type") != "application/json" || h.Get("Content-Length") != "" {
			t.Errorf("%d: header %v", row.status, h)
		}
	}
}

func TestAnswersThatAreNotWhatTheyShouldBe(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		u    *upstream
		want string // empty for an error
	}{
		{"an error of no JSON stays for the proxy", &upstream{status: 502, body: strings.NewReader("<html>")}, "<html>"},
		{"an error of another shape", &upstream{status: 500, body: strings.NewReader(`{"x":1}`)}, `{"error":{"message":"The provider answered with status 500: {\"x\":1}","type":"server_error","param":null,"code":"upstream_error"}}`},
		{"an error in spite of its status", &upstream{body: strings.NewReader(`{"type":"error","error":{"type":"api_error","message":"m"}}`)}, `{"error":{"message":"m","type":"server_error","param":null,"code":"api_error"}}`},
		{"an answer of no JSON", &upstream{body: strings.NewReader("hello")}, ""},
		{"an encoding nobody asked for", &upstream{header: http.Header{"Content-Encoding": {"br"}}}, ""},
		{"an answer without end", &upstream{body: zeros{}}, ""},
		{"a fault without end", &upstream{status: 500, body: zeros{}}, ""},
		{"an answer that breaks off", &upstream{body: &pieces{rest: [][]byte{[]byte(`{"id":"msg_1"}`)}, err: io.ErrClosedPipe}}, ""},
		{"a redirect", &upstream{status: 302, body: strings.NewReader("moved")}, "moved"},
	} {
		_, got, err := translated(t, row.u, plain)
		if string(got) != row.want || (err == nil) != (row.want != "") {
			t.Errorf("%s: got %.100q and %v, want %q", row.name, got, err, row.want)
		}
	}
}

// zeros is an answer without end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }
