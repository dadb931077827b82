package dashboard_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/tenant"
	"loom.internal/pkg/testkit"
)

type receipt struct {
	TenantID   string    `json:"tenant_id"`
	ShreddedAt time.Time `json:"shredded_at"`
	By, Reason string
	Keys       []struct {
		Epoch   int32
		Version int32     `json:"master_version"`
		Created time.Time `json:"created_at"`
		SHA256  string    `json:"wrapped_sha256"`
	}
	Bodies map[int32]int64
	DryRun bool `json:"dry_run"`
	Pushed bool
}

func (r *rig) shred(t *testing.T, body map[string]any) (out receipt) {
	t.Helper()
	r.admins(t, "tenants/acme/data-keys/shred", body, &out)
	return out
}

var shredAcme = map[string]any{"confirm": "acme", "reason": "end of contract"}

var freshTo = regexp.MustCompile(`"fresh_to":[^,]+,`)

// figures are the costs and counts of a tenant around a day, as an admin reads them.
func (r *rig) figures(t *testing.T, tenantID string, now time.Time) string {
	t.Helper()
	var all strings.Builder
	now = now.UTC()
	window := "from=" + now.Add(-24*time.Hour).Format(time.DateOnly) + "T00:00:00Z&to=" + now.Add(48*time.Hour).Format(time.DateOnly) + "T00:00:00Z"
	for _, path := range []string{"summary?" + window, "timeseries?metric=cost&by=model&" + window, "timeseries?metric=requests&" + window, "timeseries?metric=tokens&" + window} {
		out := r.do(t, call{method: http.MethodGet, path: "/api/v1/" + path, key: r.admin, header: map[string]string{"X-Loom-Tenant": tenantID}})
		if out.status != http.StatusOK {
			t.Fatalf("%s: %d %s", path, out.status, out.body)
		}
		all.Write(freshTo.ReplaceAll(out.body, nil)) // goes on with the clock
	}
	return all.String()
}

func TestShred(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	first := r.recorded(t, "acme", 3)
	r.admins(t, "tenants/acme/data-keys", nil, nil)
	second := r.recorded(t, "acme", 2)
	foreign := r.recorded(t, "other", 2)
	day := time.Now()
	keys, figures, others := r.storedKeys(t, "acme"), r.figures(t, "acme", day), r.figures(t, "other", day)
	if !strings.Contains(figures, `"cost_usd":{"value":"0.0006"`) { // 5 traces
		t.Fatalf("figures that could show a change: %s", figures)
	}

	before := r.wrappings(t)
	dry := r.shred(t, map[string]any{"dry_run": true})
	want := receipt{TenantID: "acme", Bodies: map[int32]int64{1: 3, 2: 2}, DryRun: true, ShreddedAt: dry.ShreddedAt, By: dry.By, Keys: dry.Keys}
	if diff := cmp.Diff(want, dry); diff != "" || len(dry.Keys) != 2 {
		t.Errorf("dry run (-want +got):\n%s", diff)
	}
	if r.wrappings(t) != before {
		t.Error("a dry run changes keys")
	}
	r.opens(t, append(first, second...)...)
	r.get(t, r.acme, "/api/v1/me", nil)

	w, err := r.kv(t).Watch(t.Context(), bus.PrefixTenant+"acme", jetstream.UpdatesOnly())
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	start := time.Now()
	got := r.shred(t, shredAcme)
	select {
	case entry := <-w.Updates():
		var pushed tenant.Tenant
		if err := json.Unmarshal(entry.Value(), &pushed); err != nil || pushed.Status != tenant.Inactive || pushed.DataKey != nil {
			t.Errorf("pushed %s, %v, want it inactive and without a data key", entry.Value(), err)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("gateways were told after %s", took)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("gateways were not told")
	}
	want = receipt{
		TenantID: "acme", Reason: "end of contract", Bodies: map[int32]int64{1: 3, 2: 2}, Pushed: true,
		ShreddedAt: got.ShreddedAt, By: got.By, Keys: got.Keys,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("receipt (-want +got):\n%s", diff)
	}
	if age := time.Since(got.ShreddedAt); age < 0 || age > time.Minute || !strings.HasPrefix(got.By, "adm:") {
		t.Errorf("receipt: by %q, %s ago", got.By, age)
	}
	for i, k := range got.Keys {
		sum := sha256.Sum256(keys[i].wrapped)
		if k.Epoch != int32(keys[i].epoch) || k.Version != 1 || k.SHA256 != hex.EncodeToString(sum[:]) || k.Created.IsZero() {
			t.Errorf("receipt: key %+v", k)
		}
	}
	if len(got.Keys) != 2 {
		t.Errorf("receipt of %d keys, want 2", len(got.Keys))
	}

	if diff := cmp.Diff([]string{"1 shredded", "2 shredded"}, r.states(t, "acme")); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
	for _, k := range r.storedKeys(t, "acme") {
		if k.wrapped != nil || k.iv != nil || k.version != nil {
			t.Errorf("something is left of data key %d", k.epoch)
		}
	}
	r.fails(t, call{method: http.MethodGet, path: "/api/v1/me", key: r.acme}, http.StatusUnauthorized, "unauthorized")
	counted := r.counted(t, "shredded")
	for _, s := range append(first, second...) {
		r.fails(t, r.payloadOf(s), http.StatusGone, "payload_shredded")
		if state := r.payloadState(t, s); state != "shredded" {
			t.Errorf("payload_state %q, want shredded", state)
		}
	}
	if n := r.counted(t, "shredded") - counted; n != 5 {
		t.Errorf("%v refusals counted, want 5", n)
	}
	if diff := cmp.Diff(figures, r.figures(t, "acme", day)); diff != "" {
		t.Errorf("costs and counts have changed:\n%s", diff)
	}
	if diff := cmp.Diff(others, r.figures(t, "other", day)); diff != "" {
		t.Errorf("another's costs and counts have changed:\n%s", diff)
	}
	r.opens(t, foreign...)
	if n := r.count(t, `SELECT count(*) FROM access_log WHERE action = 'keys.shred' AND tenant_id = 'acme' AND actor = $1 AND detail->>'reason' = 'end of contract'
		AND detail->'keys'->0->>'wrapped_sha256' = $2 AND detail->'bodies' = '{"1": 3, "2": 2}'`, got.By, got.Keys[0].SHA256); n != 1 {
		t.Errorf("%d lines in the access log, want 1", n)
	}
	r.shreddedForGood(t)

	// The tenant comes back, with a key of its own.
	r.ok(t, call{method: http.MethodPatch, path: "/api/v1/admin/tenants/acme", key: r.admin, body: map[string]string{"status": "active"}}, nil)
	if diff := cmp.Diff([]string{"1 shredded", "2 shredded", "3 active"}, r.states(t, "acme")); diff != "" || r.pushedEpoch(t, "acme") != 3 {
		t.Errorf("active again, pushed %d (-want +got):\n%s", r.pushedEpoch(t, "acme"), diff)
	}
	fresh := r.recorded(t, "acme", 2)
	r.opens(t, fresh...)
	r.get(t, r.acme, "/api/v1/me", nil)
	if state := r.payloadState(t, fresh[0]); state != "available" {
		t.Errorf("payload_state %q, want available", state)
	}
	r.fails(t, r.payloadOf(first[0]), http.StatusGone, "payload_shredded")
	// What was shredded is not to be sealed anew, nor is it shredded again.
	for _, epoch := range []int{0, 1} {
		if out := r.reencrypt(t, map[string]any{"epoch": epoch}); out.Looked != 0 {
			t.Errorf("sealed anew: %+v", out)
		}
	}
	again := r.shred(t, shredAcme)
	if diff := cmp.Diff(map[int32]int64{3: 2}, again.Bodies); diff != "" || len(again.Keys) != 1 || again.Keys[0].Epoch != 3 {
		t.Errorf("shredded again: %+v (-want +got):\n%s", again, diff)
	}
	r.fails(t, r.payloadOf(fresh[0]), http.StatusGone, "payload_shredded")
}

// shreddedForGood checks that nothing gives acme a key while it is inactive.
func (r *rig) shreddedForGood(t *testing.T) {
	t.Helper()
	for _, path := range []string{"shred", "reencrypt"} {
		body := shredAcme
		if path != "shred" {
			body = map[string]any{}
		}
		r.fails(t, call{method: http.MethodPost, path: "/api/v1/admin/tenants/acme/data-keys/" + path, key: r.admin, body: body}, http.StatusNotFound, "not_found")
	}
	r.fails(t, call{method: http.MethodPost, path: "/api/v1/admin/tenants/acme/data-keys", key: r.admin}, http.StatusNotFound, "not_found")
	r.ok(t, call{method: http.MethodPatch, path: "/api/v1/admin/tenants/acme", key: r.admin, body: map[string]string{"name": "Gone"}}, nil)
	if out := r.rewrap(t, "", false); len(out.Failed) != 0 || out.Looked != 2 { // the pepper, and the other tenant's key
		t.Errorf("rewrap: got %+v", out)
	}
	if diff := cmp.Diff([]string{"1 shredded", "2 shredded"}, r.states(t, "acme")); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
}

func (r *rig) payloadState(t *testing.T, s *seeded) string {
	t.Helper()
	var d struct {
		State string `json:"payload_state"`
	}
	r.ok(t, call{method: http.MethodGet, path: "/api/v1/traces/" + s.id.String(), key: r.admin, header: map[string]string{"X-Loom-Tenant": s.tenant}}, &d)
	return d.State
}

func TestShredRefusals(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	shred := func(id string, body any) call {
		return call{method: http.MethodPost, path: "/api/v1/admin/tenants/" + id + "/data-keys/shred", key: r.admin, body: body}
	}
	for name, c := range map[string]struct {
		body map[string]any
		want []string
	}{
		"nothing":     {map[string]any{}, []string{"confirm", "reason"}},
		"another":     {map[string]any{"confirm": "other", "reason": "r"}, []string{"confirm"}},
		"no reason":   {map[string]any{"confirm": "acme"}, []string{"reason"}},
		"only spaces": {map[string]any{"confirm": "acme", "reason": " \n"}, []string{"reason"}},
		"long":        {map[string]any{"confirm": "acme", "reason": strings.Repeat("x", 2000)}, []string{"reason"}},
		"zero byte":   {map[string]any{"confirm": "acme", "reason": "a\x00"}, []string{"reason"}},
	} {
		f := r.fails(t, shred("acme", c.body), http.StatusBadRequest, "invalid_body")
		var at []string
		for _, fault := range f.Faults {
			at = append(at, fault.Path)
		}
		if diff := cmp.Diff(c.want, at); diff != "" {
			t.Errorf("%s: faults (-want +got):\n%s", name, diff)
		}
	}
	if diff := cmp.Diff([]string{"1 active"}, r.states(t, "acme")); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
	for _, id := range []string{"nobody", "No.Id"} {
		for _, body := range []map[string]any{{"dry_run": true}, {"confirm": id, "reason": "r"}} {
			r.fails(t, shred(id, body), http.StatusNotFound, "not_found")
		}
	}
}

// Bodies that cannot be counted are shredded all the same.
func TestShredWithoutCounting(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.recorded(t, "acme", 1)[0]
	tx, err := r.db.Pool("").Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `LOCK TABLE trace_bodies IN ACCESS EXCLUSIVE MODE`); err != nil {
		t.Fatal(err)
	}
	out := r.shred(t, shredAcme)
	if out.Bodies != nil || len(out.Keys) != 1 || !out.Pushed {
		t.Errorf("got %+v", out)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.fails(t, r.payloadOf(s), http.StatusGone, "payload_shredded")
}

// With the bus away the keys are gone all the same; gateways hear of it when it is back.
func TestShredWithoutTheBus(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.recorded(t, "acme", 1)[0]
	r.broker.Stop()
	if out := r.shred(t, shredAcme); out.Pushed || len(out.Keys) != 1 {
		t.Errorf("got %+v", out)
	}
	r.fails(t, r.payloadOf(s), http.StatusGone, "payload_shredded")
	r.broker.Start(t)
	testkit.Await(t, "gateways have heard of it", func(ctx context.Context) bool {
		kv, err := r.js.KeyValue(ctx, bus.BucketConfig)
		if err != nil {
			return false
		}
		entry, err := kv.Get(ctx, bus.PrefixTenant+"acme")
		var pushed tenant.Tenant
		return err == nil && json.Unmarshal(entry.Value(), &pushed) == nil && pushed.Status == tenant.Inactive && pushed.DataKey == nil
	})
}
