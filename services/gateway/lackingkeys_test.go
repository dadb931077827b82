package gateway_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/catalog"
	"loom.internal/pkg/envelope"
	"loom.internal/pkg/event"
	"loom.internal/pkg/tenant"
)

// logged is a world whose gateway logs into a book.
func logged(t *testing.T, s setup) (*world, *logBook) {
	t.Helper()
	book := new(logBook)
	s.log = slog.New(slog.NewTextHandler(book, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return start(t, s), book
}

// said waits for a line at error level that says both.
func (w *world) said(book *logBook, what, also string) {
	w.tb.Helper()
	w.eventually("logged "+what, func() bool {
		for line := range strings.Lines(book.String()) {
			if strings.Contains(line, "level=ERROR") && strings.Contains(line, what) && strings.Contains(line, also) {
				return true
			}
		}
		return false
	})
}

const remedy = "give this gateway all versions of the master key that the dashboard has"

// unrecordable checks that a tenant's requests are refused before a provider is called,
// but for those of which no body is recorded.
func (w *world) unrecordable(key string, calls func() int) (traces int) {
	w.tb.Helper()
	before := calls()
	for path, body := range map[string]string{
		"/v1/chat/completions": asked, "/v1/responses": `{"model":"gpt-4o","input":"hi"}`, "/v1/embeddings": `{"model":"gpt-4o","input":"hi"}`,
	} {
		a := w.do(w.request(w.tb.Context(), http.MethodPost, path, []byte(body), "Authorization", "Bearer "+key))
		equal(w.tb, path, a.status, 503)
		equal(w.tb, "retry-after", a.header.Get("Retry-After"), "1")
		equal(w.tb, "trace id", a.header.Get("X-Loom-Trace-Id"), "")
		w.envelope(a, "server_error", "provider_unavailable")
	}
	equal(w.tb, "calls of the provider", calls(), before)
	for _, mode := range []string{"metadata", "none"} {
		equal(w.tb, mode, w.chat(asked, "Authorization", "Bearer "+key, "X-Loom-Content-Mode", mode).status, 200)
	}
	equal(w.tb, "calls of the provider", calls(), before+2)
	return 2
}

// A data key that was wrapped anew is the same key: who knows it already goes on.
func TestRewrappedWithAMasterKeyThatIsNotHere(t *testing.T) {
	t.Parallel()
	w, book := logged(t, setup{upstream: respond(t, 200, "application/json", whole).URL})
	equal(t, "before", w.chat(asked).status, 200)
	w.ring = bothKeys(t)
	w.addTenant(tenant.Tenant{ID: "acme"})
	w.said(book, "data key is wrapped with a master key that is not here", remedy)
	equal(t, "rewrapped", w.chat(asked).status, 200)
	w.broker.Stop()
	w.eventually("away", func() bool { return !w.nc.IsConnected() })
	equal(t, "broker away", w.chat(asked).status, 200)
	w.broker.Start(t)
	w.eventually("back", w.nc.IsConnected)
	// What is known of the tenant is read again, and still it goes on.
	w.eventually("read again", func() bool {
		return strings.Count(book.String(), "data key is wrapped with a master key that is not here") > 1 || w.chat(asked).status != 200
	})
	equal(t, "read again", w.chat(asked).status, 200)
	stream, err := w.js.Stream(t.Context(), bus.StreamTrace)
	w.must(err)
	w.eventually("published", func() bool {
		info, err := stream.Info(t.Context())
		return err == nil && info.State.Msgs >= 4
	})
	info, err := stream.Info(t.Context())
	w.must(err)
	for _, e := range w.traces(int(info.State.Msgs)) {
		equal(t, "epoch", epochs(t, e), 1)
		equal(t, "recorded", w.open(e, envelope.FieldResponse), whole)
	}
	// Another gateway has never known it.
	w.must(w.stop())
	w.run(nil)
	w.eventually("started", func() bool { return w.ready.Err() == nil })
	equal(t, "after a restart", w.chat(asked).status, 503)
	w.said(book, "data key cannot be unwrapped", remedy)
}

// Without a data key nothing is recorded in full, so nothing that is to be is served.
func TestNoDataKey(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(w *world, t *tenant.Tenant){
		"a new epoch, wrapped with a version that is not here": func(w *world, t *tenant.Tenant) {
			key, err := envelope.NewDataKey(t.ID, 2).Wrap(w.tb.Context(), bothKeys(w.tb))
			w.must(err)
			t.DataKey = &key
		},
		"none": func(_ *world, t *tenant.Tenant) { t.DataKey = nil },
		"tampered": func(_ *world, t *tenant.Tenant) {
			t.DataKey.Ciphertext = append([]byte(nil), t.DataKey.Ciphertext...)
			t.DataKey.Ciphertext[0] ^= 1
		},
		"of another tenant": func(w *world, t *tenant.Tenant) {
			key, err := w.data["acme"].Wrap(w.tb.Context(), w.ring)
			w.must(err)
			t.DataKey = &key
		},
		"under another epoch's name": func(_ *world, t *tenant.Tenant) { t.DataKey.Epoch++ },
		"no bytes":                   func(_ *world, t *tenant.Tenant) { t.DataKey.Ciphertext, t.DataKey.IV = nil, nil },
	} {
		for _, known := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, known %v", name, known), func(t *testing.T) {
				t.Parallel()
				up := respond(t, 200, "application/json", whole)
				calls := func() int { return len(up.Requests()) }
				w, book := logged(t, setup{upstream: up.URL})
				good := func() tenant.Tenant {
					wrapped, err := envelope.NewDataKey("bolt", 1).Wrap(t.Context(), w.ring)
					w.must(err)
					return tenant.Tenant{ID: "bolt", Status: tenant.Active, ContentMode: "full", Revision: w.next(), DataKey: &wrapped}
				}
				put := func(record tenant.Tenant) { w.put(bus.PrefixTenant+"bolt", record) }
				put(good())
				key := w.addKey(tenant.Key{TenantID: "bolt", Scopes: tenant.Scopes()})
				status := func() int { return w.chat(asked, "Authorization", "Bearer "+key).status }
				traces := 0
				if known {
					equal(t, "before", status(), 200)
					traces++
				}
				bad := good()
				spoil(w, &bad)
				put(bad)
				w.eventually("refused", func() bool {
					s := status()
					if s == http.StatusOK {
						traces++
					}
					return s == http.StatusServiceUnavailable
				})
				traces += w.unrecordable(key, calls)
				w.said(book, "request refused: its bodies cannot be sealed", "bolt")
				if bad.DataKey != nil {
					w.said(book, "data key cannot be unwrapped", remedy)
				}
				put(good())
				w.eventually("served again", func() bool { return status() == http.StatusOK })
				events := w.traces(traces + 1)
				equal(t, "in full", events[traces].GetContentMode(), event.ContentMode_CONTENT_MODE_FULL)
				for _, e := range events[traces-2 : traces] {
					equal(t, "bodies", len(e.Bodies()), 0)
				}
			})
		}
	}
}

// A provider whose secret was wrapped anew, and nothing else of it changed, goes on.
func TestSecretRewrappedWithAMasterKeyThatIsNotHere(t *testing.T) {
	t.Parallel()
	up, elsewhere := respond(t, 200, "application/json", whole), respond(t, 200, "application/json", whole)
	w, book := logged(t, setup{upstream: up.URL})
	equal(t, "before", w.chat(asked).status, 200)
	put := func(base string, ring *envelope.Ring, spoil func(*envelope.Wrapped)) {
		secret, err := catalog.SealSecret(t.Context(), ring, "up", base, "sk-upstream-secret")
		w.must(err)
		spoil(secret)
		w.put(bus.KeyCatalog, catalog.Snapshot{
			Revision: w.next(), Providers: []catalog.Provider{{Name: "up", Kind: catalog.Compatible, BaseURL: base, Secret: secret}},
			Routes: []catalog.Route{{Model: "gpt-*", Targets: []catalog.Target{{Provider: "up"}}}},
		})
		w.eventually("in force", func() bool {
			return strings.Contains(book.String(), fmt.Sprintf(`msg="catalogue in force" revision=%d`, w.rev))
		})
	}
	whole := func(*envelope.Wrapped) {}
	put(up.URL, bothKeys(t), whole)
	w.said(book, "secret of a provider is wrapped with a master key that is not here", remedy)
	put(up.URL, bothKeys(t), whole) // and once more
	equal(t, "rewrapped", w.chat(asked).status, 200)
	equal(t, "secret", up.Requests()[1].Header.Get("Authorization"), "Bearer sk-upstream-secret")

	put(elsewhere.URL, bothKeys(t), whole)
	w.said(book, "provider cannot be used", "unknown version of the master key")
	a := w.chat(asked)
	equal(t, "moved as well", a.status, 503)
	w.envelope(a, "server_error", "provider_unavailable")
	equal(t, "calls of the new address", len(elsewhere.Requests()), 0)

	put(up.URL, w.ring, whole)
	equal(t, "good again", w.chat(asked).status, 200)
	put(up.URL, w.ring, func(s *envelope.Wrapped) { s.Ciphertext[0] ^= 1 })
	equal(t, "tampered", w.chat(asked).status, 503)
	equal(t, "calls", len(up.Requests()), 3)
	put(up.URL, w.ring, whole)
	equal(t, "good in the end", w.chat(asked).status, 200)
}

// Until it is known what keys are hashed with nobody is served; from then on whatever
// becomes of that record changes nothing.
func TestPepper(t *testing.T) {
	t.Parallel()
	book := new(logBook)
	w := start(t, setup{
		upstream: respond(t, 200, "application/json", whole).URL, noStart: true,
		log: slog.New(slog.NewTextHandler(book, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	put := func(ring *envelope.Ring) {
		wrapped, err := ring.Wrap(t.Context(), catalog.PepperLabel(), []byte(strings.Repeat("pepper! ", 4)))
		w.must(err)
		w.put(bus.KeyPepper, catalog.Pepper{Revision: w.next(), Wrapped: wrapped})
	}
	w.must(w.kv.Purge(t.Context(), bus.KeyPepper))
	w.run(nil)
	refused := func(what string) {
		w.eventually("listening", func() bool { return strings.Contains(book.String(), "catalogue in force") })
		ready := w.do(w.request(t.Context(), http.MethodGet, "/readyz", nil, "Authorization", ""))
		equal(t, what, ready.status, 503)
		contains(t, what, ready.body, "directory")
		a := w.chat(asked)
		equal(t, what, a.status, 503)
		equal(t, "retry-after", a.header.Get("Retry-After"), "1")
		w.envelope(a, "server_error", "provider_unavailable")
		equal(t, "no key at all", w.chat(asked, "Authorization", "Bearer x").status, 401)
	}
	refused("no pepper")
	put(bothKeys(t))
	w.said(book, "what API keys are hashed with cannot be unwrapped", remedy)
	refused("wrapped with a version that is not here")
	put(w.ring)
	w.eventually("ready", func() bool {
		return w.do(w.request(t.Context(), http.MethodGet, "/readyz", nil, "Authorization", "")).status == 200
	})
	equal(t, "served", w.chat(asked).status, 200)

	failures := strings.Count(book.String(), "cannot be unwrapped")
	put(bothKeys(t))
	w.eventually("seen", func() bool { return strings.Count(book.String(), "cannot be unwrapped") > failures })
	equal(t, "known key", w.chat(asked).status, 200)
	fresh := w.addKey(tenant.Key{TenantID: "acme", Scopes: tenant.Scopes()})
	equal(t, "new key", w.chat(asked, "Authorization", "Bearer "+fresh).status, 200)
	w.must(w.kv.Purge(t.Context(), bus.KeyPepper))
	equal(t, "gone", w.chat(asked).status, 200)
	if err := w.ready.Err(); err != nil {
		t.Errorf("not ready any more: %v", err)
	}
}
