package gateway_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"loom.internal/pkg/catalog"
	"loom.internal/pkg/envelope"
	"loom.internal/pkg/event"
	"loom.internal/pkg/tenant"
	"loom.internal/pkg/testkit"
	"loom.internal/services/gateway"
)

// forms are what a text may look like where it was only encoded: base64 of either
// alphabet at every offset, hex, and JSON within JSON.
func forms(text []byte) map[string][]byte {
	found := map[string][]byte{
		"as it is": text, "hex": []byte(hex.EncodeToString(text)), "upper-case hex": bytes.ToUpper([]byte(hex.EncodeToString(text))),
	}
	for name, alphabet := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64 for URLs": base64.RawURLEncoding} {
		for offset := range 3 {
			encoded := alphabet.EncodeToString(append(make([]byte, offset), text...))
			from := (offset*8 + 5) / 6            // the first digit that is of text alone
			whole := (offset + len(text)) * 8 / 6 // and behind the last one
			found[name+" from "+string(rune('0'+offset))] = []byte(encoded[from:whole])
		}
	}
	return found
}

func TestFormsFindWhatIsEncoded(t *testing.T) {
	t.Parallel()
	text := []byte("canary-0123456789")
	for offset := range 7 {
		in := append(bytes.Repeat([]byte("x"), offset), append(text, "yz"...)...)
		encoded, hits := base64.StdEncoding.EncodeToString(in), 0
		for _, form := range forms(text) {
			if strings.Contains(encoded, string(form)) {
				hits++
			}
		}
		if hits == 0 {
			t.Errorf("not found at offset %d", offset)
		}
	}
}

// Whatever happens to requests, nothing that is secret is on any disk, in the log, in the
// metrics or in an answer of the gateway's own.
func TestNoSecretLeaves(t *testing.T) {
	t.Parallel()
	master, err := hex.DecodeString(masterKey)
	if err != nil {
		t.Fatal(err)
	}
	const prompt, said, fault, tag, credential = "canary-of-the-prompt", "canary-of-the-answer", "canary-of-an-error", "canary-of-a-tag", "sk-upstream-secret"
	secrets := map[string][]byte{
		"prompt": []byte(prompt), "answer": []byte(said), "provider's error": []byte(fault), "tag of nothing": []byte(tag),
		"provider's secret": []byte(credential), "master key": master, "master key in text": []byte(masterKey), "pepper": []byte("pepper! pepper!"),
	}
	up := testkit.Upstream(t, func(w http.ResponseWriter, _ *http.Request, body []byte) {
		is := func(what string) bool { return bytes.Contains(body, []byte(what)) }
		w.Header().Set("X-Ms-Error", fault)
		switch {
		case is("do cut"):
			_ = testkit.SSE(w, chunk(said))
			_ = testkit.Cut(w)
		case is("do stream"):
			_ = testkit.SSE(w, chunk(said), last, done)
		case is("do fail in it"):
			_ = testkit.SSE(w, chunk(said), `data: {"error":{"message":"`+fault+`"}}`+"\n\n")
		case is("do nonsense"):
			_ = testkit.SSE(w, "data: {"+fault+"\n\n", "event: "+fault+"\ndata: x\n\n")
		default:
			w.Header().Set("Content-Type", "application/json")
			for what, status := range map[string]int{"do 400": 400, "do 401": 401, "do 429": 429, "do 500": 500} {
				if is(what) {
					w.WriteHeader(status)
					_, _ = io.WriteString(w, `{"error":{"message":"`+fault+`"}}`)
					return
				}
			}
			if is("do page") {
				w.WriteHeader(http.StatusBadGateway)
				_, _ = io.WriteString(w, "<html>"+fault)
				return
			}
			if is("do drop") {
				_ = testkit.Cut(w)
				return
			}
			_, _ = io.WriteString(w, strings.Replace(whole, "hello", said+strings.Repeat(" and so on", 600), 1))
		}
	})
	w, book := logged(t, setup{files: true, upstream: up.URL, routes: []catalog.Route{{Model: "down", Targets: []catalog.Target{{Provider: "away"}}}}, others: map[string]string{"away": "http://127.0.0.1:1"}})
	w.addTenant(tenant.Tenant{ID: "bare"})
	asks := []string{"do answer", "do stream", "do cut", "do fail in it", "do nonsense", "do 400", "do 401", "do 429", "do 500", "do page", "do drop"}
	for _, ask := range asks {
		w.chat(`{"model":"gpt-4o","stream":` + map[bool]string{true: "true", false: "false"}[strings.Contains(ask, "stream")] + `,"messages":[{"role":"user","content":"` + prompt + " " + ask + `"}]}`)
	}
	n := len(asks)
	for _, body := range []string{`{"model":"down","messages":"` + prompt + `"}`, `{"model":"gpt-4o","metadata":{"note":"` + tag + `"},"user":"` + tag + `"}`} {
		w.chat(body, "X-Loom-Content-Mode", "none", "X-Loom-Session-Id", tag)
		n++
	}
	// And some that are refused.
	for _, body := range []string{prompt, `{"model":"` + prompt + `"}`, `{"model":7,"x":"` + prompt + `"}`, `{"model":"gpt-4o","model":"` + prompt + `"}`} {
		w.chat(body)
	}
	w.chat(asked, "Authorization", "Bearer "+prompt)
	w.chat(asked, "Content-Encoding", "gzip")
	w.addTenant(tenant.Tenant{ID: "acme", Status: tenant.Active, ContentMode: "full"})
	key, err := envelope.NewDataKey("acme", 2).Wrap(t.Context(), bothKeys(t))
	w.must(err)
	w.put("tenant.acme", tenant.Tenant{ID: "acme", Status: tenant.Active, ContentMode: "full", Revision: w.next(), DataKey: &key})
	w.eventually("without a key", func() bool {
		status := w.chat(`{"model":"gpt-4o","messages":"` + prompt + `"}`).status
		if status == http.StatusOK {
			n++
		}
		return status == http.StatusServiceUnavailable
	})
	events := w.traces(n)
	opened := 0
	for _, e := range events {
		if e.GetContentMode() == event.ContentMode_CONTENT_MODE_FULL {
			contains(t, "recorded", w.open(e, envelope.FieldRequest), prompt)
			opened++
		}
	}
	if opened < len(asks) {
		t.Errorf("%d traces in full, want %d: nothing was to be found", opened, len(asks))
	}
	metrics := httptest.NewRecorder()
	gateway.Ops(w.metrics, w.ready).ServeHTTP(metrics, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	contains(t, "metrics", metrics.Body.String(), "loom_gateway_requests_total")
	w.must(w.stop())
	w.broker.Stop()

	places := map[string][]byte{"log": []byte(book.String()), "metrics": metrics.Body.Bytes()}
	contains(t, "log", book.String(), "level=WARN")
	contains(t, "log", book.String(), "level=ERROR")
	var spooled, stored bool
	w.must(filepath.WalkDir(filepath.Dir(w.spool), func(path string, entry fs.DirEntry, err error) error { // of the test: the broker's store is beside it
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		places[path] = data
		inSpool := strings.HasPrefix(path, w.spool)
		for _, e := range events {
			spooled = spooled || inSpool && bytes.Contains(data, []byte(e.GetTraceId()))
			stored = stored || !inSpool && bytes.Contains(data, []byte(e.GetTraceId()))
		}
		return err
	}))
	if !spooled || !stored {
		t.Errorf("traces found in the spool: %v, in the store: %v", spooled, stored)
	}
	for what, secret := range secrets {
		for form, text := range forms(secret) {
			for place, data := range places {
				if bytes.Contains(data, text) {
					t.Errorf("%s, %s, is in %s", what, form, place)
				}
			}
		}
	}
}
