package gateway_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"loom.internal/pkg/event"
	"loom.internal/pkg/tenant"
	"loom.internal/pkg/testkit"
	"loom.internal/services/gateway"
)

// TestErrorTable is the table of requirement 19, row by row, for whole answers and for
// streams, each in the envelope of requirement 18.
func TestErrorTable(t *testing.T) {
	t.Parallel()
	ways := map[string]func(http.ResponseWriter, *http.Request){
		"reset": func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if tcp, ok := conn.(*net.TCPConn); err == nil && ok {
				_ = tcp.SetLinger(0)
				_ = tcp.Close()
			}
		},
		"no http": func(w http.ResponseWriter, _ *http.Request) {
			if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
				_, _ = io.WriteString(conn, "SSH-2.0-OpenSSH_9.9\r\n")
				_ = conn.Close()
			}
		},
		"html": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(http.StatusBadGateway)
			_, _ = io.WriteString(w, "<h1>Bad Gateway</h1>")
		},
		"silent": func(_ http.ResponseWriter, r *http.Request) { _ = testkit.WaitGone(r, patience) },
	}
	up := testkit.Upstream(t, func(w http.ResponseWriter, r *http.Request, body []byte) {
		for name, way := range ways {
			if bytes.Contains(body, []byte(name)) {
				way(w, r)
			}
		}
	})
	w := start(t, setup{upstream: up.URL, others: map[string]string{"tls": strings.Replace(up.URL, "http:", "https:", 1), "nobody": "http://127.0.0.1:1"}, change: func(c *gateway.Config) {
		c.MaxBody, c.BodyMemory, c.HeaderTimeout = 2000, 1<<20, 200*time.Millisecond
	}, routes: routesTo("tls", "nobody")})
	w.addTenant(tenant.Tenant{ID: "idle", Status: tenant.Inactive, ContentMode: "full"})
	inactive := w.addKey(tenant.Key{TenantID: "idle", Scopes: tenant.Scopes()})
	revoked := w.addKey(tenant.Key{TenantID: "acme", Scopes: tenant.Scopes(), Revoked: true})
	narrow := w.addKey(tenant.Key{TenantID: "acme", Scopes: tenant.Scopes(), Models: []string{"other"}})

	const chat, auth, invalid, server = "/v1/chat/completions", "Authorization", "invalid_request_error", "server_error"
	model := func(name, rest string) string { return `{"model":"` + name + `","messages":[],"x":"` + rest + `"}` }
	for _, row := range []struct {
		name, method, path, body string
		key                      string // empty: the world's
		status                   int
		typ, code, param         string
		traced                   string // error class in the trace; empty: there is none
	}{
		{"no key", "POST", chat, "{", "none", 401, "auth_error", "invalid_api_key", "", ""},
		{"wrong key", "POST", chat, "{", "sk-wrong", 401, "auth_error", "invalid_api_key", "", ""},
		{"revoked", "POST", chat, "{", revoked, 401, "auth_error", "invalid_api_key", "", ""},
		{"inactive tenant", "POST", chat, "{", inactive, 401, "auth_error", "invalid_api_key", "", ""},
		{"key lacks the model", "POST", chat, model("gpt-4o", ""), narrow, 403, invalid, "model_not_allowed", "model", ""},
		{"malformed JSON", "POST", chat, "{", "", 400, invalid, "", "", ""},
		{"empty body", "POST", chat, "", "", 400, invalid, "", "", ""},
		{"no model", "POST", chat, "{}", "", 400, invalid, "", "model", ""},
		{"unknown model", "POST", chat, model("nothing", ""), "", 404, invalid, "model_not_found", "model", ""},
		{"unknown path", "POST", "/v1/x", "{}", "", 404, invalid, "", "", ""},
		{"method", "PUT", chat, "{}", "", 405, invalid, "method_not_supported", "", ""},
		{"body too large", "POST", chat, model("gpt-4o", strings.Repeat("x", 2000)), "", 413, invalid, "request_too_large", "", ""},
		{"refused connection", "POST", chat, model("nobody", ""), "", 502, server, "upstream_error", "", "upstream_unreachable"},
		{"reset", "POST", chat, model("gpt-4o", "reset"), "", 502, server, "upstream_error", "", "upstream_error"},
		{"bad TLS", "POST", chat, model("tls", ""), "", 502, server, "upstream_error", "", "upstream_error"},
		{"bad HTTP", "POST", chat, model("gpt-4o", "no http"), "", 502, server, "upstream_error", "", "upstream_error"},
		{"HTML", "POST", chat, model("gpt-4o", "html"), "", 502, server, "upstream_error", "", "upstream_error"},
		{"header timeout", "POST", chat, model("gpt-4o", "silent"), "", 504, server, "upstream_timeout", "", "upstream_timeout"},
	} {
		for _, stream := range []bool{false, true} {
			body := row.body
			if stream && strings.HasPrefix(body, `{"model"`) {
				body = `{"stream":true,` + body[1:]
			}
			header := []string{auth, "Bearer " + row.key}
			switch row.key {
			case "":
				header = nil
			case "none":
				header = []string{auth, ""}
			}
			name := row.name + map[bool]string{true: ", streamed"}[stream]
			a := w.do(w.request(t.Context(), row.method, row.path, []byte(body), header...))
			equal(t, name+": status", a.status, row.status)
			w.envelope(a, row.typ, row.code)
			param := "null"
			if row.param != "" {
				param = `"` + row.param + `"`
			}
			contains(t, name, a.body, `"param":`+param)
			equal(t, name+": allow", a.header.Get("Allow") != "", row.status == 405)
			equal(t, name+": traced", a.header.Get("X-Loom-Trace-Id") != "", row.traced != "")
		}
	}
	contains(t, "unknown path", w.do(w.request(t.Context(), "POST", "/v1/x", nil)).body, `"message":"Invalid URL (POST /v1/x)"`)
	events := w.traces(12)
	for i, class := range []string{"upstream_unreachable", "upstream_error", "upstream_error", "upstream_error", "upstream_error", "upstream_timeout"} {
		for _, e := range events[2*i : 2*i+2] {
			equal(t, "class", e.GetErrorClass(), class)
			equal(t, "outcome", e.GetOutcome(), event.Outcome_OUTCOME_FAILED)
		}
	}
}

// TestUnavailableSaysWhenToTryAgain: the rows of 503, and 499, which only the trace has.
func TestUnavailableSaysWhenToTryAgain(t *testing.T) {
	t.Parallel()
	up := testkit.Upstream(t, func(_ http.ResponseWriter, r *http.Request, _ []byte) { _ = testkit.WaitGone(r, patience) })
	w := start(t, setup{upstream: up.URL, change: func(c *gateway.Config) { c.AllowPrivateUpstreams, c.Drain = false, 50*time.Millisecond }})
	a := w.chat(asked)
	equal(t, "no provider", a.status, 503)
	w.envelope(a, "server_error", "provider_unavailable")
	equal(t, "retry-after", a.header.Get("Retry-After"), "1")

	w2 := start(t, setup{upstream: up.URL, change: func(c *gateway.Config) { c.Drain = 50 * time.Millisecond }})
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() {
		resp, err := w2.client.Do(w2.request(ctx, http.MethodPost, "/v1/chat/completions", []byte(asked)))
		if err == nil {
			_ = resp.Body.Close()
		}
		gone <- err
	}()
	up.Await(t, 1, patience)
	cancel()
	if err := <-gone; err == nil {
		t.Error("a client that left was answered")
	}
	equal(t, "499", w2.trace().GetHttpStatus(), 499)

	answers := make(chan answer, 1)
	go func() {
		resp, err := w2.client.Do(w2.request(context.Background(), http.MethodPost, "/v1/chat/completions", []byte(asked)))
		if err != nil {
			answers <- answer{err: err}
			return
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		answers <- answer{resp.StatusCode, resp.Header, string(b), err}
	}()
	up.Await(t, 2, patience)
	w2.must(w2.stop())
	a = <-answers
	w2.must(a.err)
	equal(t, "draining", a.status, 503)
	w2.envelope(a, "server_error", "provider_unavailable")
	equal(t, "retry-after", a.header.Get("Retry-After"), "1")
}
