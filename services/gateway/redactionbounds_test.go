package gateway_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/envelope"
	"loom.internal/pkg/redact"
	"loom.internal/pkg/tenant"
	"loom.internal/pkg/testkit"
	"loom.internal/services/gateway"
)

// A record of a tenant whose rules are wrong does not let anything through that they might
// have been for.
func TestRulesThatDoNotCompile(t *testing.T) {
	t.Parallel()
	up := respond(t, 200, "application/json", whole)
	w, book := logged(t, setup{upstream: up.URL})
	key := w.addKey(tenant.Key{TenantID: "bolt", Scopes: tenant.Scopes()})
	ask := func(mode string) answer {
		return w.chat(strings.Replace(asked, "hi", private, 1), "Authorization", "Bearer "+key, "X-Loom-Content-Mode", mode)
	}
	var kept []bool // of each answer, whether the trace has bodies
	await := func(what string, status int) {
		t.Helper()
		w.eventually(what, func() bool {
			got := ask("").status
			if got == 200 { // by rules that are right, be it those of before
				kept = append(kept, true)
			}
			return got == status
		})
	}
	for name, rules := range map[string]redact.Rules{
		"not a regular expression": {Patterns: []redact.Pattern{{Name: "x", Regexp: "("}}},
		"not known":                {Builtin: []string{"email", "of_a_later_version"}},
		"matches nothing":          {Patterns: []redact.Pattern{{Name: "x", Regexp: "a*"}}},
	} {
		w.addTenant(tenant.Tenant{ID: "bolt", Redact: rules})
		await("refused", 503)
		calls := len(up.Requests())
		for _, mode := range []string{"", "full", "metadata"} {
			a := ask(mode)
			equal(t, name, a.status, 503)
			equal(t, "retry-after", a.header.Get("Retry-After"), "1")
			w.envelope(a, "server_error", "provider_unavailable")
		}
		equal(t, "calls", len(up.Requests()), calls)
		equal(t, "none", ask("none").status, 200)
		kept = append(kept, false)
		w.addTenant(tenant.Tenant{ID: "bolt", Redact: privateRules})
		await("put right", 200)
	}
	w.said(book, "rules of redaction are wrong", bus.PrefixTenant+"bolt")
	for i, e := range w.traces(len(kept)) {
		if !kept[i] {
			equal(t, "bodies", len(e.Bodies()), 0)
			continue
		}
		w.clear("request", w.open(e, envelope.FieldRequest), allMarks...)
	}
	if strings.Contains(book.String(), "panic") {
		t.Error("a panic in the log")
	}
}

// The end of what is recorded never cuts a match into something that is none: it is taken
// out before.
func TestCaptureLimitComesAfterRedaction(t *testing.T) {
	t.Parallel()
	const limit = 8 << 10
	r, err := redact.Compile(privateRules)
	if err != nil {
		t.Fatal(err)
	}
	up := testkit.Upstream(t, func(w http.ResponseWriter, _ *http.Request, body []byte) { // says what it is told
		_, text, _ := strings.Cut(string(body), `"content":"`)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, strings.Replace(whole, "hello", strings.TrimSuffix(text, `"}]}`), 1))
	})
	w := start(t, setup{upstream: up.URL, change: func(c *gateway.Config) { c.CaptureLimit = limit }})
	w.addTenant(tenant.Tenant{ID: "bolt", Redact: privateRules})
	key := w.addKey(tenant.Key{TenantID: "bolt", Scopes: tenant.Scopes()})
	sent := make(map[string]string) // by trace
	for name, text := range map[string]string{
		"an address at the limit":     strings.Repeat("x", limit-120) + " alice@example.com " + strings.Repeat("y ", 300),
		"a long tail":                 strings.Repeat("x", limit-120) + " alice@example.com " + strings.Repeat("y ", 40<<10),
		"much shorter once redacted":  strings.Repeat("bob.the.builder.of.many.things@construction.example.com ", 2000),
		"at the end of what is read":  strings.Repeat("z", limit+8<<10-120) + " alice@example.com " + strings.Repeat("y", limit),
		"characters of several bytes": strings.Repeat("é", limit),
	} {
		for shift := range 120 {
			if shift%10 != 0 && name != "an address at the limit" {
				continue
			}
			padded := strings.Repeat("p", shift) + text
			a := w.chat(`{"model":"gpt-1","messages":[{"role":"user","content":"`+padded+`"}]}`, "Authorization", "Bearer "+key)
			equal(t, "answer", a.body, strings.Replace(whole, "hello", padded, 1))
			sent[a.header.Get("X-Loom-Trace-Id")] = padded
		}
	}
	for _, e := range w.traces(len(sent)) {
		text, least := sent[e.GetTraceId()], limit
		if strings.Contains(text, "builder") {
			least = 0 // not known to be free of half a match
		}
		for field, sent := range map[envelope.Field]string{
			envelope.FieldRequest:  `{"model":"gpt-1","messages":[{"role":"user","content":"` + text + `"}]}`,
			envelope.FieldResponse: strings.Replace(whole, "hello", text, 1),
		} {
			got := w.open(e, field)
			if want := string(r.JSON([]byte(sent))); len(got) > limit || !strings.HasPrefix(want, got) || len(got) < least-3 {
				t.Errorf("%s of %d bytes that ends with %q is not how what was sent begins, redacted", field, len(got), got[max(0, len(got)-60):])
			}
			if !utf8.ValidString(got) {
				t.Errorf("%s ends within a character", field)
			}
		}
	}
}
