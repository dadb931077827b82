package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"loom.internal/pkg/testkit"
)

// TestBootstrap makes the first admin key of a database, once.
func TestBootstrap(t *testing.T) {
	t.Parallel()
	db := testkit.Postgres(t)
	broker := testkit.NATS(t)
	env := func(key byte) []string {
		return []string{
			"ENCRYPTION_MASTER_KEY=" + string(key) + "00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
			"LOOM_DASHBOARD_DATABASE_URL=" + db.DSN("loom_dashboard"), "LOOM_DASHBOARD_ADMIN_DATABASE_URL=" + db.DSN("loom_admin"),
			"LOOM_DASHBOARD_NATS_URL=" + broker.URL, "LOOM_DASHBOARD_GATEWAY_URL=https://loom.example",
		}
	}
	dir := t.TempDir()
	bootstrap := []string{"admin", "bootstrap", "--demo", "--key-dir", dir}

	r := loom(t, env('a'), "admin", "bootstrap", "--key-dir", filepath.Join(dir, "nowhere"))
	if r.code != 1 || !strings.Contains(r.stderr, "no key was made") {
		t.Errorf("a directory that is not there: exit code %d, want 1:\n%s", r.code, r.stderr)
	}

	if err := os.WriteFile(filepath.Join(dir, "admin_key"), []byte("of another database\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r = loom(t, env('a'), bootstrap...)
	if r.code != 0 {
		t.Fatalf("exit code %d:\n%s", r.code, r.stderr)
	}
	key := func(name string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, mode %v, want 0600", name, err, info.Mode())
		}
		return strings.TrimSpace(string(text))
	}
	admin, demo := key("admin_key"), key("demo_key")
	if !strings.HasPrefix(admin, "loom_adm_") || !strings.HasPrefix(demo, "loom_sk_") {
		t.Errorf("keys are %.9s… and %.8s…, want loom_adm_ and loom_sk_", admin, demo)
	}
	if strings.Contains(r.stdout+r.stderr, admin) {
		t.Errorf("the admin key is shown:\n%s", r.stdout)
	}
	for _, want := range []string{"https://loom.example/v1", demo, filepath.Join(dir, "admin_key")} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("the page lacks %s:\n%s", want, r.stdout)
		}
	}
	if got := key("admin_key.old"); got != "of another database" {
		t.Errorf("the key that was there: got %q", got)
	}

	// Once more: nothing is made, and nothing is wrong.
	r = loom(t, env('a'), bootstrap...)
	if r.code != 0 || key("admin_key") != admin || strings.Contains(r.stdout, demo) {
		t.Errorf("a second time: exit code %d, key kept: %v:\n%s%s", r.code, key("admin_key") == admin, r.stdout, r.stderr)
	}
	if files, err := filepath.Glob(filepath.Join(dir, ".admin_key-*")); err != nil || len(files) > 0 {
		t.Errorf("left behind: %v, %v", files, err)
	}
	// With another master key it says so.
	r = loom(t, env('b'), bootstrap...)
	if r.code != 1 || !strings.Contains(r.stderr, "master key") {
		t.Errorf("another master key: exit code %d, want 1 and why:\n%s", r.code, r.stderr)
	}
}
