package gateway_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/catalog"
	"loom.internal/pkg/config"
	"loom.internal/pkg/envelope"
	"loom.internal/pkg/event"
	"loom.internal/pkg/tenant"
	"loom.internal/pkg/testkit"
)

// nextMasterKey is version 2.
const nextMasterKey = "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100"

// bothKeys wraps with version 2.
func bothKeys(tb testing.TB) *envelope.Ring {
	tb.Helper()
	ring, err := envelope.NewRing(map[uint32]string{1: masterKey, 2: nextMasterKey})
	if err != nil {
		tb.Fatal(err)
	}
	return ring
}

// logBook is a log that can be read.
type logBook struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements [io.Writer].
func (b *logBook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBook) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// epochs are those of a trace's bodies, which must be the same.
func epochs(tb testing.TB, e *event.TraceEvent) uint32 {
	tb.Helper()
	request, response := e.GetRequestBody().GetKeyVersion(), e.GetResponseBody().GetKeyVersion()
	if request != response || request == 0 {
		tb.Errorf("trace %s: request under epoch %d, response under epoch %d", e.GetTraceId(), request, response)
	}
	return request
}

// byID finds a trace.
func byID(tb testing.TB, events []*event.TraceEvent, id string) *event.TraceEvent {
	tb.Helper()
	i := slices.IndexFunc(events, func(e *event.TraceEvent) bool { return e.GetTraceId() == id })
	if i < 0 {
		tb.Fatalf("no trace %q", id)
	}
	return events[i]
}

// A trace keeps the data key that it began with, and the next one takes the new key.
func TestNewEpochWhileAStreamRuns(t *testing.T) {
	t.Parallel()
	goOn := make(chan struct{})
	up := testkit.Upstream(t, func(w http.ResponseWriter, _ *http.Request, body []byte) {
		_ = testkit.SSE(w, chunk("one"))
		if bytes.Contains(body, []byte("slow")) {
			<-goOn
		}
		_ = testkit.SSE(w, chunk(" two"), last, done)
	})
	w := start(t, setup{upstream: up.URL})
	slow := `{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"slow"}]}`
	resp, err := w.client.Do(w.request(t.Context(), http.MethodPost, "/v1/chat/completions", []byte(slow)))
	w.must(err)
	defer func() { _ = resp.Body.Close() }()
	stream := bufio.NewReader(resp.Body)
	_, err = stream.ReadString('\n')
	w.must(err)

	old := w.data["acme"]
	w.data["acme"] = envelope.NewDataKey("acme", 2)
	w.addTenant(tenant.Tenant{ID: "acme"})
	pushed, n := time.Now(), 0
	w.eventually("under the new epoch", func() bool {
		equal(t, "status", w.chat(askedStream).status, 200)
		n++
		return epochs(t, w.traces(n)[n-1]) == 2
	})
	if took := time.Since(pushed); took > time.Second {
		t.Errorf("the new key took %s", took)
	}
	close(goOn)
	_, err = io.Copy(io.Discard, stream)
	w.must(err)
	events := w.traces(n + 1)
	e := byID(t, events, resp.Header.Get("X-Loom-Trace-Id"))
	equal(t, "epoch of the stream", epochs(t, e), 1)
	for field, want := range map[envelope.Field]string{envelope.FieldRequest: "slow", envelope.FieldResponse: "one two"} {
		plain, err := openWith(old, e, field)
		w.must(err)
		contains(t, "opened", string(plain), want)
		if _, err := openWith(w.data["acme"], e, field); err == nil {
			t.Errorf("the %s of epoch 1 opens with the key of epoch 2", field)
		}
	}
	contains(t, "the next", w.open(events[n-1], envelope.FieldResponse), "one two")
}

// However requests and pushes meet, both bodies of a trace are under one key, which is
// that of its tenant and of no other.
func TestBodiesOfATraceShareAKey(t *testing.T) {
	t.Parallel()
	const each, rounds = 15, 12
	w := start(t, setup{upstream: respond(t, 200, "application/json", whole).URL})
	w.addTenant(tenant.Tenant{ID: "bolt"})
	keys := map[string]string{"acme": w.key, "bolt": w.addKey(tenant.Key{TenantID: "bolt", Scopes: tenant.Scopes()})}
	all := map[string][]*envelope.DataKey{"acme": {w.data["acme"]}, "bolt": {w.data["bolt"]}}
	var clients sync.WaitGroup
	for _, key := range keys {
		for range 3 {
			clients.Go(func() {
				for range each {
					req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, w.url+"/v1/chat/completions", strings.NewReader(asked))
					if err != nil {
						t.Error(err)
						return
					}
					req.Header.Set("X-Api-Key", key)
					resp, err := w.client.Do(req)
					if err != nil {
						t.Error(err)
						return
					}
					_, _ = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
					if resp.StatusCode != http.StatusOK {
						t.Errorf("status %d", resp.StatusCode)
					}
				}
			})
		}
	}
	for epoch := uint32(2); epoch < 2+rounds; epoch++ {
		for id := range keys {
			w.data[id] = envelope.NewDataKey(id, epoch)
			all[id] = append(all[id], w.data[id])
			w.addTenant(tenant.Tenant{ID: id})
		}
	}
	clients.Wait()
	for _, e := range w.traces(len(keys) * 3 * each) {
		epoch := epochs(t, e)
		for id, keys := range all {
			for _, key := range keys {
				for _, field := range []envelope.Field{envelope.FieldRequest, envelope.FieldResponse} {
					_, err := openWith(key, e, field)
					if got, want := err == nil, id == e.GetTenantId() && key.Epoch() == epoch; got != want {
						t.Fatalf("%s of %s under epoch %d opens with %v: %v, want %v", field, e.GetTenantId(), epoch, key, got, want)
					}
				}
			}
		}
	}
}

// A gateway that has both versions opens what either has wrapped.
func TestTwoVersionsOfTheMasterKey(t *testing.T) {
	t.Parallel()
	up := respond(t, 200, "application/json", whole)
	w := start(t, setup{upstream: up.URL, masters: config.VersionedSecret{1: masterKey, 2: nextMasterKey}})
	w.ring = bothKeys(t)
	w.addTenant(tenant.Tenant{ID: "bolt"})
	wrapped, err := w.data["bolt"].Wrap(t.Context(), w.ring)
	w.must(err)
	equal(t, "wrapped by", wrapped.MasterVersion, 2)
	bolt := w.addKey(tenant.Key{TenantID: "bolt", Scopes: tenant.Scopes()})
	equal(t, "version 1", w.chat(asked).status, 200)
	equal(t, "version 2", w.chat(asked, "Authorization", "Bearer "+bolt).status, 200)
	secret, err := catalog.SealSecret(t.Context(), w.ring, "up", up.URL, "sk-another")
	w.must(err)
	w.put(bus.KeyCatalog, catalog.Snapshot{
		Revision: w.next(), Providers: []catalog.Provider{{Name: "up", Kind: catalog.Compatible, BaseURL: up.URL, Secret: secret}},
		Routes: []catalog.Route{{Model: "gpt-*", Targets: []catalog.Target{{Provider: "up"}}}},
	})
	n := 2
	w.eventually("called with the new secret", func() bool {
		equal(t, "status", w.chat(asked).status, 200)
		n++
		return up.Requests()[n-1].Header.Get("Authorization") == "Bearer sk-another"
	})
	events := w.traces(n)
	for _, e := range events {
		equal(t, "recorded", w.open(e, envelope.FieldResponse), whole)
	}
}

// A record under the name of another tenant is nobody's: what it says would be recorded
// as the other's.
func TestRecordUnderAnotherName(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	wrapped, err := w.data["acme"].Wrap(t.Context(), w.ring)
	w.must(err)
	key := w.addKey(tenant.Key{TenantID: "bolt", Scopes: tenant.Scopes()})
	w.put(bus.PrefixTenant+"bolt", tenant.Tenant{ID: "acme", Status: tenant.Active, ContentMode: "full", Revision: w.next(), DataKey: &wrapped})
	a := w.chat(demoChat, "Authorization", "Bearer "+key)
	equal(t, "status", a.status, 401)
	w.envelope(a, "auth_error", "invalid_api_key")
	w.addTenant(tenant.Tenant{ID: "bolt"})
	w.eventually("under its own", func() bool { return w.chat(demoChat, "Authorization", "Bearer "+key).status == 200 })
	equal(t, "tenant", w.trace().GetTenantId(), "bolt")
}
