package dashboard_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"loom.internal/pkg/catalog"
	"loom.internal/pkg/manifest"
	"loom.internal/pkg/tenant"
	"loom.internal/services/dashboard"
)

const providerSecret = "sk-canary-provider-secret"

func everything() *manifest.Manifest {
	return &manifest.Manifest{
		Providers: []manifest.Provider{
			{Name: "openai", Kind: catalog.OpenAI, BaseURL: "https://api.openai.com/v1", Secret: providerSecret},
			{Name: "demo", Kind: catalog.Demo},
		},
		Routes:  []manifest.Route{{Model: "gpt-*", Targets: []manifest.Target{{Provider: "openai"}, {Provider: "demo", Model: "demo-1", Weight: 2}}}},
		Tenants: []manifest.Tenant{{ID: "new", Name: "New", Keys: []manifest.Key{{Name: "ci", Scopes: []tenant.Scope{tenant.ScopeChat}}}}},
		Prices:  []manifest.Price{{Provider: "openai", Model: "my-model", From: "2026-01-01", Input: "0.15", CachedInput: "0.075", Output: "0.60"}},
	}
}

func (r *rig) apply(t *testing.T, m *manifest.Manifest, query string) (result dashboard.Result) {
	t.Helper()
	r.ok(t, call{method: http.MethodPost, path: "/api/v1/admin/apply" + query, key: r.admin, body: m}, &result)
	return result
}

func names(changes []dashboard.Change) []string {
	all := []string{}
	for _, c := range changes {
		all = append(all, c.Action+" "+c.Kind+" "+c.Name+" "+strings.Join(c.Fields, ","))
	}
	return all
}

func TestApply(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	created := []string{
		"create provider openai kind,base_url,secret", "create provider demo kind", "create route gpt-* targets",
		"create tenant new name,status,content_mode,missing_usage", "create key new/ci scopes,models,content_mode,expires_at",
		"create price openai/my-model from 2026-01-01 input,cached_input,output",
	}
	before := r.count(t, `SELECT count(*) FROM access_log`)
	dry := r.apply(t, everything(), "?dry_run=true")
	if diff := cmp.Diff(created, names(dry.Changes)); diff != "" || !dry.DryRun || dry.Pushed || len(dry.Keys) != 0 {
		t.Errorf("dry run: %+v (-want +got):\n%s", dry, diff)
	}
	if n := r.count(t, `SELECT (SELECT count(*) FROM providers) + (SELECT count(*) FROM routes) + (SELECT count(*) FROM prices) + (SELECT count(*) FROM access_log)`); n != before {
		t.Errorf("a dry run left %d rows", n-before)
	}

	done := r.apply(t, everything(), "")
	if diff := cmp.Diff(created, names(done.Changes)); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	if !done.Pushed || done.Revision <= dry.Revision || len(done.Keys) != 1 || done.Keys[0].Tenant != "new" {
		t.Errorf("got %+v", done)
	}
	if got := r.count(t, `SELECT count(*) FROM access_log`); got != before+7 {
		t.Errorf("%d lines in the access log for 6 changes and a data key", got-before)
	}
	if n := r.count(t, `SELECT count(*) FROM access_log WHERE detail::text LIKE '%' || $1 || '%' OR detail::text LIKE '%' || $2 || '%'`, providerSecret, done.Keys[0].Secret); n != 0 {
		t.Error("the access log holds a secret")
	}
	var rate int64
	if err := r.db.Pool("").QueryRow(t.Context(), `SELECT cached_input FROM prices WHERE model = 'my-model'`).Scan(&rate); err != nil || rate != 75_000 {
		t.Errorf("rate: got %d, %v, want 75000 picodollars", rate, err)
	}

	again := r.apply(t, everything(), "")
	if len(again.Changes) != 0 || len(again.Keys) != 0 || again.Revision != done.Revision {
		t.Errorf("the same again: got %+v", again)
	}

	m := everything()
	m.Providers[0].Secret = "sk-other"
	m.Providers[0].BaseURL = "https://api.openai.com/v2"
	m.Routes[0].Targets[1].Weight = 3
	m.Tenants[0].ContentMode = "metadata"
	m.Tenants[0].Keys[0].Scopes = []tenant.Scope{tenant.ScopeModels, tenant.ScopeChat}
	m.Prices[0].CachedInput = ""
	updated := []string{
		"update provider openai base_url,secret", "update route gpt-* targets", "update tenant new content_mode",
		"update key new/ci scopes", "update price openai/my-model from 2026-01-01 cached_input",
	}
	if diff := cmp.Diff(updated, names(r.apply(t, m, "").Changes)); diff != "" {
		t.Errorf("updates (-want +got):\n%s", diff)
	}
	// What becomes of the answers of clients that left, there and back.
	for _, policy := range []catalog.OnDisconnect{catalog.Finish, ""} {
		m.Routes[0].OnDisconnect = policy
		if diff := cmp.Diff([]string{"update route gpt-* on_disconnect"}, names(r.apply(t, m, "").Changes)); diff != "" {
			t.Errorf("on_disconnect %q (-want +got):\n%s", policy, diff)
		}
		want, _ := catalog.ParseOnDisconnect(string(policy))
		if got := r.catalogue(t).Routes[0].OnDisconnect; got != want {
			t.Errorf("pushed: got %q, want %q", got, want)
		}
	}
	// Unnamed stays: no secret, no status, no scopes given.
	m.Providers[0].Secret, m.Tenants[0].ContentMode, m.Tenants[0].Keys[0].Scopes = "", "", nil
	if got := names(r.apply(t, m, "").Changes); len(got) != 0 {
		t.Errorf("unnamed fields changed: %v", got)
	}
}

func TestApplyListsEveryFaultAndChangesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.apply(t, everything(), "")
	var keys struct{ Items []struct{ ID string } }
	r.get(t, r.admin, "/api/v1/admin/tenants/new/keys", &keys)
	r.ok(t, call{method: http.MethodDelete, path: "/api/v1/admin/keys/" + keys.Items[0].ID, key: r.admin}, nil)
	before := r.count(t, `SELECT last_value FROM config_revision`)
	m := everything()
	m.Providers[0].BaseURL, m.Providers[0].Secret = "https://elsewhere.example/v1", ""
	m.Providers = append(m.Providers, manifest.Provider{Name: "Bad Name", Kind: "nope"}, manifest.Provider{Name: "fine", Kind: catalog.Demo})
	m.Routes = append(m.Routes, manifest.Route{Model: "x", Targets: []manifest.Target{{Provider: "demo"}, {Provider: "ghost"}}}, manifest.Route{Model: "y"})
	m.Tenants[0].Keys = append(m.Tenants[0].Keys, manifest.Key{Name: "k", Scopes: []tenant.Scope{"root"}})
	m.Prices = append(m.Prices, manifest.Price{Provider: "ghost", Model: "m", From: "2026-01-01", Input: "1", Output: "1"}, m.Prices[0],
		manifest.Price{Provider: "demo", Model: "m", From: "soon", Input: "0.1e3", Output: "1"})
	f := r.fails(t, call{method: http.MethodPost, path: "/api/v1/admin/apply", key: r.admin, body: m}, http.StatusBadRequest, "invalid_manifest")
	paths := []string{}
	for _, fault := range f.Faults {
		paths = append(paths, fault.Path)
	}
	slices.Sort(paths)
	want := []string{
		"prices[1].provider", "prices[2]", "prices[3].from", "prices[3].input", "providers[0].secret", "providers[2].kind", "providers[2].name",
		"routes[1].targets[1].provider", "routes[2].targets", "tenants[0].keys[0].name", "tenants[0].keys[1].scopes[0]",
	}
	if diff := cmp.Diff(want, paths); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
	if n := r.count(t, `SELECT count(*) FROM providers WHERE name = 'fine'`); n != 0 {
		t.Error("a provider of a refused manifest was made")
	}
	if n := r.count(t, `SELECT max(revision) FROM api_keys`); n > before {
		t.Error("a refused manifest changed a key")
	}
}

// What the database refuses midway takes everything with it.
func TestApplyIsAllOrNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.exec(t, `ALTER TABLE prices ADD CHECK (model <> 'my-model')`)
	r.fails(t, call{method: http.MethodPost, path: "/api/v1/admin/apply", key: r.admin, body: everything()}, http.StatusInternalServerError, "internal")
	if n := r.count(t, `SELECT (SELECT count(*) FROM providers) + (SELECT count(*) FROM routes) + (SELECT count(*) FROM tenants WHERE id = 'new')`); n != 0 {
		t.Errorf("%d rows of what failed are there", n)
	}
}

func TestBadBodies(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	post := func(path, body string) call {
		return call{method: http.MethodPost, path: path, key: r.admin, body: body}
	}
	for _, body := range []string{``, `{`, `[]`, `{"routes": 1}`, `{"nope": []}`, `{} {}`, `{"providers":[{"names":"x"}]}`} {
		r.fails(t, post("/api/v1/admin/apply", body), http.StatusBadRequest, "invalid_body")
	}
	r.fails(t, post("/api/v1/admin/apply", `{"routes":[`+strings.Repeat(" ", 5<<20)+`]}`), http.StatusRequestEntityTooLarge, "body_too_large")
	r.fails(t, post("/api/v1/admin/tenants", strings.Repeat(" ", 70<<10)), http.StatusRequestEntityTooLarge, "body_too_large")
	plain := post("/api/v1/admin/apply", `{}`)
	plain.header = map[string]string{"Content-Type": "text/plain"}
	r.fails(t, plain, http.StatusUnsupportedMediaType, "unsupported_media_type")
	for body, path := range map[string]string{
		`{"id":"Bad"}`: "id", `{"id":""}`: "id", `{"id":"x","status":"gone"}`: "status", `{"id":"x","content_mode":"some"}`: "content_mode",
		`{"id":"x","name":""}`: "name", `{"id":"x","name":"a\u0000b"}`: "name",
	} {
		f := r.fails(t, post("/api/v1/admin/tenants", body), http.StatusBadRequest, "invalid_body")
		if len(f.Faults) != 1 || f.Faults[0].Path != path {
			t.Errorf("%s: got faults %v, want one of %s", body, f.Faults, path)
		}
	}
	f := r.fails(t, post("/api/v1/admin/tenants/acme/keys", `{"name":"","scopes":["root"]}`), http.StatusBadRequest, "invalid_body")
	if len(f.Faults) != 2 || f.Faults[0].Path != "name" || f.Faults[1].Path != "scopes[0]" {
		t.Errorf("got faults %v", f.Faults)
	}
}

func TestTenantsAndKeys(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	admin := func(method, path string, body any) call {
		return call{method: method, path: path, key: r.admin, body: body}
	}
	var made struct {
		Tenant struct{ ID, Name, Status string }
		Pushed bool
	}
	r.ok(t, admin(http.MethodPost, "/api/v1/admin/tenants", map[string]string{"id": "zoo"}), &made)
	if made.Tenant.Name != "zoo" || made.Tenant.Status != "active" || !made.Pushed {
		t.Errorf("got %+v", made)
	}
	r.fails(t, admin(http.MethodPost, "/api/v1/admin/tenants", map[string]string{"id": "zoo"}), http.StatusConflict, "conflict")
	for _, id := range []string{"nobody", "Bad%20ID", "%00"} {
		r.fails(t, admin(http.MethodPatch, "/api/v1/admin/tenants/"+id, map[string]string{"name": "x"}), http.StatusNotFound, "not_found")
		r.fails(t, admin(http.MethodGet, "/api/v1/admin/tenants/"+id+"/keys", nil), http.StatusNotFound, "not_found")
		r.fails(t, admin(http.MethodPost, "/api/v1/admin/tenants/"+id+"/keys", map[string]string{"name": "x"}), http.StatusNotFound, "not_found")
		r.fails(t, admin(http.MethodDelete, "/api/v1/admin/keys/"+id, nil), http.StatusNotFound, "not_found")
	}
	walked := []string{}
	for cursor := ""; ; {
		var page struct {
			Items []struct {
				ID   string
				Keys int
			}
			NextCursor *string `json:"next_cursor"`
		}
		r.ok(t, admin(http.MethodGet, "/api/v1/admin/tenants?limit=1"+cursor, nil), &page)
		for _, i := range page.Items {
			walked = append(walked, i.ID)
		}
		if page.NextCursor == nil {
			break
		}
		cursor = "&cursor=" + *page.NextCursor
	}
	if diff := cmp.Diff([]string{"acme", "other", "zoo"}, walked); diff != "" {
		t.Errorf("tenants (-want +got):\n%s", diff)
	}

	type key struct {
		ID, Name, Secret, Last4 string
		Scopes, Models          []string
		CreatedBy               string     `json:"created_by"`
		RevokedAt               *time.Time `json:"revoked_at"`
	}
	var first, second key
	r.ok(t, admin(http.MethodPost, "/api/v1/admin/tenants/zoo/keys", map[string]any{"name": "k", "models": []string{"m"}}), &first)
	if len(first.Scopes) != len(tenant.Scopes()) || !strings.HasSuffix(first.Secret, first.Last4) || !strings.HasPrefix(first.CreatedBy, "adm:") {
		t.Errorf("got %+v", first)
	}
	r.get(t, first.Secret, "/api/v1/me", nil)
	r.fails(t, admin(http.MethodPost, "/api/v1/admin/tenants/zoo/keys", map[string]any{"name": "k"}), http.StatusConflict, "conflict")
	var revoked, twice struct {
		RevokedAt time.Time `json:"revoked_at"`
	}
	r.ok(t, admin(http.MethodDelete, "/api/v1/admin/keys/"+first.ID, nil), &revoked)
	r.ok(t, admin(http.MethodDelete, "/api/v1/admin/keys/"+first.ID, nil), &twice)
	if !revoked.RevokedAt.Equal(twice.RevokedAt) {
		t.Errorf("revoked at %s, then at %s", revoked.RevokedAt, twice.RevokedAt)
	}
	r.ok(t, admin(http.MethodPost, "/api/v1/admin/tenants/zoo/keys", map[string]any{"name": "k"}), &second) // the name is free again
	var list struct{ Items []key }
	out := r.do(t, admin(http.MethodGet, "/api/v1/admin/tenants/zoo/keys", nil))
	if err := json.Unmarshal(out.body, &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Items) != 2 || list.Items[0].ID != second.ID || list.Items[1].RevokedAt == nil || strings.Contains(string(out.body), second.Secret) {
		t.Errorf("got %s", out.body)
	}
}

func TestBootstrapOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	key, created, err := r.Bootstrap(t.Context())
	if err != nil || created || key != "" {
		t.Errorf("got %q, %v, %v: there is an admin key already", key, created, err)
	}
}
