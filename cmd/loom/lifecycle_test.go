package main_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// slack is for start times on a machine that runs all tests at once.
const slack = 3

// TestStartsAndStops takes one data directory through every way a Loom ends.
func TestStartsAndStops(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	first := up(t, dir, nil)
	firstStart(t, first)
	key := first.env.APIKey
	if code := first.ask(t, key, "loom-demo", "first"); code != http.StatusOK {
		t.Fatalf("got %d, want 200", code)
	}

	second := loom(t, nil, "up", "--data-dir", dir, "--gateway-addr", "127.0.0.1:0", "--dashboard-addr", "127.0.0.1:0")
	if want := fmt.Sprintf("in use by another process (pid %d)", first.cmd.Process.Pid); second.code != 1 || !strings.Contains(second.stderr, want) {
		t.Errorf("second up: exit code %d, want 1 and %q:\n%s", second.code, want, second.stderr)
	}

	postgres := first.postgres(t)
	first.interrupted(t, os.Interrupt)
	gone(t, postgres)

	warm := up(t, dir, nil)
	if warm.took > slack*3*time.Second {
		t.Errorf("the second start took %v, want about 3 s at most", warm.took)
	}
	if warm.env.APIKey != key || warm.env.AdminKey != first.env.AdminKey {
		t.Error("the second start has other keys")
	}
	if strings.Contains(warm.stdout.String(), key) {
		t.Errorf("the second start prints the key where no person reads:\n%s", warm.stdout.String())
	}
	warm.traces(t, key, 1, 5*time.Second)
	if code := warm.ask(t, key, "loom-demo", "second"); code != http.StatusOK {
		t.Errorf("the key of the first start: got %d, want 200", code)
	}
	warm.traces(t, key, 2, 5*time.Second)

	postgres = warm.postgres(t)
	warm.kill()
	again := up(t, dir, nil)
	gone(t, postgres)
	again.traces(t, key, 2, 5*time.Second)
	if code := again.ask(t, key, "loom-demo", "third"); code != http.StatusOK {
		t.Errorf("after kill -9: got %d, want 200", code)
	}

	// Postgres dies under it.
	if err := syscall.Kill(again.postgres(t), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case <-again.ended:
	case <-time.After(15 * time.Second):
		t.Fatal("loom up goes on without Postgres")
	}
	if code := again.cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(again.stderr.String(), "PostgreSQL ended: signal: killed") {
		t.Errorf("without Postgres: exit code %d, want 1 and why:\n%s", code, again.stderr.String())
	}

	last := up(t, dir, nil)
	// What the recorder had in hand when Postgres died is delivered again half a minute later.
	last.traces(t, key, 3, 45*time.Second)
	last.interrupted(t, syscall.SIGTERM)
}

// firstStart checks what a start on an empty directory says and leaves.
func firstStart(t *testing.T, in *instance) {
	t.Helper()
	for _, want := range []string{
		in.env.BaseURL, in.env.DashboardURL, in.env.APIKey,
		"curl -N " + in.env.BaseURL + "/chat/completions",
		filepath.Join(in.dir, "dev.env"), filepath.Join(in.dir, "master.key"),
	} {
		if want == "" || !strings.Contains(in.stdout.String(), want) {
			t.Errorf("the start page lacks %q:\n%s", want, in.stdout.String())
		}
	}
	if strings.Contains(in.stdout.String(), in.env.AdminKey) || in.env.AdminKey == "" {
		t.Errorf("admin key %q: want one, and not on the start page", in.env.AdminKey)
	}
	if s := in.stderr.String(); s != "" {
		t.Errorf("a start with nothing to complain about logs:\n%s", s)
	}
	for _, file := range []string{"dev.env", "master.key"} {
		st, err := os.Stat(filepath.Join(in.dir, file))
		if err != nil {
			t.Error(err)
		} else if st.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, want 0600", file, st.Mode().Perm())
		}
	}
	if in.took > slack*10*time.Second {
		t.Errorf("the first start took %v, want about 10 s at most", in.took)
	}
}

// traces waits until a key's tenant has so many.
func (in *instance) traces(t *testing.T, key string, want int, within time.Duration) {
	t.Helper()
	eventually(t, within, func() error {
		var page struct{ Items []trace }
		if err := in.get(key, "/api/v1/traces?range=1h", &page); err != nil {
			return err
		}
		if len(page.Items) != want {
			return fmt.Errorf("%d traces, want %d", len(page.Items), want)
		}
		return nil
	})
}

// TestNothingIsStoredInClear looks for a prompt in every byte a Loom leaves on disk.
func TestNothingIsStoredInClear(t *testing.T) {
	t.Parallel()
	const canary = "canary-7c1f0e52-of-the-prompt"
	in := up(t, dataDir(t), nil)
	if code := in.ask(t, in.env.APIKey, "loom-demo", canary); code != http.StatusOK {
		t.Fatalf("got %d, want 200", code)
	}
	in.traces(t, in.env.APIKey, 1, 5*time.Second)
	stored := filesWith(t, in.dir, []byte("loom-demo"))
	if len(stored["pg"]) == 0 || len(stored["nats"]) == 0 {
		t.Errorf("the model's name, which is in clear, is in %v: want it in pg and nats, or the search finds nothing", stored)
	}
	if got := filesWith(t, in.dir, []byte(canary)); len(got) > 0 {
		t.Errorf("while running, the prompt is in %v", got)
	}
	in.interrupted(t, os.Interrupt)
	if got := filesWith(t, in.dir, []byte(canary)); len(got) > 0 {
		t.Errorf("after the stop, the prompt is in %v", got)
	}
	if strings.Contains(in.stdout.String()+in.stderr.String(), canary) {
		t.Error("the prompt is in the log")
	}
}

// filesWith lists the files that hold text, by the directory below root.
func filesWith(t *testing.T, root string, text []byte) map[string][]string {
	t.Helper()
	found := make(map[string][]string)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil // a running server removes files
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			return nil
		}
		if err == nil && bytes.Contains(data, text) {
			rel, _ := filepath.Rel(root, path)
			top, _, _ := strings.Cut(rel, string(filepath.Separator))
			found[top] = append(found[top], rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestPortTaken(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() }) // after the parallel subtests
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	for _, flag := range []string{"gateway-addr", "dashboard-addr", "ops-addr", "nats-addr"} {
		t.Run(flag, func(t *testing.T) {
			t.Parallel()
			dir := dataDir(t)
			args := []string{"up", "--data-dir", dir, "--gateway-addr", "127.0.0.1:0", "--dashboard-addr", "127.0.0.1:0", "--" + flag, ln.Addr().String()}
			r := loom(t, nil, args...)
			want := fmt.Sprintf("port %s is taken by another program: stop it, or choose another port with --%s or LOOM_%s",
				port, flag, strings.ToUpper(strings.ReplaceAll(flag, "-", "_")))
			if r.code != 1 || !strings.Contains(r.stderr, want) {
				t.Errorf("exit code %d, want 1 and %q:\n%s", r.code, want, r.stderr)
			}
			for _, started := range []string{"pg", "nats", "master.key"} {
				if _, err := os.Stat(filepath.Join(dir, started)); !os.IsNotExist(err) {
					t.Errorf("%s is there: something was started", started)
				}
			}
		})
	}
}
