package dashboard_test

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"loom.internal/pkg/manifest"
	"loom.internal/pkg/tenant"
	"loom.internal/pkg/testkit"
	"loom.internal/services/dashboard"
)

// sample is a request each route answers well, and what each kind of caller gets.
// Callers: nobody, a wrong key, a tenant's key without any scope for the dashboard, a
// tenant's, another tenant's, an admin's.
type sample struct {
	path   string // as it is called; empty: the route's own
	body   any
	header map[string]string
	want   [6]int
}

func samples(traceID, keyID string) map[string]sample {
	var (
		public = [6]int{200, 200, 200, 200, 200, 200}
		reads  = [6]int{401, 401, 403, 200, 200, 200}
		ofAcme = [6]int{401, 401, 403, 200, 404, 200} // another tenant's is not there
		admin  = [6]int{401, 401, 403, 403, 403, 200}
		makes  = [6]int{401, 401, 403, 403, 403, 201}
	)
	return map[string]sample{
		"GET /api/v1/openapi.yaml":                           {want: public},
		"POST /api/v1/session":                               {body: map[string]string{"api_key": "no key"}, want: [6]int{401, 401, 401, 401, 401, 401}},
		"DELETE /api/v1/session":                             {want: [6]int{204, 204, 204, 204, 204, 204}},
		"GET /api/v1/me":                                     {want: [6]int{401, 401, 200, 200, 200, 200}},
		"GET /api/v1/traces":                                 {want: reads},
		"GET /api/v1/traces/:id":                             {path: "/api/v1/traces/" + traceID, want: ofAcme},
		"GET /api/v1/traces/:id/payload":                     {path: "/api/v1/traces/" + traceID + "/payload", want: ofAcme},
		"GET /api/v1/summary":                                {want: reads},
		"GET /api/v1/timeseries":                             {path: "/api/v1/timeseries?metric=cost", want: reads},
		"GET /api/v1/costs":                                  {want: reads},
		"GET /api/v1/costs.csv":                              {want: reads},
		"GET /api/v1/models":                                 {want: reads},
		"GET /api/v1/compare":                                {path: "/api/v1/compare?a=range%3D1h&b=range%3D6h", want: reads},
		"GET /api/v1/traces/tail":                            {want: reads},
		"POST /api/v1/playground/chat/completions":           {body: map[string]any{}, header: map[string]string{"X-Loom-Key": "k"}, want: reads},
		"GET /api/v1/facets":                                 {want: reads},
		"POST /api/v1/admin/apply":                           {body: manifest.Manifest{}, want: admin},
		"GET /api/v1/admin/tenants":                          {want: admin},
		"POST /api/v1/admin/tenants":                         {body: map[string]string{"id": "new"}, want: makes},
		"PATCH /api/v1/admin/tenants/:id":                    {path: "/api/v1/admin/tenants/acme", body: map[string]string{"name": "Acme"}, want: admin},
		"GET /api/v1/admin/tenants/:id/keys":                 {path: "/api/v1/admin/tenants/acme/keys", want: admin},
		"POST /api/v1/admin/tenants/:id/keys":                {path: "/api/v1/admin/tenants/acme/keys", body: map[string]string{"name": "new"}, want: makes},
		"GET /api/v1/admin/master-keys":                      {want: admin},
		"POST /api/v1/admin/master-keys/rewrap":              {body: map[string]bool{"dry_run": true}, want: admin},
		"GET /api/v1/admin/data-keys":                        {want: admin},
		"POST /api/v1/admin/tenants/:id/data-keys":           {path: "/api/v1/admin/tenants/acme/data-keys", want: makes},
		"POST /api/v1/admin/tenants/:id/data-keys/reencrypt": {path: "/api/v1/admin/tenants/acme/data-keys/reencrypt", body: map[string]bool{"dry_run": true}, want: admin},
		"POST /api/v1/admin/tenants/:id/data-keys/shred":     {path: "/api/v1/admin/tenants/acme/data-keys/shred", body: map[string]bool{"dry_run": true}, want: admin},
		"GET /api/v1/admin/pipeline":                         {want: admin},
		"GET /api/v1/admin/verify":                           {want: admin},
		"GET /api/v1/admin/dead":                             {want: admin},
		"GET /api/v1/admin/dead/:id":                         {path: "/api/v1/admin/dead/1", want: admin},
		"POST /api/v1/admin/dead/:id/retry":                  {path: "/api/v1/admin/dead/1/retry", want: admin},
		"DELETE /api/v1/admin/dead/:id":                      {path: "/api/v1/admin/dead/2", want: admin},
		"POST /api/v1/admin/gaps":                            {body: gap("gw-gap", 2, 2), want: admin},
		"DELETE /api/v1/admin/keys/:id":                      {path: "/api/v1/admin/keys/" + keyID, want: admin},
	}
}

// Every route the router has, times every kind of caller. A route without a row here
// fails.
func TestRouteMatrix(t *testing.T) {
	t.Parallel()
	gateway := testkit.Upstream(t, func(w http.ResponseWriter, _ *http.Request, _ []byte) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte("{}"))
	})
	r := newRig(t, func(c *dashboard.Config) { c.PlaygroundURL = gateway.URL })
	s := r.trace(time.Now(), bodies("q", "a"))
	r.insert(t, s)
	r.died(t, "recorder", testkit.Event("acme", time.Now()))
	r.died(t, "recorder", testkit.Event("acme", time.Now()))
	r.produced(t, "gw-gap", "{[1,2),[3,4)}", time.Now())
	result, err := r.Apply(t.Context(), &manifest.Manifest{Tenants: []manifest.Tenant{
		{ID: "acme", Keys: []manifest.Key{{Name: "chat", Scopes: []tenant.Scope{tenant.ScopeChat}}, {Name: "victim"}}},
	}}, false)
	if err != nil {
		t.Fatal(err)
	}
	wrong, err := tenant.NewKeyText(tenant.TenantPrefix)
	if err != nil {
		t.Fatal(err)
	}
	callers := []struct {
		name, key string
		header    map[string]string
	}{
		{"nobody", "", nil},
		{"wrong key", wrong.Reveal(), nil},
		{"chat only", result.Keys[0].Secret, nil},
		{"tenant", r.acme, nil},
		{"other tenant", r.other, nil},
		{"admin", r.admin, map[string]string{"X-Loom-Tenant": "acme"}},
	}
	rows := samples(s.id.String(), result.Keys[1].ID)
	routes := r.Routes()
	slices.Sort(routes)
	for _, route := range routes {
		row, ok := rows[route]
		if !ok {
			t.Errorf("%s has no row in this test", route)
			continue
		}
		method, path, _ := strings.Cut(route, " ")
		if row.path != "" {
			path = row.path
		}
		for i, who := range callers {
			header := maps.Clone(who.header)
			if row.header != nil {
				header = maps.Clone(row.header)
				maps.Copy(header, who.header)
			}
			out := r.do(t, call{method: method, path: path, key: who.key, body: row.body, header: header})
			if out.status != row.want[i] {
				t.Errorf("%s as %s: got %d, want %d: %s", route, who.name, out.status, row.want[i], out.body)
			}
			if got := out.header.Get("Cache-Control"); got != "no-store" {
				t.Errorf("%s as %s: Cache-Control %q", route, who.name, got)
			}
			if route == "POST /api/v1/session" && i == 4 {
				r.clock.forward(time.Minute) // failed logins are limited
			}
		}
	}
	if len(rows) != len(routes) {
		t.Errorf("%d rows for %d routes", len(rows), len(routes))
	}
}

// Every refusal of a key has one and the same body.
func TestUnauthorizedSaysNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	past, future := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	result, err := r.Apply(t.Context(), &manifest.Manifest{Tenants: []manifest.Tenant{
		{ID: "acme", Keys: []manifest.Key{{Name: "expired", ExpiresAt: &past}, {Name: "expires", ExpiresAt: &future}, {Name: "revoked"}}},
		{ID: "asleep", Status: tenant.Inactive, Keys: []manifest.Key{{Name: "k"}}},
	}}, false)
	if err != nil {
		t.Fatal(err)
	}
	secret := map[string]string{}
	for _, k := range result.Keys {
		secret[k.Name] = k.Secret
	}
	r.ok(t, call{method: http.MethodDelete, path: "/api/v1/admin/keys/" + result.Keys[2].ID, key: r.admin}, nil)
	r.get(t, secret["expires"], "/api/v1/me", nil)
	mistyped := r.acme[:len(r.acme)-1] + "0"
	if mistyped == r.acme {
		mistyped = r.acme[:len(r.acme)-1] + "1"
	}
	for name, header := range map[string]map[string]string{
		"none":        {},
		"expired":     {"Authorization": "Bearer " + secret["expired"]},
		"revoked":     {"x-api-key": secret["revoked"]},
		"asleep":      {"Authorization": "Bearer " + secret["k"]},
		"mistyped":    {"Authorization": "Bearer " + mistyped},
		"two keys":    {"Authorization": "Bearer " + r.acme, "x-api-key": r.other},
		"key + basic": {"Authorization": "Basic " + r.acme, "x-api-key": r.acme},
		"empty":       {"Authorization": "Bearer "},
		"dead cookie": {"Cookie": "loom_session=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},
		"bad cookie":  {"Cookie": "loom_session=x"},
	} {
		f := r.fails(t, call{method: http.MethodGet, path: "/api/v1/me", header: header}, http.StatusUnauthorized, "unauthorized")
		if f.Error.Message != "no valid API key or session" {
			t.Errorf("%s: got message %q", name, f.Error.Message)
		}
	}
	r.ok(t, call{method: http.MethodGet, path: "/api/v1/me", header: map[string]string{"Authorization": "bearer " + r.acme, "x-api-key": r.acme}}, nil)
}

func TestTenantOfAnAdmin(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.trace(time.Now(), bodies("q", "a"))
	r.insert(t, s)
	read := func(tenantID string) call {
		c := call{method: http.MethodGet, path: "/api/v1/traces/" + s.id.String() + "/payload", key: r.admin}
		if tenantID != "" {
			c.header = map[string]string{"X-Loom-Tenant": tenantID}
		}
		return c
	}
	r.fails(t, read(""), http.StatusBadRequest, "tenant_required")
	r.fails(t, read("nobody"), http.StatusNotFound, "not_found")
	r.fails(t, read("no such id!"), http.StatusNotFound, "not_found")
	r.fails(t, read("other"), http.StatusNotFound, "not_found")
	r.ok(t, read("acme"), nil)
	if got := r.count(t, `SELECT count(*) FROM access_log WHERE action = 'trace.decrypt' AND tenant_id = 'acme' AND actor LIKE 'adm:%'`); got != 1 {
		t.Errorf("%d lines in the access log of the admin's view, want 1", got)
	}
	foreign := call{method: http.MethodGet, path: "/api/v1/traces", key: r.acme, header: map[string]string{"X-Loom-Tenant": "other"}}
	r.fails(t, foreign, http.StatusForbidden, "forbidden")
}

func TestBadParametersAreNamed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	long := strings.Repeat("x", 4097)
	const one = "/api/v1/traces/00000000-0000-7000-8000-000000000000"
	for path, name := range map[string]string{
		"/api/v1/compare?b=&a=" + long:                                     "a",
		"/api/v1/timeseries?metric=cost&by=tag:" + long[:128]:              "by",
		"/api/v1/traces?nope=1":                                            "nope",
		"/api/v1/traces?limit=0":                                           "limit",
		"/api/v1/traces?limit=201":                                         "limit",
		"/api/v1/traces?limit=ten":                                         "limit",
		"/api/v1/traces?limit=5&limit=6":                                   "limit",
		"/api/v1/traces?range=1y":                                          "range",
		"/api/v1/traces?range=1h&from=2026-01-01T00:00:00Z":                "range",
		"/api/v1/traces?from=2026-01-01T00:00:00Z":                         "to",
		"/api/v1/traces?to=2026-01-01T00:00:00Z":                           "from",
		"/api/v1/traces?from=yesterday&to=2026-01-01T00:00:00Z":            "from",
		"/api/v1/traces?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z": "from",
		"/api/v1/traces?from=2020-01-01T00:00:00Z&to=2026-01-01T00:00:00Z": "from",
		"/api/v1/traces?status=fine":                                       "status",
		"/api/v1/traces?outcome=fine":                                      "outcome",
		"/api/v1/traces?model=":                                            "model",
		"/api/v1/traces?model=%00":                                         "model",
		"/api/v1/traces?model=%ff":                                         "model",
		"/api/v1/traces?" + strings.Repeat("key=a&", 21):                   "key",
		"/api/v1/traces?model=%zz":                                         "query",
		"/api/v1/traces?tag=env":                                           "tag",
		"/api/v1/traces?tag=:prod":                                         "tag",
		"/api/v1/traces?session=":                                          "session",
		"/api/v1/traces?http_status=600":                                   "http_status",
		"/api/v1/traces?http_status=ok":                                    "http_status",
		"/api/v1/traces?cost_status=pending":                               "cost_status",
		"/api/v1/traces?stream=yes":                                        "stream",
		"/api/v1/traces?cached=1":                                          "cached",
		"/api/v1/traces?retried=":                                          "retried",
		"/api/v1/traces?min_cost_usd=-1":                                   "min_cost_usd",
		"/api/v1/traces?min_cost_usd=1e3":                                  "min_cost_usd",
		"/api/v1/traces?min_cost_usd=0.0000000000001":                      "min_cost_usd",
		"/api/v1/traces?min_cost_usd=1000000":                              "min_cost_usd",
		"/api/v1/traces?min_latency_ms=-1":                                 "min_latency_ms",
		"/api/v1/traces?min_latency_ms=NaN":                                "min_latency_ms",
		"/api/v1/traces?min_latency_ms=86400001":                           "min_latency_ms",
		"/api/v1/compare?a=range%3D1h":                                     "b",
		"/api/v1/compare?a=x%3D1&b=":                                       "a",
		"/api/v1/compare?a=&b=%25zz":                                       "b",
		"/api/v1/compare?a=&b=&range=1h":                                   "range",
		"/api/v1/costs?by=outcome":                                         "by",
		"/api/v1/costs.csv?by=tag:":                                        "by",
		"/api/v1/models?by=model":                                          "by",
		"/api/v1/facets?dims=model":                                        "dims",
		"/api/v1/facets?range=1y":                                          "range",
		"/api/v1/timeseries?metric=cost&by=tag:":                           "by",
		"/api/v1/summary?limit=1":                                          "limit",
		"/api/v1/summary?metric=cost":                                      "metric",
		"/api/v1/timeseries":                                               "metric",
		"/api/v1/timeseries?metric=spend":                                  "metric",
		"/api/v1/timeseries?metric=cost&by=colour":                         "by",
		"/api/v1/me?x=1":                                                   "x",
		one + "?x=1":                                                       "x",
		one + "/payload?decrypt=sometime":                                  "decrypt",
	} {
		f := r.fails(t, call{method: http.MethodGet, path: path, key: r.acme}, http.StatusBadRequest, "invalid_parameter")
		if len(f.Faults) != 1 || f.Faults[0].Path != name {
			t.Errorf("%s: got faults %v, want one of %s", path, f.Faults, name)
		}
	}
}

func TestHeadersAndUnknownPaths(t *testing.T) {
	t.Parallel()
	r := newRig(t, basePath)
	r.base += "/loom"
	r.fails(t, call{method: http.MethodGet, path: "/api/v1/nothing", key: r.acme}, http.StatusNotFound, "not_found")
	r.fails(t, call{method: http.MethodPut, path: "/api/v1/traces", key: r.acme}, http.StatusMethodNotAllowed, "method_not_allowed")
	for path, want := range map[string]string{
		"/api/v1/me": "default-src 'none'; frame-ancestors 'none'",
		"/traces":    "default-src 'none'; ",
	} {
		out := r.do(t, call{method: http.MethodGet, path: path})
		h := out.header
		if !strings.HasPrefix(h.Get("Content-Security-Policy"), want) || strings.Contains(h.Get("Content-Security-Policy"), "unsafe") {
			t.Errorf("%s: policy %q", path, h.Get("Content-Security-Policy"))
		}
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("X-Frame-Options") != "DENY" || h.Get("Referrer-Policy") == "" {
			t.Errorf("%s: headers %v", path, h)
		}
	}
	id := map[string]string{"X-Request-Id": "mine-1"}
	if out := r.do(t, call{method: http.MethodGet, path: "/api/v1/me", key: r.acme, header: id}); out.header.Get("X-Request-Id") != "mine-1" {
		t.Errorf("got request id %q, want the caller's", out.header.Get("X-Request-Id"))
	}
	id["X-Request-Id"] = "<script>"
	if out := r.do(t, call{method: http.MethodGet, path: "/api/v1/me", key: r.acme, header: id}); strings.Contains(out.header.Get("X-Request-Id"), "<") {
		t.Errorf("a harmful request id came back")
	}
	r.base = strings.TrimSuffix(r.base, "/loom")
	for _, path := range []string{"/healthz", "/readyz"} {
		testkit.Await(t, path+" says 200", func(context.Context) bool {
			return r.do(t, call{method: http.MethodGet, path: path}).status == http.StatusOK
		})
	}
}
