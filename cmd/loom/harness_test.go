package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"loom.internal/cmd/loom/internal/devenv"
)

// binary is the program under test, built once.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "loom-test-*")
	if err == nil {
		err = os.Chmod(dir, 0o711) // the account Postgres runs as passes through
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary, shared.dir = filepath.Join(dir, "loom"), filepath.Join(dir, "data")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	code := m.Run()
	if shared.in == nil {
		return code
	}
	defer shared.in.kill()
	if exit, took, err := shared.in.stop(os.Interrupt); err != nil || exit != 0 || took > 5*time.Second {
		fmt.Fprintf(os.Stderr, "Ctrl-C: exit code %d after %v, want 0 within 5 s: %v\n%s", exit, took, err, shared.in.stderr.String())
		return 1
	}
	return code
}

// dataDir is a directory that also the account Postgres runs as may reach.
func dataDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o711); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "loom")
}

// environment is that of the tests without any setting of Loom.
func environment(extra ...string) []string {
	var env []string
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if name == "LOOM_PG_BIN" || !strings.HasPrefix(name, "LOOM_") && name != "OPENAI_API_KEY" && name != "ENCRYPTION_MASTER_KEY" {
			env = append(env, v)
		}
	}
	return append(env, extra...)
}

// result is how a command ended.
type result struct {
	code           int
	stdout, stderr string
}

// loom runs a command to its end.
func loom(t *testing.T, env []string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	var stdout, stderr bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = environment(env...), &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || ctx.Err() != nil) {
		t.Fatalf("loom %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// instance is a running `loom up`.
type instance struct {
	dir    string
	cmd    *exec.Cmd
	took   time.Duration // to its start page
	env    devenv.Env
	ended  chan struct{}
	stdout output
	stderr output
}

// output collects what a process writes, to be read meanwhile.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// start starts Loom on free ports and waits for its start page.
func start(dir string, env []string, args ...string) (*instance, error) {
	in := &instance{dir: dir, ended: make(chan struct{})}
	args = append([]string{"up", "--data-dir", dir, "--gateway-addr", "127.0.0.1:0", "--dashboard-addr", "127.0.0.1:0"}, args...)
	in.cmd = exec.Command(binary, args...)
	in.cmd.Env, in.cmd.Stdout, in.cmd.Stderr = environment(env...), &in.stdout, &in.stderr
	began := time.Now()
	if err := in.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { _ = in.cmd.Wait(); close(in.ended) }()

	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(60 * time.Second)
	for !strings.Contains(in.stdout.String(), "Ctrl-C stops Loom.") {
		select {
		case <-tick.C:
		case <-in.ended:
			return nil, fmt.Errorf("loom up ended: %v\n%s", in.cmd.ProcessState, in.stderr.String())
		case <-deadline:
			in.kill()
			return nil, fmt.Errorf("loom up is not ready after 60 s\n%s", in.stderr.String())
		}
	}
	in.took = time.Since(began)
	var err error
	in.env, err = devenv.Read(dir)
	return in, err
}

func (in *instance) kill() {
	_ = in.cmd.Process.Kill() // one that has ended is what we want
	<-in.ended
}

// up starts a Loom for one test. It is killed at the test's end if it still runs.
func up(t *testing.T, dir string, env []string, args ...string) *instance {
	t.Helper()
	in, err := start(dir, env, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(in.kill)
	return in
}

// shared is one Loom for all tests that leave it as they found it. TestMain stops it.
var shared struct {
	once sync.Once
	dir  string
	in   *instance
	err  error
}

func running(t *testing.T) *instance {
	t.Helper()
	shared.once.Do(func() { shared.in, shared.err = start(shared.dir, nil) })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.in
}

// stop sends a signal and waits for the end.
func (in *instance) stop(sig os.Signal) (code int, took time.Duration, err error) {
	began := time.Now()
	if err := in.cmd.Process.Signal(sig); err != nil {
		return 0, 0, err
	}
	select {
	case <-in.ended:
		return in.cmd.ProcessState.ExitCode(), time.Since(began), nil
	case <-time.After(30 * time.Second):
		return 0, time.Since(began), errors.New("it does not end")
	}
}

// interrupted checks that Loom stops as it should.
func (in *instance) interrupted(t *testing.T, sig os.Signal) {
	t.Helper()
	if code, took, err := in.stop(sig); err != nil || code != 0 || took > 5*time.Second {
		t.Fatalf("%v: exit code %d after %v, want 0 within 5 s: %v\n%s", sig, code, took, err, in.stderr.String())
	}
}

// postgres is the pid of the child.
func (in *instance) postgres(t *testing.T) int {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(in.dir, "pg", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(data), "\n")
	pid, err := strconv.Atoi(line)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// gone waits until a process is no more.
func gone(t *testing.T, pid int) {
	t.Helper()
	eventually(t, 5*time.Second, func() error {
		if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("process %d is still there", pid)
		}
		return nil
	})
}

// cli runs a command against the instance, which must succeed.
func (in *instance) cli(t *testing.T, args ...string) string {
	t.Helper()
	r := loom(t, []string{"LOOM_DATA_DIR=" + in.dir}, args...)
	if r.code != 0 {
		t.Fatalf("loom %s: exit code %d\n%s", strings.Join(args, " "), r.code, r.stderr)
	}
	return r.stdout
}

// tenant makes a tenant of its own for a test, and a key.
func (in *instance) tenant(t *testing.T, id string) (key, keyID string) {
	t.Helper()
	in.cli(t, "tenant", "create", id)
	var made struct{ ID, Secret string }
	if err := json.Unmarshal([]byte(in.cli(t, "key", "create", id, "test", "--json")), &made); err != nil {
		t.Fatal(err)
	}
	return made.Secret, made.ID
}

// get reads from the dashboard's API.
func (in *instance) get(key, path string, out any) error {
	req, err := http.NewRequest(http.MethodGet, in.env.DashboardURL+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+key)
	return do(req, http.StatusOK, out)
}

// ask sends a completion and gives the status.
func (in *instance) ask(t *testing.T, key, model, text string) int {
	t.Helper()
	status, err := in.complete(key, model, text)
	if err != nil {
		t.Fatal(err)
	}
	return status
}

// complete sends a completion and gives the status, when the answer has ended.
func (in *instance) complete(key, model, text string) (status int, err error) {
	body, err := json.Marshal(map[string]any{"model": model, "messages": []any{map[string]string{"role": "user", "content": text}}})
	if err != nil {
		return 0, err
	}
	req, err := http.NewRequest(http.MethodPost, in.env.BaseURL+"/chat/completions", bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

func do(req *http.Request, want int, out any) error {
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != want {
		return fmt.Errorf("%s %s: got %d, want %d: %s", req.Method, req.URL.Path, resp.StatusCode, want, data)
	}
	return json.Unmarshal(data, out)
}

// eventually fails the test if f still returns an error after the time.
func eventually(t *testing.T, within time.Duration, f func() error) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(within)
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("after %v: %v", within, err)
		}
	}
}
