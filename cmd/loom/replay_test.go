package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestReplayFlags(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, c := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"nothing to do", nil, 2, "say what to build: --projection traces|usage|rollups|all"},
		{"unknown projection", []string{"--projection", "bodies"}, 2, `--projection "bodies": want one of traces, usage, rollups, all`},
		{"no day", []string{"--projection", "all", "--from", "today"}, 2, `--from: "today": want a day such as 2026-01-31`},
		{"no such day", []string{"--projection", "all", "--to", "2026-02-30"}, 2, `--to: "2026-02-30"`},
		{"days the wrong way", []string{"--projection", "all", "--from", "2026-02-02", "--to", "2026-02-01"}, 2, "the last day is before the first"},
		{"no tenant", []string{"--projection", "all", "--tenant", "A.B"}, 2, `"A.B" is not the id of a tenant`},
		{"abort with more", []string{"--abort", "--projection", "all"}, 2, "--abort goes alone"},
		{"export with a projection", []string{"--out", "x", "--projection", "all"}, 2, "leave out --projection and --dry-run"},
		{"an argument", []string{"all"}, 2, "unknown command"},
		{"no NATS", []string{"--projection", "all", "--data-dir", dir}, 1, "no NATS: set --nats-url or LOOM_NATS_URL, or --data-dir to that of a running `loom up`"},
		{"no database", []string{"--abort", "--data-dir", dir}, 1, "no database: set --database-url or LOOM_DATABASE_URL"},
		{"no database for rollups", []string{"--projection", "rollups", "--data-dir", dir}, 1, "no database"},
		{"broker away", []string{"--out", "-", "--nats-url", "nats://127.0.0.1:1"}, 1, "connect to NATS"},
		{"database away", []string{"--projection", "rollups", "--database-url", "postgres://u:hunter2@127.0.0.1:1/loom"}, 1, "database unavailable"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := loom(t, nil, append([]string{"replay"}, c.args...)...)
			if r.code != c.code || !strings.Contains(r.stderr, c.want) || strings.Contains(r.stderr, "hunter2") {
				t.Errorf("got exit code %d, want %d, and %q in:\n%s", r.code, c.code, c.want, r.stderr)
			}
		})
	}
}

// TestReplay replays a running loom up, which it finds by its data directory.
func TestReplay(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	in := up(t, dir, nil, "--log-level", "error")
	key, _ := in.tenant(t, "acme")
	ask := func(n int) {
		t.Helper()
		for range n {
			if got := in.ask(t, key, "loom-demo", "hello"); got != http.StatusOK {
				t.Fatalf("status %d", got)
			}
		}
	}
	ask(6)
	complete := func(facts int64) {
		t.Helper()
		eventually(t, 30*time.Second, func() error {
			var report struct {
				State string
				Days  []struct{ Traces, Facts int64 }
			}
			if err := json.Unmarshal([]byte(in.cli(t, "verify", "--json", "--days", "2")), &report); err != nil {
				return err
			}
			if n := report.Days[0].Facts + report.Days[1].Facts; report.State != "complete" || n != facts {
				return fmt.Errorf("got %+v, want %d facts", report, facts)
			}
			return nil
		})
	}
	complete(6)
	out := in.cli(t, "replay", "--projection", "all", "--dry-run")
	for _, want := range []string{"CARRIED OVER", "usage_facts 6 6 0 0 0 $", "6 applied", "nothing was changed"} {
		if !strings.Contains(strings.Join(strings.Fields(out), " "), want) {
			t.Errorf("dry run: want %q in:\n%s", want, out)
		}
	}
	var report struct {
		Swapped  bool
		Compared []struct{ Different int64 }
	}
	if err := json.Unmarshal([]byte(in.cli(t, "replay", "--projection", "all", "--json")), &report); err != nil || !report.Swapped || len(report.Compared) != 3 {
		t.Errorf("replay: got %+v, %v", report, err)
	}
	ask(2)
	complete(8)
	if out := in.cli(t, "replay", "--projection", "rollups"); !strings.Contains(out, "every rollup is what the ledger comes to") {
		t.Errorf("rollups: got %s", out)
	}
	file := filepath.Join(t.TempDir(), "events.jsonl")
	if out := in.cli(t, "replay", "--out", file, "--tenant", "acme"); !strings.HasPrefix(out, "8 of 8 events written") {
		t.Errorf("export: got %s", out)
	}
	lines, err := os.ReadFile(file)
	if err != nil || strings.Count(string(lines), "\n") != 8 || strings.Contains(string(lines), "hello") {
		t.Errorf("export: %v, want 8 lines with sealed bodies:\n%s", err, lines)
	}
	if out := in.cli(t, "replay", "--out", "-", "--tenant", "acme"); out != string(lines) {
		t.Errorf("export to the standard output differs:\n%s", out)
	}
	if r := loom(t, []string{"LOOM_DATA_DIR=" + dir}, "replay", "--abort"); r.code != 1 || !strings.Contains(r.stderr, "there is no unfinished replay") {
		t.Errorf("abort of nothing: exit code %d\n%s", r.code, r.stderr)
	}
	in.interrupted(t, os.Interrupt)
	if r := loom(t, []string{"LOOM_DATA_DIR=" + dir}, "replay", "--projection", "all"); r.code != 1 || !strings.Contains(r.stderr, "none runs in "+dir) {
		t.Errorf("after the stop: exit code %d\n%s", r.code, r.stderr)
	}
}
