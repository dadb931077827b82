package dashboard_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"loom.internal/pkg/manifest"
	"loom.internal/pkg/tenant"
	"loom.internal/pkg/testkit"
	"loom.internal/services/dashboard"
	"loom.internal/services/dashboard/internal/auth"
)

// watching is an open stream.
type watching struct {
	resp  *http.Response
	event chan tailEvent // closed at its end
}

type tailEvent struct{ name, id, data string }

// watch opens a stream, which must begin.
func (r *rig) watch(t *testing.T, key, query string, header map[string]string) *watching {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.base+"/api/v1/traces/tail"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" || resp.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("got %d %v", resp.StatusCode, resp.Header)
	}
	w := &watching{resp, make(chan tailEvent, 1000)}
	go func() {
		defer close(w.event)
		var e tailEvent
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			name, value, _ := strings.Cut(lines.Text(), ": ")
			switch name {
			case "event":
				e.name = value
			case "id":
				e.id = value
			case "data":
				e.data = value
			case "":
				if e.name != "" {
					w.event <- e
				}
				e = tailEvent{}
			}
		}
	}()
	return w
}

// next is the next event, which comes soon; ok is false at the end.
func (w *watching) next(t *testing.T) (e tailEvent, ok bool) {
	t.Helper()
	select {
	case e, ok = <-w.event:
		return e, ok
	case <-time.After(30 * time.Second):
		t.Fatal("waited 30 s in vain for an event")
		return e, false
	}
}

func (w *watching) trace(t *testing.T) (item traceItem, id string) {
	t.Helper()
	e, ok := w.next(t)
	if !ok || e.name != "trace" {
		t.Fatalf("got %+v, want a trace", e)
	}
	if err := json.Unmarshal([]byte(e.data), &item); err != nil {
		t.Fatal(err)
	}
	return item, e.id
}

func TestTail(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.insert(t, r.trace(time.Now())) // before
	r.exec(t, `UPDATE traces SET recorded_at = now() - interval '1 minute'`)
	all, some := r.watch(t, r.acme, "", nil), r.watch(t, r.acme, "?model=a&min_cost_usd=0.0001", nil)
	foreign := r.watch(t, r.other, "", nil)
	first := r.trace(time.Now(), func(s *seeded) { s.model = "a" })
	second := r.trace(time.Now().Add(-time.Hour), func(s *seeded) { s.model = "b" })
	r.insert(t, first)
	got, place := all.trace(t)
	if got.ID != first.id.String() || got.Model != "a" || text(got.Cost) != "0.00012" || got.SessionID != "s1" {
		t.Errorf("got %+v", got)
	}
	r.insert(t, second, r.trace(time.Now(), func(s *seeded) { s.tenant = "other" }))
	if got, _ := all.trace(t); got.ID != second.id.String() {
		t.Errorf("got %s, want %s", got.ID, second.id)
	}
	if got, _ := some.trace(t); got.ID != first.id.String() {
		t.Errorf("filtered: got %s, want %s", got.ID, first.id)
	}
	if got, _ := foreign.trace(t); got.ID == first.id.String() || got.ID == second.id.String() {
		t.Error("a tenant sees another's traces")
	}

	// From the first on: what came after it comes again.
	resumed := r.watch(t, r.acme, "", map[string]string{"Last-Event-ID": place})
	var seen []string
	for !slices.Contains(seen, second.id.String()) {
		got, _ := resumed.trace(t)
		if slices.Contains(seen, got.ID) {
			t.Errorf("%s came twice", got.ID)
		}
		seen = append(seen, got.ID)
	}
	old := fmt.Sprintf("%d.%s", time.Now().Add(-2*time.Hour).UnixMicro(), first.id)
	r.exec(t, `UPDATE traces SET recorded_at = now() - interval '30 minutes' WHERE trace_id = $1`, first.id)
	late := r.watch(t, r.acme, "", map[string]string{"Last-Event-ID": old})
	if e, _ := late.next(t); e.name != "dropped" || e.data != `{"n":null}` {
		t.Errorf("after two hours: got %+v", e)
	}
	if got, _ := late.trace(t); got.ID != first.id.String() {
		t.Errorf("after two hours: got %s first, want %s", got.ID, first.id)
	}
}

func TestTailRefuses(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := "1764100000000000.0193f6a0-0000-7000-8000-000000000000"
	for name, last := range map[string]string{
		"nothing": "x", "no id": "1764100000000000.", "no time": "." + id[17:], "a sign": "+" + id, "negative": "-" + id, "more": id + "0",
		"capitals": strings.ToUpper(id), "too much": strings.Repeat("9", 20) + id[16:], "a trace's id": id[17:],
	} {
		c := call{method: http.MethodGet, path: "/api/v1/traces/tail", key: r.acme, header: map[string]string{"Last-Event-ID": last}}
		if f := r.fails(t, c, http.StatusBadRequest, "invalid_parameter"); f.Faults[0].Path != "Last-Event-ID" {
			t.Errorf("%s: got %+v", name, f)
		}
	}
	for _, query := range []string{"?range=1h", "?limit=5", "?tag=x", "?cost_status=pending"} {
		r.fails(t, call{method: http.MethodGet, path: "/api/v1/traces/tail" + query, key: r.acme}, http.StatusBadRequest, "invalid_parameter")
	}
	var open []*watching
	for range 20 {
		open = append(open, r.watch(t, r.acme, "", nil))
	}
	c := call{method: http.MethodGet, path: "/api/v1/traces/tail", key: r.acme}
	r.fails(t, c, http.StatusTooManyRequests, "too_many_requests")
	if err := open[0].resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	testkit.Await(t, "a place for another", func(context.Context) bool { return r.do(t, c).status == http.StatusOK })
	defer r.db.Away(t)()
	r.fails(t, call{method: http.MethodGet, path: "/api/v1/traces/tail", key: r.other}, http.StatusServiceUnavailable, "unavailable")
}

// A stream ends with the key or the session it was opened with, and is no use of it.
func TestTailEndsWithItsSession(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	out := r.do(t, call{method: http.MethodPost, path: "/api/v1/session", body: map[string]string{"api_key": r.acme}})
	cookie := map[string]string{"Cookie": strings.Split(out.header.Get("Set-Cookie"), ";")[0]}
	r.clock.forward(2 * time.Minute) // so that a use would be noted
	session, key := r.watch(t, "", "", cookie), r.watch(t, r.acme, "", nil)
	admin := r.watch(t, r.admin, "", map[string]string{"X-Loom-Tenant": "acme"})
	r.clock.forward(auth.IdleLimit + time.Minute)
	if e, ok := session.next(t); ok {
		t.Errorf("after half an hour without use: got %+v, want the end", e)
	}
	r.ok(t, call{method: http.MethodDelete, path: "/api/v1/admin/keys/" + r.keyID, key: r.admin}, nil)
	if e, ok := key.next(t); ok {
		t.Errorf("after its key was revoked: got %+v, want the end", e)
	}
	r.insert(t, r.trace(time.Now()))
	admin.trace(t) // is not concerned
}

// A key that may not read traces any longer does not go on to.
func TestTailEndsWithItsScope(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	w := r.watch(t, r.acme, "", nil)
	_, err := r.Apply(t.Context(), &manifest.Manifest{Tenants: []manifest.Tenant{
		{ID: "acme", Name: "Acme", Keys: []manifest.Key{{Name: "all", Scopes: []tenant.Scope{tenant.ScopeChat}}}},
	}}, false)
	if err != nil {
		t.Fatal(err)
	}
	if e, ok := w.next(t); ok {
		t.Errorf("got %+v, want the end", e)
	}
}

// Streams do not hold up a service that stops, however long it lets requests go on.
func TestTailEndsWithTheService(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *dashboard.Config) { c.Drain = 10 * time.Minute })
	w := r.watch(t, r.acme, "", nil)
	r.stop()
	if e, ok := w.next(t); ok {
		t.Errorf("got %+v, want the end", e)
	}
}
