package main_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"loom.internal/pkg/local"
)

// TestOpenAIAndManifest starts with OPENAI_API_KEY and --config.
func TestOpenAIAndManifest(t *testing.T) {
	t.Parallel()
	const openAI = "providers: [{name: openai, kind: openai, base_url: 'https://api.openai.com/v1', secret: %s}]\n" +
		"routes: [{model: 'gpt-*', targets: [{provider: openai}]}, {model: 'o4*', targets: [{provider: openai}]}]\n"
	dir, manifest := dataDir(t), write(t, "tenants: [{id: weavers, keys: [{name: app}]}]\n")
	first := up(t, dir, []string{"OPENAI_API_KEY=sk-one", "LOOM_CONFIG=" + manifest})
	if !strings.Contains(first.stdout.String(), "weavers/app  loom_sk_") {
		t.Errorf("the new key is not on the start page:\n%s", first.stdout.String())
	}
	same := write(t, strings.ReplaceAll(openAI, "%s", "sk-one"))
	if out := first.cli(t, "apply", "--dry-run", "-f", same); !strings.HasPrefix(out, "No changes.") {
		t.Errorf("openai is not configured as expected:\n%s", out)
	}
	// The operator's own route stays over the next start, a new key does not.
	own := write(t, "routes: [{model: 'gpt-*', targets: [{provider: demo, model: loom-demo}]}]\n")
	first.cli(t, "apply", "-f", own)
	first.interrupted(t, os.Interrupt)

	second := up(t, dir, []string{"OPENAI_API_KEY=sk-two"}, "--config", manifest)
	if strings.Contains(second.stdout.String(), "loom_sk_") {
		t.Errorf("a key is shown again:\n%s", second.stdout.String())
	}
	if out := second.cli(t, "apply", "--dry-run", "-f", own); !strings.HasPrefix(out, "No changes.") {
		t.Errorf("the operator's route was changed:\n%s", out)
	}
	if out := second.cli(t, "apply", "--dry-run", "-f", same); !strings.Contains(out, "~ provider openai: secret\n") {
		t.Errorf("the new key did not replace the old:\n%s", out)
	}
}

// TestManifestFaultsStopTheStart: what is seen in the file alone stops it before
// anything runs, what only the database knows, after.
func TestManifestFaultsStopTheStart(t *testing.T) {
	t.Parallel()
	args := func(dir, manifest string) []string {
		return []string{"up", "--data-dir", dir, "--gateway-addr", "127.0.0.1:0", "--dashboard-addr", "127.0.0.1:0", "--config", manifest}
	}
	dir := dataDir(t)
	broken := write(t, "routes: []\nroute: []\n")
	r := loom(t, nil, args(dir, broken)...)
	if r.code != 1 || !strings.Contains(r.stderr, broken+":2: route: unknown key") {
		t.Errorf("exit code %d, want 1 and the line:\n%s", r.code, r.stderr)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Error("something was started")
	}
	lost := write(t, "routes:\n  - {model: m, targets: [{provider: nobody}]}\n")
	r = loom(t, nil, args(dir, lost)...)
	if r.code != 1 || !strings.Contains(r.stderr, lost+":2: routes[0].targets[0].provider: ") {
		t.Errorf("exit code %d, want 1 and the line:\n%s", r.code, r.stderr)
	}
}

// TestGivenDatabase runs Loom on a Postgres that is there already.
func TestGivenDatabase(t *testing.T) {
	t.Parallel()
	pg, err := local.StartPostgres(t.Context(), local.PostgresOptions{Dir: dataDir(t), InstallDebian: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pg.Stop(context.Background()) })
	if err := pg.EnsureDatabase(t.Context(), "given"); err != nil {
		t.Fatal(err)
	}
	dir, env := dataDir(t), []string{"LOOM_DATABASE_URL=" + pg.SuperDSN("given")}
	in := up(t, dir, env)
	if _, err := os.Stat(filepath.Join(dir, "pg")); !os.IsNotExist(err) {
		t.Error("a Postgres of its own was started")
	}
	if code := in.ask(t, in.env.APIKey, "loom-demo", "hello"); code != 200 {
		t.Errorf("got %d, want 200", code)
	}
	in.interrupted(t, os.Interrupt)

	// Another directory has another master key, which cannot open what is there.
	other := dataDir(t)
	args := []string{"up", "--data-dir", other, "--gateway-addr", "127.0.0.1:0", "--dashboard-addr", "127.0.0.1:0"}
	for range 2 {
		r := loom(t, env, args...)
		if r.code != 1 || !strings.Contains(r.stderr, "the database was filled under another master key") {
			t.Errorf("exit code %d, want 1 and why:\n%s", r.code, r.stderr)
		}
	}
	if r := loom(t, []string{"ENCRYPTION_MASTER_KEY=" + strings.Repeat("0f", 31) + "0e"}, "up", "--data-dir", dir, "--gateway-addr", "127.0.0.1:0", "--dashboard-addr", "127.0.0.1:0"); r.code != 1 ||
		!strings.Contains(r.stderr, "ENCRYPTION_MASTER_KEY is another key than the one in "+filepath.Join(dir, "master.key")) {
		t.Errorf("exit code %d, want 1 and why:\n%s", r.code, r.stderr)
	}
}
