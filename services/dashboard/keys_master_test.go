package dashboard_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/catalog"
	"loom.internal/pkg/config"
	"loom.internal/pkg/manifest"
	"loom.internal/pkg/tenant"
	"loom.internal/services/dashboard/internal/keyring"
)

type rewrapped struct {
	Looked    int `json:"looked_at"`
	Rewrapped int
	Failed    []struct{ What, Why string }
	Next      string
	Version   uint32 `json:"master_version"`
	Pushed    bool
}

func (r *rig) rewrap(t *testing.T, from string, dryRun bool) (out rewrapped) {
	t.Helper()
	body := map[string]any{"dry_run": dryRun}
	if from != "" {
		body["from"] = from
	}
	r.admins(t, "master-keys/rewrap", body, &out)
	return out
}

type masterVersion struct {
	Version           uint32
	Here, Active      bool
	DataKeys          int64 `json:"data_keys"`
	Providers, System int64
}

func (r *rig) masters(t *testing.T) []masterVersion {
	t.Helper()
	var out struct{ Items []masterVersion }
	r.get(t, r.admin, "/api/v1/admin/master-keys", &out)
	return out.Items
}

// wrappings is everything in the database that a master key protects, as text.
func (r *rig) wrappings(t *testing.T) string {
	t.Helper()
	var text string
	err := r.db.Pool("").QueryRow(t.Context(), `
		SELECT (SELECT coalesce(string_agg(k::text, E'\n' ORDER BY k::text), '') FROM tenant_keys k) || (SELECT string_agg(s::text, E'\n' ORDER BY s::text) FROM system_keys s)
		    || (SELECT coalesce(string_agg(p::text, E'\n' ORDER BY p::text), '') FROM providers p) || (SELECT count(*) FROM access_log)`).Scan(&text)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// crowd makes tenants until there are n, each with a data key.
func (r *rig) crowd(t *testing.T, n int) {
	t.Helper()
	m := new(manifest.Manifest)
	for i := range n - 2 { // acme and other are there
		m.Tenants = append(m.Tenants, manifest.Tenant{ID: fmt.Sprintf("t%04d", i)})
	}
	r.apply(t, m, "")
}

// A master key is replaced without an outage: what it has wrapped is wrapped with the next
// one step by step, and all the time everything opens.
func TestReplaceTheMasterKey(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.apply(t, everything(), "")
	old := r.trace(time.Now(), bodies("sealed under the first", "a"))
	r.insert(t, old)
	r.admins(t, "tenants/acme/data-keys", nil, nil)
	r.crowd(t, 449) // and "new" of everything(): 451 data keys with the retired one
	if got := r.count(t, `SELECT count(*) FROM tenant_keys WHERE master_version = 1`); got != 451 {
		t.Fatalf("%d data keys to begin with, want 451", got)
	}

	both := r.beside(t, bothMasters)
	first := masterVersion{1, true, false, 451, 1, 1}
	if diff := cmp.Diff([]masterVersion{first, {2, true, true, 0, 0, 0}}, both.masters(t)); diff != "" {
		t.Errorf("before (-want +got):\n%s", diff)
	}
	both.opens(t, old)
	// The new one comes, and nothing is wrapped with it yet: whoever has only that must not run.
	err := r.started(t, config.VersionedSecret{2: masterKey2})
	if !errors.Is(err, keyring.ErrMissingMaster) || !strings.Contains(err.Error(), "version 1 protects 451 data keys, 1 provider secrets and 1 keys of the installation") {
		t.Errorf("with version 2 alone: got %v, want %v and how many", err, keyring.ErrMissingMaster)
	}

	before := r.wrappings(t)
	var total rewrapped
	for step := 0; step == 0 || total.Next != ""; step++ {
		out := both.rewrap(t, total.Next, true)
		total.Looked, total.Rewrapped, total.Next = total.Looked+out.Looked, total.Rewrapped+out.Rewrapped, out.Next
		if len(out.Failed) > 0 || out.Version != 2 || step > 2 {
			t.Fatalf("dry run, step %d: got %+v", step, out)
		}
	}
	if total.Looked != 453 || total.Rewrapped != 453 {
		t.Errorf("dry run: %d looked at, %d to be rewrapped, want 453 of each", total.Looked, total.Rewrapped)
	}
	if after := r.wrappings(t); after != before {
		t.Errorf("a dry run changes keys:\n%s", cmp.Diff(before, after))
	}

	// It breaks off after the first of three steps, and everything opens.
	one := both.rewrap(t, "", false)
	if one.Looked != 202 || one.Rewrapped != 202 || len(one.Failed) > 0 || one.Next == "" || !one.Pushed || one.Version != 2 {
		t.Errorf("first step: got %+v", one)
	}
	if got := both.masters(t); got[0].DataKeys != 251 || got[0].Providers+got[0].System != 0 || got[1].DataKeys != 200 {
		t.Errorf("in the middle: got %+v", got)
	}
	both.opens(t, old)
	both.get(t, r.acme, "/api/v1/me", nil)
	if err := r.started(t, config.VersionedSecret{2: masterKey2}); !errors.Is(err, keyring.ErrMissingMaster) || !strings.Contains(err.Error(), "251 data keys") {
		t.Errorf("with version 2 alone in the middle: got %v", err)
	}
	// Another dashboard begins anew: what is done already is looked at and left.
	again := r.beside(t, bothMasters)
	total = again.rewrap(t, "", false)
	if total.Looked != 202 || total.Rewrapped != 0 {
		t.Errorf("first step again: got %+v", total)
	}
	for total.Next != "" {
		out := again.rewrap(t, total.Next, false)
		total.Rewrapped, total.Next = total.Rewrapped+out.Rewrapped, out.Next
	}
	if total.Rewrapped != 251 {
		t.Errorf("%d rewrapped by the others, want 251", total.Rewrapped)
	}
	if diff := cmp.Diff([]masterVersion{{1, true, false, 0, 0, 0}, {2, true, true, 451, 1, 1}}, both.masters(t)); diff != "" {
		t.Errorf("after (-want +got):\n%s", diff)
	}
	before = r.wrappings(t)
	for total = again.rewrap(t, "", false); total.Next != ""; total.Next = again.rewrap(t, total.Next, false).Next {
	}
	if r.wrappings(t) != before {
		t.Error("a second run changes keys")
	}

	// The first is no longer needed.
	if err := r.started(t, config.VersionedSecret{2: masterKey2}); err != nil {
		t.Errorf("with version 2 alone: %v", err)
	}
	alone := r.beside(t, config.VersionedSecret{2: masterKey2})
	alone.opens(t, old)
	alone.get(t, r.acme, "/api/v1/me", nil)
	alone.get(t, r.admin, "/api/v1/admin/tenants", nil)
	for _, k := range alone.storedKeys(t, "") {
		if k.version == nil || *k.version != 2 {
			t.Errorf("data key %d of %s: not of version 2", k.epoch, k.tenant)
		}
	}
	// And gateways have all of it under the second.
	kv := alone.kv(t)
	if p := entryOf[catalog.Pepper](t, kv, bus.KeyPepper); p.MasterVersion != 2 {
		t.Errorf("gateways have the pepper of version %d", p.MasterVersion)
	}
	if entryOf[tenant.Key](t, kv, alone.hashKey(t, r.acme)).ID != r.keyID {
		t.Error("the pepper that gateways have finds no key")
	}
	for _, id := range []string{"acme", "other", "new", "t0000", "t0446"} {
		if alone.pushedEpoch(t, id) == 0 {
			t.Errorf("gateways have no data key of %s", id)
		}
	}
	for _, p := range alone.catalogue(t).Providers {
		if secret, err := p.OpenSecret(t.Context(), alone.ring); err != nil || p.Name == "openai" && secret != providerSecret {
			t.Errorf("secret of %s: %v", p.Name, err)
		}
	}
}

func TestMasterKeysThatDoNotFit(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for name, c := range map[string]struct {
		masters config.VersionedSecret
		want    error
	}{
		"the same":           {config.VersionedSecret{1: masterKey}, nil},
		"one more":           {bothMasters, nil},
		"another":            {config.VersionedSecret{1: masterKey2}, keyring.ErrWrongMaster},
		"the two exchanged":  {config.VersionedSecret{1: masterKey2, 2: masterKey}, keyring.ErrWrongMaster},
		"under a new number": {config.VersionedSecret{3: masterKey}, keyring.ErrMissingMaster},
	} {
		if err := r.started(t, c.masters); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		} else if err != nil && (strings.Contains(err.Error(), masterKey) || strings.Contains(err.Error(), masterKey2)) {
			t.Errorf("%s: the error shows a key", name)
		}
	}
}

// A key that was changed behind Loom's back is named and left as it was; the others go on.
func TestRewrapReportsWhatWasChanged(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	m := everything()
	m.Providers = append(m.Providers, manifest.Provider{Name: "moved", Kind: catalog.OpenAI, BaseURL: "https://api.example/v1", Secret: "sk-moved"})
	r.apply(t, m, "")
	kept := r.trace(time.Now(), bodies("q", "a"))
	r.insert(t, kept)
	r.exec(t, `UPDATE tenant_keys SET wrapped = set_byte(wrapped, 3, get_byte(wrapped, 3) # 1) WHERE tenant_id = 'other'`)
	r.exec(t, `UPDATE providers SET base_url = 'https://evil.example/v1' WHERE name = 'moved'`)
	both := r.beside(t, bothMasters)
	stored := func() string {
		t.Helper()
		var text string
		err := r.db.Pool("").QueryRow(t.Context(), `SELECT (SELECT k::text FROM tenant_keys k WHERE tenant_id = 'other') || (SELECT p::text FROM providers p WHERE name = 'moved')`).Scan(&text)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	before := stored()
	for _, dryRun := range []bool{true, false} {
		out := both.rewrap(t, "", dryRun)
		if len(out.Failed) != 2 || out.Failed[0].What != "provider moved" || out.Failed[1].What != "data key 1 of other" ||
			!strings.Contains(out.Failed[1].Why, "cannot be opened") || out.Looked != 6 || out.Rewrapped != 4 {
			t.Errorf("dry run %v: got %+v", dryRun, out)
		}
		if stored() != before {
			t.Errorf("dry run %v: what does not open was changed", dryRun)
		}
	}
	if diff := cmp.Diff([]masterVersion{{1, true, false, 1, 1, 0}, {2, true, true, 2, 1, 1}}, both.masters(t)); diff != "" {
		t.Errorf("afterwards (-want +got):\n%s", diff)
	}
	both.opens(t, kept)
	if got := r.count(t, `SELECT count(*) FROM access_log WHERE action = 'keys.rewrap' AND actor LIKE 'adm:%' AND detail = '{"failed": 2, "rewrapped": 4, "master_version": 2}'`); got != 1 {
		t.Errorf("%d lines in the access log, want 1", got)
	}
	if err := r.started(t, config.VersionedSecret{2: masterKey2}); !errors.Is(err, keyring.ErrMissingMaster) {
		t.Errorf("with version 2 alone: got %v, want %v", err, keyring.ErrMissingMaster)
	}
}

func TestRewrapFromNowhere(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, from := range []string{"acme", "acme/", "acme/x", "acme/-1", "/1", "A.B/1", "a\x00/1", "acme/99999999999"} {
		f := r.fails(t, call{method: http.MethodPost, path: "/api/v1/admin/master-keys/rewrap", key: r.admin, body: map[string]string{"from": from}},
			http.StatusBadRequest, "invalid_parameter")
		if len(f.Faults) != 1 || f.Faults[0].Path != "from" {
			t.Errorf("%q: got faults %v", from, f.Faults)
		}
	}
}
