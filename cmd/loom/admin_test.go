package main_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestRevokedKey(t *testing.T) {
	t.Parallel()
	in := running(t)
	key, id := in.tenant(t, "revoked")
	in.answers(t, key, http.StatusOK)
	if out := in.cli(t, "key", "revoke", id); out != "Key "+id+" is revoked.\n" {
		t.Errorf("got %q", out)
	}
	in.answers(t, key, http.StatusUnauthorized)
	in.cli(t, "key", "revoke", id)
	if out := in.cli(t, "key", "list", "revoked"); !strings.Contains(out, id) || !strings.Contains(out, "revoked 20") {
		t.Errorf("list: got\n%s", out)
	}
}

func TestInactiveTenant(t *testing.T) {
	t.Parallel()
	in := running(t)
	key, _ := in.tenant(t, "sleepy")
	in.answers(t, key, http.StatusOK)
	in.cli(t, "tenant", "deactivate", "sleepy")
	in.answers(t, key, http.StatusUnauthorized)
	if out := in.cli(t, "tenant", "list"); !strings.Contains(out, "inactive") {
		t.Errorf("list: got\n%s", out)
	}
	in.cli(t, "tenant", "activate", "sleepy")
	in.answers(t, key, http.StatusOK)
}

// answers waits until the gateway treats a key so, a second at most.
func (in *instance) answers(t *testing.T, key string, want int) {
	t.Helper()
	eventually(t, time.Second, func() error {
		if got := in.ask(t, key, "loom-demo", "hello"); got != want {
			return fmt.Errorf("got %d, want %d", got, want)
		}
		return nil
	})
}

func TestApply(t *testing.T) {
	t.Parallel()
	in := running(t)
	const text = `
providers: [{name: applied, kind: compatible, base_url: "https://llm.example/v1", secret: "${APPLY_SECRET}"}]
routes: [{model: "applied-*", targets: [{provider: applied, weight: %d}]}]
tenants: [{id: applied, name: Applied, keys: [{name: ci, scopes: [chat]}]}]
prices: [{provider: applied, model: m, from: 2026-01-01, input: "0.15", output: "0.60"}]
`
	env := []string{"LOOM_DATA_DIR=" + in.dir, "APPLY_SECRET=sk-applied"}
	file := write(t, fmt.Sprintf(text, 1))
	for _, step := range []struct {
		name, file string
		flags      []string
		want       []string
		secret     bool
	}{
		{"dry run", file, []string{"--dry-run"}, []string{"+ provider applied\n", "+ route    applied-*\n", "+ tenant   applied\n", "+ key      applied/ci\n", "This was a dry run"}, false},
		{"first", file, nil, []string{"+ provider applied\n", "+ key      applied/ci\n"}, true},
		{"again", file, nil, []string{"No changes.\n"}, false},
		{"changed, dry run", write(t, fmt.Sprintf(text, 2)), []string{"--dry-run"}, []string{"~ route    applied-*: targets\n", "1 to change"}, false},
	} {
		r := loom(t, env, append([]string{"apply", "-f", step.file}, step.flags...)...)
		if r.code != 0 {
			t.Fatalf("%s: exit code %d\n%s", step.name, r.code, r.stderr)
		}
		for _, want := range step.want {
			if !strings.Contains(r.stdout, want) {
				t.Errorf("%s: want %q in\n%s", step.name, want, r.stdout)
			}
		}
		if got := strings.Contains(r.stdout, "loom_sk_"); got != step.secret {
			t.Errorf("%s: a key's secret is shown: %v, want %v\n%s", step.name, got, step.secret, r.stdout)
		}
		if strings.Contains(r.stdout+r.stderr, "sk-applied") {
			t.Errorf("%s: shows the provider's secret", step.name)
		}
	}
}

func TestBrokenManifest(t *testing.T) {
	t.Parallel()
	in := running(t)
	env := []string{"LOOM_DATA_DIR=" + in.dir}
	broken := loom(t, env, "apply", "-f", filepath.Join("internal", "manifestfile", "testdata", "broken.yaml"))
	if broken.code != 1 || !strings.Contains(broken.stderr, "36 faults, nothing was applied:\n") ||
		!strings.Contains(broken.stderr, "broken.yaml:62: pricess: unknown key") {
		t.Errorf("exit code %d, want 1 and 36 faults:\n%s", broken.code, broken.stderr)
	}

	// What only the server can know has its line too.
	file := write(t, "tenants:\n  - id: never-made\nroutes:\n  - model: lost\n    targets:\n      - provider: demo\n      - provider: nobody\n")
	refused := loom(t, env, "apply", "-f", file)
	if refused.code != 1 || !strings.Contains(refused.stderr, file+":7: routes[0].targets[1].provider: ") {
		t.Errorf("exit code %d, want 1 and the line of the provider:\n%s", refused.code, refused.stderr)
	}
	if out := in.cli(t, "tenant", "list"); strings.Contains(out, "never-made") {
		t.Errorf("a part was applied:\n%s", out)
	}
}

func TestWithoutALoom(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "none")
	for _, c := range []struct {
		name string
		env  []string
		args []string
		code int
		want string
	}{
		{"unknown command", nil, []string{"weave"}, 2, `unknown command "weave" for "loom"`},
		{"unknown subcommand", nil, []string{"key", "make"}, 2, `unknown command "make" for "loom key"`},
		{"unknown flag", nil, []string{"up", "--port", "1"}, 2, "unknown flag: --port"},
		{"missing argument", nil, []string{"key", "list"}, 2, "accepts 1 arg(s), received 0"},
		{"missing file", nil, []string{"apply"}, 2, "name the file: -f loom.yaml"},
		{"bad expiry", nil, []string{"key", "create", "a", "b", "--expires", "soon"}, 2, `--expires "soon": want a duration`},
		{"no dashboard known", []string{"LOOM_DATA_DIR=" + dir}, []string{"tenant", "list"}, 1, "no dashboard to talk to: set --dashboard-url or LOOM_DASHBOARD_URL"},
		{"no admin key", []string{"LOOM_DATA_DIR=" + dir}, []string{"tenant", "list", "--dashboard-url", "http://127.0.0.1:1"}, 1, "no admin key: set LOOM_ADMIN_KEY"},
		{"no dashboard there", []string{"LOOM_ADMIN_KEY=k"}, []string{"tenant", "list", "--dashboard-url", "http://127.0.0.1:1"}, 1, "the dashboard does not answer at http://127.0.0.1:1"},
		{"verify of no days", nil, []string{"verify", "--days", "0"}, 2, "--days 0: want 1 to 31"},
		{"dead of nobody", nil, []string{"dead", "list", "--consumer", "x"}, 2, `--consumer "x": want recorder or analytics`},
		{"dead without id", nil, []string{"dead", "retry"}, 2, "name the events by their ids, or give --all"},
		{"dead with a bad id", nil, []string{"dead", "show", "x"}, 2, `"x" is not the id of an event`},
		{"no file", nil, []string{"apply", "-f", filepath.Join(dir, "loom.yaml")}, 1, "no such file"},
		{"gateway without master key", nil, []string{"gateway"}, 1, "ENCRYPTION_MASTER_KEY: the master key must be 32 random bytes as 64 hex digits or as base64; make one with: openssl rand -hex 32 (it is not set)"},
		{"gateway with a bad one", []string{"ENCRYPTION_MASTER_KEY=short"}, []string{"gateway"}, 1, "ENCRYPTION_MASTER_KEY: version 1: the master key must be 32 random bytes"},
		{"dashboard without master key", []string{"LOOM_DASHBOARD_DATABASE_URL=postgres://h/d", "LOOM_DASHBOARD_ADMIN_DATABASE_URL=postgres://h/d"}, []string{"dashboard"}, 1, "ENCRYPTION_MASTER_KEY: the master key must be"},
		{"recorder without database", nil, []string{"recorder"}, 1, "LOOM_RECORDER_DATABASE_URL is missing"},
		{"analytics without database", nil, []string{"analytics"}, 1, "LOOM_ANALYTICS_DATABASE_URL is missing"},
		{"migrate without anything", nil, []string{"migrate"}, 1, "LOOM_MIGRATE_DATABASE_URL and LOOM_MIGRATE_NATS_URL are missing"},
		{"up with a bad address", nil, []string{"up", "--gateway-addr", "8080", "--data-dir", dir}, 1, `LOOM_GATEWAY_ADDR "8080": want host:port`},
		{"up with a bad drain", nil, []string{"up", "--drain", "1h", "--data-dir", dir}, 1, "LOOM_DRAIN 1h0m0s: want more than 0 and at most 1m"},
		{"up with a bad level", nil, []string{"up", "--log-level", "loud", "--data-dir", dir}, 1, `log level "loud": want debug, info, warn or error`},
		{"up with a bad master key", []string{"ENCRYPTION_MASTER_KEY=short"}, []string{"up", "--data-dir", dir, "--gateway-addr", "127.0.0.1:0", "--dashboard-addr", "127.0.0.1:0"}, 1, "ENCRYPTION_MASTER_KEY: version 1: the master key must be 32 random bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := loom(t, c.env, c.args...)
			if r.code != c.code || !strings.Contains(r.stderr, c.want) {
				t.Errorf("got exit code %d, want %d, and %q in:\n%s", r.code, c.code, c.want, r.stderr)
			}
		})
	}
}

func TestHelpAndVersion(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "Available Commands:"},
		{[]string{"key"}, "Manage the API keys of tenants"},
		{[]string{"version"}, "loom "},
		{[]string{"config"}, "| `LOOM_GATEWAY_ADDR` |"},
	} {
		if r := loom(t, nil, c.args...); r.code != 0 || !strings.Contains(r.stdout, c.want) {
			t.Errorf("loom %v: exit code %d, want %q in:\n%s", c.args, r.code, c.want, r.stdout)
		}
	}
}
