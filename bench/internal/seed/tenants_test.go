package seed_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"loom.internal/bench/internal/seed"
	"loom.internal/bench/internal/traffic"
	"loom.internal/pkg/manifest"
	"loom.internal/pkg/tenant"
)

// admin is an admin API that has no tenants at first.
type admin struct {
	t    *testing.T
	keys map[string][]string // names by tenant
}

func (a *admin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer loom_adm_x" {
		http.Error(w, "no admin key", http.StatusUnauthorized)
		return
	}
	if id, ok := strings.CutPrefix(r.URL.Path, "/api/v1/admin/tenants/"); ok {
		id = strings.TrimSuffix(id, "/keys")
		items := []string{}
		for i, name := range a.keys[id] {
			items = append(items, fmt.Sprintf(`{"id":"%s-%d","name":%q,"revoked_at":null}`, id, i, name))
		}
		_, _ = fmt.Fprintf(w, `{"items":[%s]}`, strings.Join(items, ","))
		return
	}
	var m manifest.Manifest
	if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
		a.t.Error(err)
	}
	made := []string{}
	for _, t := range m.Tenants {
		for _, k := range t.Keys {
			text, err := tenant.NewKeyText(tenant.TenantPrefix)
			if err != nil {
				a.t.Error(err)
			}
			a.keys[t.ID] = append(a.keys[t.ID], k.Name)
			made = append(made, fmt.Sprintf(`{"secret":%q}`, text.Reveal()))
		}
	}
	_, _ = fmt.Fprintf(w, `{"keys":[%s]}`, strings.Join(made, ","))
}

func home(t *testing.T, url, adminKey string) seed.Home {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"dev.env":    "# a comment\nLOOM_ADMIN_KEY=" + adminKey + "\nLOOM_DASHBOARD_URL=" + url + "\n",
		"doors.json": `{"database":"postgres://x","nats_socket":"/s"}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h, err := seed.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestAKeyWhoseSecretIsLostGetsASuccessor(t *testing.T) {
	t.Parallel()
	a := &admin{t: t, keys: make(map[string][]string)}
	srv := httptest.NewServer(a)
	t.Cleanup(srv.Close)
	h := home(t, srv.URL, "loom_adm_x")
	for range 2 {
		if _, err := seed.Configure(t.Context(), h); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(h.Dir, "seed.env")); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range traffic.Tenants() {
		var logins []string
		for _, name := range a.keys[id] {
			if strings.HasPrefix(name, "dashboard") {
				logins = append(logins, name)
			}
		}
		if len(logins) != 2 || logins[0] == logins[1] {
			t.Errorf("tenant %s: keys to log in with %q, want two of different names", id, logins)
		}
	}
}

func TestARefusalOfTheAdminAPIIsTold(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(&admin{t: t, keys: make(map[string][]string)})
	t.Cleanup(srv.Close)
	if _, err := seed.Configure(t.Context(), home(t, srv.URL, "loom_adm_other")); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("got %v, want the refusal", err)
	}
	srv.Close()
	if _, err := seed.Configure(t.Context(), home(t, srv.URL, "loom_adm_x")); err == nil || !strings.Contains(err.Error(), "ask the dashboard") {
		t.Errorf("got %v, want that nobody answers", err)
	}
}

func TestADataDirectoryMustBeOfARunningLoom(t *testing.T) {
	t.Parallel()
	for name, files := range map[string]map[string]string{
		"dev.env":      {},
		"make start":   {"dev.env": "LOOM_DASHBOARD_URL=http://x\n"},
		"no Loom runs": {"dev.env": "LOOM_DASHBOARD_URL=http://x\nLOOM_ADMIN_KEY=k\n"},
		"invalid":      {"dev.env": "LOOM_DASHBOARD_URL=http://x\nLOOM_ADMIN_KEY=k\n", "doors.json": "{"},
	} {
		dir := t.TempDir()
		for file, text := range files {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want := name
		if name == "invalid" {
			want = "unexpected end of JSON"
		}
		if _, err := seed.Open(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
