package dashboard_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"loom.internal/pkg/testkit"
)

func TestDataKeysComeWithActivity(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for id, status := range map[string]string{"awake": "active", "asleep": "inactive"} {
		r.admins(t, "tenants", map[string]string{"id": id, "status": status}, nil)
	}
	if diff := cmp.Diff([]string{"1 active"}, r.states(t, "awake")); diff != "" || r.pushedEpoch(t, "awake") != 1 {
		t.Errorf("an active tenant's keys, pushed %d (-want +got):\n%s", r.pushedEpoch(t, "awake"), diff)
	}
	if got := r.states(t, "asleep"); len(got) != 0 || r.pushedEpoch(t, "asleep") != 0 {
		t.Errorf("an inactive tenant has keys %v, pushed %d", got, r.pushedEpoch(t, "asleep"))
	}
	status := func(id, to string) {
		t.Helper()
		r.ok(t, call{method: http.MethodPatch, path: "/api/v1/admin/tenants/" + id, key: r.admin, body: map[string]string{"status": to}}, nil)
	}
	status("asleep", "active")
	if diff := cmp.Diff([]string{"1 active"}, r.states(t, "asleep")); diff != "" || r.pushedEpoch(t, "asleep") != 1 {
		t.Errorf("activated, pushed %d (-want +got):\n%s", r.pushedEpoch(t, "asleep"), diff)
	}
	// Gateways need no key of a tenant that they refuse, and get the same one again.
	status("asleep", "inactive")
	if got := r.pushedEpoch(t, "asleep"); got != 0 {
		t.Errorf("gateways have data key %d of an inactive tenant", got)
	}
	status("asleep", "active")
	if diff := cmp.Diff([]string{"1 active"}, r.states(t, "asleep")); diff != "" || r.pushedEpoch(t, "asleep") != 1 {
		t.Errorf("activated again, pushed %d (-want +got):\n%s", r.pushedEpoch(t, "asleep"), diff)
	}
}

func TestRotateDataKey(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	before := r.trace(time.Now(), bodies("before", "b"))
	r.insert(t, before)
	var out struct {
		TenantID string `json:"tenant_id"`
		Epoch    uint32
		Pushed   bool
	}
	r.admins(t, "tenants/acme/data-keys", nil, &out)
	if out.TenantID != "acme" || out.Epoch != 2 || !out.Pushed || r.pushedEpoch(t, "acme") != 2 {
		t.Errorf("got %+v, and gateways have %d", out, r.pushedEpoch(t, "acme"))
	}
	if diff := cmp.Diff([]string{"1 retired", "2 active"}, r.states(t, "acme")); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
	after := r.trace(time.Now(), bodies("after", "a"))
	r.insert(t, after)
	if got := r.count(t, `SELECT encryption_key_version FROM trace_bodies WHERE trace_id = $1`, after.id); got != 2 {
		t.Errorf("sealed with data key %d, want 2", got)
	}
	r.opens(t, before, after)
	if got := r.count(t, `SELECT count(*) FROM access_log WHERE action = 'datakey.create' AND tenant_id = 'acme' AND actor LIKE 'adm:%' AND detail = '{"epoch": 2, "why": "asked"}'`); got != 1 {
		t.Errorf("%d lines in the access log, want 1", got)
	}
	if got := r.states(t, "other"); len(got) != 1 {
		t.Errorf("another tenant has keys %v", got)
	}

	r.admins(t, "tenants", map[string]string{"id": "asleep", "status": "inactive"}, nil)
	for _, id := range []string{"asleep", "nobody", "No.Id", "%00"} {
		r.fails(t, call{method: http.MethodPost, path: "/api/v1/admin/tenants/" + id + "/data-keys", key: r.admin}, http.StatusNotFound, "not_found")
	}
}

func TestListDataKeys(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.admins(t, "tenants/acme/data-keys", nil, nil)
	r.admins(t, "tenants/acme/data-keys", nil, nil)
	type key struct {
		TenantID      string `json:"tenant_id"`
		Epoch         int32
		State         string
		MasterVersion *int32     `json:"master_version"`
		EndedAt       *time.Time `json:"ended_at"`
	}
	read := func(query string) (all []key) {
		t.Helper()
		for cursor, pages := "", 0; pages < 10; pages++ {
			var page struct {
				Items      []key
				NextCursor *string `json:"next_cursor"`
			}
			r.get(t, r.admin, "/api/v1/admin/data-keys?limit=2"+query+cursor, &page)
			all = append(all, page.Items...)
			if page.NextCursor == nil {
				return all
			}
			cursor = "&cursor=" + *page.NextCursor
		}
		t.Fatal("pages without end")
		return nil
	}
	for query, want := range map[string][]string{
		"":              {"acme 1 retired", "acme 2 retired", "acme 3 active", "other 1 active"},
		"&tenant=acme":  {"acme 1 retired", "acme 2 retired", "acme 3 active"},
		"&tenant=other": {"other 1 active"},
		"&tenant=none":  nil,
	} {
		var got []string
		for _, k := range read(query) {
			got = append(got, fmt.Sprint(k.TenantID, " ", k.Epoch, " ", k.State))
			if (k.State == "active") != (k.EndedAt == nil) || k.MasterVersion == nil || *k.MasterVersion != 1 {
				t.Errorf("got %+v", k)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", query, diff)
		}
	}
	for query, name := range map[string]string{
		"cursor=acme": "cursor", "cursor=acme/x": "cursor", "cursor=A/1": "cursor", "cursor=%00/1": "cursor", "tenant=%00": "tenant", "limit=0": "limit",
	} {
		f := r.fails(t, call{method: http.MethodGet, path: "/api/v1/admin/data-keys?" + query, key: r.admin}, http.StatusBadRequest, "invalid_parameter")
		if len(f.Faults) != 1 || f.Faults[0].Path != name {
			t.Errorf("%s: got faults %v, want one of %s", query, f.Faults, name)
		}
	}
}

// Tenants that came before there were data keys get one from the next start on, and those
// of which one is old get another. All of it by a dashboard that just runs.
func TestDashboardKeepsDataKeys(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.exec(t, `INSERT INTO tenants (id, name, status, revision) VALUES ('old', 'Old', 'active', nextval('config_revision')), ('rest', 'Rest', 'inactive', nextval('config_revision'))`)
	r.clock.forward(31 * 24 * time.Hour)
	r.admins(t, "tenants", map[string]string{"id": "young"}, nil)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	again := r.replica(t, testConfig(t), nil)
	go func() { ended <- again.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	testkit.Await(t, "keys of all that need one", func(context.Context) bool {
		return r.count(t, `SELECT count(*) FROM tenant_keys WHERE state = 'active' AND (tenant_id, epoch) IN (('acme', 2), ('other', 2), ('old', 1), ('young', 1))`) == 4
	})
	if got := r.count(t, `SELECT count(*) FROM tenant_keys`); got != 6 {
		t.Errorf("%d data keys, want 6", got)
	}
	testkit.Await(t, "gateways have them", func(context.Context) bool {
		return r.pushedEpoch(t, "old") == 1 && r.pushedEpoch(t, "acme") == 2
	})
}
