package dashboard_test

import (
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"loom.internal/pkg/tenant"
	"loom.internal/services/dashboard"
)

func basePath(c *dashboard.Config) { c.BasePath = "/loom" }

// login opens a session and returns its cookie as a request header.
func (r *rig) login(t *testing.T, key string) (header map[string]string, cookie *http.Cookie) {
	t.Helper()
	out := r.do(t, call{method: http.MethodPost, path: "/api/v1/session", body: map[string]string{"api_key": key}})
	if out.status != http.StatusOK {
		t.Fatalf("login: %d %s", out.status, out.body)
	}
	cookies := (&http.Response{Header: out.header}).Cookies()
	if len(cookies) != 1 {
		t.Fatalf("login set %d cookies", len(cookies))
	}
	return map[string]string{"Cookie": cookies[0].Name + "=" + cookies[0].Value}, cookies[0]
}

func (r *rig) me(t *testing.T, header map[string]string) reply {
	t.Helper()
	return r.do(t, call{method: http.MethodGet, path: "/api/v1/me", header: header})
}

func TestSession(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	header, cookie := r.login(t, r.acme)
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || cookie.Path != "/" || cookie.Secure {
		t.Errorf("over http: got cookie %v", cookie)
	}
	if len(cookie.Value) != 43 || r.count(t, `SELECT count(*) FROM sessions WHERE encode(hash, 'escape') LIKE '%' || $1 || '%'`, cookie.Value) != 0 {
		t.Errorf("the session's id is not 256 bits, or is stored as it is")
	}
	var me struct {
		Tenant struct{ ID, Name string }
		Role   string
		Scopes []string
	}
	r.ok(t, call{method: http.MethodGet, path: "/api/v1/me", header: header}, &me)
	if me.Tenant.ID != "acme" || me.Tenant.Name != "Acme" || me.Role != "tenant" || len(me.Scopes) != len(tenant.Scopes()) {
		t.Errorf("got %+v", me)
	}
	if out := r.do(t, call{method: http.MethodDelete, path: "/api/v1/session", header: header}); out.status != http.StatusNoContent {
		t.Errorf("logout: got %d", out.status)
	}
	if out := r.me(t, header); out.status != http.StatusUnauthorized {
		t.Errorf("after logout: got %d, want 401", out.status)
	}
	out := r.do(t, call{
		method: http.MethodPost, path: "/api/v1/session", body: map[string]string{"api_key": r.admin},
		header: map[string]string{"X-Forwarded-Proto": "https"},
	})
	if set := out.header.Get("Set-Cookie"); !strings.Contains(set, "Secure") {
		t.Errorf("over https: got cookie %q, want it Secure", set)
	}
}

func TestSessionEnds(t *testing.T) {
	t.Parallel()
	t.Run("without use", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		header, _ := r.login(t, r.acme)
		for range 3 { // use keeps it alive, well past half an hour in all
			r.clock.forward(25 * time.Minute)
			if out := r.me(t, header); out.status != http.StatusOK {
				t.Fatalf("in use: got %d, want 200", out.status)
			}
		}
		r.clock.forward(30 * time.Minute)
		if out := r.me(t, header); out.status != http.StatusUnauthorized {
			t.Errorf("after 30 idle minutes: got %d, want 401", out.status)
		}
	})
	t.Run("after twelve hours", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		header, _ := r.login(t, r.admin)
		for range 35 {
			r.clock.forward(20 * time.Minute)
			if out := r.me(t, header); out.status != http.StatusOK {
				t.Fatalf("in use: got %d, want 200", out.status)
			}
		}
		r.clock.forward(20 * time.Minute)
		if out := r.me(t, header); out.status != http.StatusUnauthorized {
			t.Errorf("after 12 hours: got %d, want 401", out.status)
		}
	})
	t.Run("with its key", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		header, _ := r.login(t, r.acme)
		r.ok(t, call{method: http.MethodDelete, path: "/api/v1/admin/keys/" + r.keyID, key: r.admin}, nil)
		if out := r.me(t, header); out.status != http.StatusUnauthorized {
			t.Errorf("after its key was revoked: got %d, want 401", out.status)
		}
		if n := r.count(t, `SELECT count(*) FROM sessions`); n != 0 {
			t.Errorf("%d sessions are left", n)
		}
	})
	t.Run("with its tenant", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		header, _ := r.login(t, r.acme)
		r.ok(t, call{method: http.MethodPatch, path: "/api/v1/admin/tenants/acme", key: r.admin, body: map[string]string{"status": "inactive"}}, nil)
		if out := r.me(t, header); out.status != http.StatusUnauthorized {
			t.Errorf("after its tenant was put to sleep: got %d, want 401", out.status)
		}
	})
}

func TestFailedLoginsAreLimited(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	bad := call{method: http.MethodPost, path: "/api/v1/session", body: map[string]string{"api_key": "loom_sk_nope"}}
	for range 20 {
		r.login(t, r.acme) // logins that succeed take nothing away
	}
	for range 10 {
		r.fails(t, bad, http.StatusUnauthorized, "unauthorized")
	}
	r.fails(t, bad, http.StatusTooManyRequests, "too_many_requests")
	out := r.do(t, call{method: http.MethodPost, path: "/api/v1/session", body: map[string]string{"api_key": r.acme}, header: map[string]string{"X-Forwarded-For": "203.0.113.9"}})
	if out.status != http.StatusTooManyRequests || out.header.Get("Retry-After") == "" {
		t.Errorf("with a made-up address: got %d, Retry-After %q, want 429", out.status, out.header.Get("Retry-After"))
	}
	r.clock.forward(7 * time.Second)
	r.fails(t, bad, http.StatusUnauthorized, "unauthorized")
	r.fails(t, bad, http.StatusTooManyRequests, "too_many_requests")
}

func TestOtherSitesCannotAct(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	header, _ := r.login(t, r.admin)
	for _, site := range []map[string]string{{"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}} {
		maps.Copy(site, header)
		r.fails(t, call{method: http.MethodPost, path: "/api/v1/admin/tenants", body: map[string]string{"id": "x"}, header: site}, http.StatusForbidden, "cross_origin")
		r.fails(t, call{method: http.MethodPost, path: "/api/v1/session", body: map[string]string{"api_key": r.acme}, header: site}, http.StatusForbidden, "cross_origin")
	}
	header["Sec-Fetch-Site"] = "same-origin"
	r.ok(t, call{method: http.MethodPost, path: "/api/v1/admin/tenants", body: map[string]string{"id": "x"}, header: header}, nil)
}
