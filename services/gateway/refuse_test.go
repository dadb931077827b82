package gateway_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/envelope"
	"loom.internal/pkg/event"
	"loom.internal/pkg/tenant"
	"loom.internal/services/gateway"
)

const demoChat = `{"model":"loom-demo","messages":[{"role":"user","content":"hi"}]}`

func TestRefusals(t *testing.T) {
	w := start(t, setup{upstream: "http://127.0.0.1:1", change: func(c *gateway.Config) { c.MaxBody = 2000 }})
	past := time.Now().Add(-time.Minute)
	w.addTenant(tenant.Tenant{ID: "idle", Status: tenant.Inactive, ContentMode: "full"})
	inactive := w.addKey(tenant.Key{TenantID: "idle", Scopes: tenant.Scopes()})
	revoked := w.addKey(tenant.Key{TenantID: "acme", Scopes: tenant.Scopes(), Revoked: true})
	expired := w.addKey(tenant.Key{TenantID: "acme", Scopes: tenant.Scopes(), ExpiresAt: &past})
	orphan := w.addKey(tenant.Key{TenantID: "nobody", Scopes: tenant.Scopes()})
	reader := w.addKey(tenant.Key{TenantID: "acme", Scopes: []tenant.Scope{tenant.ScopeModels}})
	narrow := w.addKey(tenant.Key{TenantID: "acme", Scopes: tenant.Scopes(), Models: []string{"loom-demo", "gpt-x"}})
	fresh, err := tenant.NewKeyText(tenant.TenantPrefix)
	w.must(err)
	const chat, auth = "/v1/chat/completions", "Authorization"
	const invalid = "invalid_request_error"
	for _, row := range []struct {
		name, method, path, body string
		header                   []string
		status                   int
		typ, code                string
	}{
		{"no key", "POST", chat, demoChat, []string{auth, ""}, 401, "auth_error", "invalid_api_key"},
		{"wrong key before bad body", "POST", chat, "{", []string{auth, "Bearer x"}, 401, "auth_error", "invalid_api_key"},
		{"other scheme", "POST", chat, demoChat, []string{auth, "Basic " + w.key}, 401, "auth_error", "invalid_api_key"},
		{"unknown key", "POST", chat, demoChat, []string{auth, "Bearer " + fresh.Reveal()}, 401, "auth_error", "invalid_api_key"},
		{"revoked key", "POST", chat, demoChat, []string{auth, "Bearer " + revoked}, 401, "auth_error", "invalid_api_key"},
		{"expired key", "POST", chat, demoChat, []string{auth, "Bearer " + expired}, 401, "auth_error", "invalid_api_key"},
		{"inactive tenant", "POST", chat, demoChat, []string{auth, "Bearer " + inactive}, 401, "auth_error", "invalid_api_key"},
		{"unknown tenant", "POST", chat, demoChat, []string{auth, "Bearer " + orphan}, 401, "auth_error", "invalid_api_key"},
		{"two keys that differ", "POST", chat, demoChat, []string{"X-Api-Key", reader}, 401, "auth_error", "invalid_api_key"},
		{"three keys, one differs", "POST", chat, demoChat, []string{"X-Api-Key", w.key, "Api-Key", reader}, 401, "auth_error", "invalid_api_key"},
		{"scope", "POST", chat, demoChat, []string{auth, "Bearer " + reader}, 403, invalid, "missing_scope"},
		{"model not allowed", "POST", chat, `{"model":"loom-demo-large"}`, []string{auth, "Bearer " + narrow}, 403, invalid, "model_not_allowed"},
		{"empty body", "POST", chat, "", nil, 400, invalid, ""},
		{"not JSON", "POST", chat, "{]", nil, 400, invalid, ""},
		{"not an object", "POST", chat, "[]", nil, 400, invalid, ""},
		{"more than one value", "POST", chat, demoChat + "{}", nil, 400, invalid, ""},
		{"no model", "POST", chat, `{"messages":[]}`, nil, 400, invalid, ""},
		{"model is no string", "POST", chat, `{"model":7}`, nil, 400, invalid, ""},
		{"model twice", "POST", chat, `{"model":"loom-demo","m\u006fdel":"gpt-4"}`, nil, 400, invalid, ""},
		{"too deep", "POST", chat, `{"model":"loom-demo","x":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + "}", nil, 400, invalid, ""},
		{"unknown model", "POST", chat, `{"model":"nope"}`, nil, 404, invalid, "model_not_found"},
		{"unknown path", "POST", "/v1/files", demoChat, nil, 404, invalid, ""},
		{"unknown path, no key", "GET", "/", "", []string{auth, ""}, 404, invalid, ""},
		{"method", "GET", chat, "", nil, 405, invalid, "method_not_supported"},
		{"too large", "POST", chat, strings.Repeat(" ", 3000), nil, 413, invalid, "request_too_large"},
		{"compressed", "POST", chat, demoChat, []string{"Content-Encoding", "gzip"}, 415, invalid, "unsupported_content_encoding"},
		{"models without a key", "GET", "/v1/models", "", []string{auth, ""}, 401, "auth_error", "invalid_api_key"},
		{"unknown model by name", "GET", "/v1/models/a/b", "", nil, 404, invalid, "model_not_found"},
	} {
		t.Run(row.name, func(t *testing.T) {
			inner := *w
			inner.tb = t
			a := inner.do(inner.request(t.Context(), row.method, row.path, []byte(row.body), row.header...))
			equal(t, "status", a.status, row.status)
			inner.envelope(a, row.typ, row.code)
			equal(t, "trace header", a.header.Get("X-Loom-Trace-Id"), "")
			if row.status == 405 {
				contains(t, "allow", a.header.Get("Allow"), "POST")
			}
		})
	}
	t.Run("too large, in chunks", func(t *testing.T) {
		req := w.request(t.Context(), "POST", chat, nil)
		req.Body, req.ContentLength = io.NopCloser(io.MultiReader(bytes.NewReader(make([]byte, 3000)))), -1
		a := w.do(req)
		equal(t, "status", a.status, 413)
		w.envelope(a, invalid, "request_too_large")
	})
	for _, path := range []string{chat + "/", "/chat/completions", "/chat/completions/"} {
		equal(t, path, w.do(w.request(t.Context(), "POST", path, []byte(demoChat))).status, 200)
	}
	equal(t, "x-api-key", w.chat(demoChat, auth, "", "X-Api-Key", w.key).status, 200)
	equal(t, "the same key twice", w.chat(demoChat, "X-Api-Key", w.key).status, 200)
	equal(t, "api-key", w.chat(demoChat, auth, "", "Api-Key", w.key).status, 200)
	if got := w.traces(6); len(got) != 6 { // what was refused made none
		t.Errorf("got %d traces", len(got))
	}
	list := func(key string) string {
		return w.do(w.request(t.Context(), "GET", "/v1/models/", nil, auth, "Bearer "+key)).body
	}
	equal(t, "models", list(w.key), `{"object":"list","data":[{"id":"alias","object":"model","created":0,"owned_by":"up"},{"id":"loom-demo","object":"model","created":0,"owned_by":"demo"},{"id":"loom-demo-large","object":"model","created":0,"owned_by":"demo"}]}`)
	equal(t, "models of a narrow key", list(narrow), `{"object":"list","data":[{"id":"loom-demo","object":"model","created":0,"owned_by":"demo"}]}`)
	equal(t, "model", w.do(w.request(t.Context(), "GET", "/models/loom-demo", nil)).body, `{"id":"loom-demo","object":"model","created":0,"owned_by":"demo"}`)
	for _, path := range []string{"/healthz", "/readyz"} {
		equal(t, path, w.do(w.request(t.Context(), "GET", path, nil, auth, "")).status, 200)
	}
}

func TestRevocationIsPushed(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	key := w.addKey(tenant.Key{TenantID: "acme", Scopes: tenant.Scopes()})
	status := func() int { return w.chat(demoChat, "Authorization", "Bearer "+key).status }
	within := func(what string, want int) {
		begin := time.Now()
		w.eventually(what, func() bool { return status() == want })
		if took := time.Since(begin); took > time.Second {
			t.Errorf("%s took %s", what, took)
		}
	}
	equal(t, "at first", status(), 200)
	w.putKey(key, tenant.Key{TenantID: "acme", Scopes: tenant.Scopes(), Revoked: true})
	within("revoked", 401)
	w.putKey(key, tenant.Key{TenantID: "acme", Scopes: tenant.Scopes()})
	within("good again", 200)
	w.addTenant(tenant.Tenant{ID: "acme", Status: tenant.Inactive, ContentMode: "full"})
	within("tenant inactive", 401)
}

func TestBrokerAway(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	unused := w.addKey(tenant.Key{TenantID: "acme", Scopes: tenant.Scopes()})
	equal(t, "before", w.chat(demoChat).status, 200)
	w.traces(1)
	w.broker.Stop()
	w.eventually("away", func() bool { return !w.nc.IsConnected() })
	for range 10 {
		equal(t, "known key", w.chat(demoChat).status, 200)
	}
	a := w.chat(demoChat, "Authorization", "Bearer "+unused)
	equal(t, "unknown key", a.status, 503)
	w.envelope(a, "server_error", "provider_unavailable")
	equal(t, "retry-after", a.header.Get("Retry-After"), "1")
	w.broker.Start(t)
	w.eventually("back", func() bool { return w.chat(demoChat, "Authorization", "Bearer "+unused).status == 200 })
	events := w.traces(12) // nothing is lost
	for i, e := range events {
		equal(t, "seq", e.GetProducer().GetSeq(), uint64(i+1))
	}
	// What changed is in force again too.
	w.putKey(unused, tenant.Key{TenantID: "acme", Revoked: true})
	w.eventually("revoked", func() bool { return w.chat(demoChat, "Authorization", "Bearer "+unused).status == 401 })
}

func TestRevocationWhileTheConnectionWasGone(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	equal(t, "before", w.chat(demoChat).status, 200)
	w.broker.Stop()
	w.broker.Start(t)
	kv := w.kv
	w.eventually("broker back", func() bool { _, err := kv.Get(t.Context(), bus.KeyCatalog); return err == nil })
	w.putKey(w.key, tenant.Key{TenantID: "acme", Scopes: tenant.Scopes(), Revoked: true})
	w.eventually("revoked", func() bool { return w.chat(demoChat).status == 401 })
}

func TestCatalogueChangesAndBadOneIsIgnored(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	_, err := w.kv.Put(t.Context(), bus.KeyCatalog, []byte(`{"revision":99,"routes":[{"model":"x"}]}`))
	w.must(err)
	equal(t, "after a bad snapshot", w.chat(demoChat).status, 200)
	_, err = w.kv.Put(t.Context(), bus.KeyCatalog, []byte(`{"revision":100}`))
	w.must(err)
	w.eventually("without routes", func() bool { return w.chat(demoChat).status == 404 })
}

func TestContentModesAndTags(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	for _, c := range []struct{ id, mode string }{{"meta", "metadata"}, {"none", "none"}} {
		w.addTenant(tenant.Tenant{ID: c.id, Status: tenant.Active, ContentMode: c.mode})
	}
	meta := w.addKey(tenant.Key{TenantID: "meta", Scopes: tenant.Scopes()})
	var many strings.Builder
	for i := range 40 {
		fmt.Fprintf(&many, `"k%d":"%s",`, i, strings.Repeat("é", 200))
	}
	body := `{"model":"loom-demo","messages":[{"role":"user","content":"canary"}],"user":"u1","metadata":{"session_id":"s9",` + many.String() + `"odd":7}}`
	equal(t, "full", w.chat(body).status, 200)
	equal(t, "lowered", w.chat(body, "X-Loom-Content-Mode", "metadata").status, 200)
	equal(t, "not raised", w.chat(body, "Authorization", "Bearer "+meta, "X-Loom-Content-Mode", "full").status, 200)
	equal(t, "nothing", w.chat(body, "X-Loom-Content-Mode", "none").status, 200)
	events := w.traces(4)
	for i, want := range []event.ContentMode{1, 2, 2, 3} {
		e := events[i]
		equal(t, "mode", e.GetContentMode(), want)
		equal(t, "bodies", e.GetRequestBody() != nil && e.GetResponseBody() != nil, want == 1)
		equal(t, "tags", len(e.GetTags()), map[bool]int{true: 0, false: event.MaxTags}[want == 3])
		equal(t, "user", e.GetEndUser(), map[bool]string{true: "", false: "u1"}[want == 3])
		equal(t, "session", e.GetSessionId(), map[bool]string{true: "", false: "s9"}[want == 3])
	}
	contains(t, "request", w.open(events[0], envelope.FieldRequest), "canary")
	stream, err := w.js.Stream(t.Context(), bus.StreamTrace)
	w.must(err)
	for seq := uint64(1); seq <= 4; seq++ {
		msg, err := stream.GetMsg(t.Context(), seq)
		w.must(err)
		if bytes.Contains(msg.Data, []byte("canary")) {
			t.Error("a prompt is on the bus in clear")
		}
	}
}

func TestDuplicatePublishIsStoredOnce(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	w.chat(demoChat)
	e := w.trace()
	data, err := event.Marshal(e)
	w.must(err)
	ack, err := w.js.Publish(t.Context(), event.Subject(e), data, jetstream.WithMsgID(e.GetTraceId()))
	w.must(err)
	equal(t, "duplicate", ack.Duplicate, true)
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	const n = 200
	results := make(chan int, n)
	for i := range n {
		go func() {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+"/v1/chat/completions",
				strings.NewReader(fmt.Sprintf(`{"model":"loom-demo","stream":%v,"messages":[{"role":"user","content":"n%d"}]}`, i%2 == 0, i)))
			if err == nil {
				req.Header.Set("X-Api-Key", w.key)
				var resp *http.Response
				if resp, err = w.client.Do(req); err == nil {
					_, err = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
					results <- resp.StatusCode
				}
			}
			if err != nil {
				results <- 0
			}
		}()
	}
	for range n {
		equal(t, "status", <-results, 200)
	}
	for i, e := range w.traces(n) {
		equal(t, "seq", e.GetProducer().GetSeq(), uint64(i+1))
	}
}

// Who asks and in which session are fields of their own: as tags, each of their values
// would be summed up.
func TestIdentitiesAreNoTags(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	body := func(metadata string) string {
		return `{"model":"loom-demo","messages":[{"role":"user","content":"hi"}],"metadata":` + metadata + `}`
	}
	w.chat(body(`{"session_id":"s9","user_id":"u1","team":"a"}`))
	w.chat(body(`{"session_id":"s9"}`), "X-Loom-Session-Id", "s10")
	w.chat(strings.Replace(body(`{"user_id":"u1"}`), `"model"`, `"user":"u2","model"`, 1))
	events := w.traces(3)
	for i, want := range []string{"u1 s9 map[team:a]", " s10 map[]", "u2  map[user_id:u1]"} {
		e := events[i]
		equal(t, "end user, session and tags", fmt.Sprint(e.GetEndUser(), " ", e.GetSessionId(), " ", e.GetTags()), want)
	}
}
