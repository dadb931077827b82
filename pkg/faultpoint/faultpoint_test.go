package faultpoint_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"loom.internal/pkg/faultpoint"
)

// build compiles the probe, a program with points in it.
func build(t *testing.T, args ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "probe")
	args = append(append([]string{"build", "-o", path}, args...), "./testdata/probe")
	if out, err := exec.CommandContext(t.Context(), "go", args...).CombinedOutput(); err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return path
}

// run gives what the probe printed and the signal it died by.
func run(t *testing.T, path string, env ...string) (stdout, stderr string, code int, died syscall.Signal) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), path, "2000", "recorder")
	var out, errs bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = env, &out, &errs
	err := cmd.Run()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatal(err)
	}
	status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		died = status.Signal()
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode(), died
}

// TestNothingIsLeftWithoutTheTag looks for the names in the program: arguments of a
// call that is made are there, those of one that is compiled away are not.
func TestNothingIsLeftWithoutTheTag(t *testing.T) {
	t.Parallel()
	for tags, want := range map[string]bool{"": false, "faultpoints": true} {
		path := build(t, "-tags="+tags)
		program, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"gateway.begun", "loom.internal/pkg/faultpoint.Hit"} {
			if got := bytes.Contains(program, []byte(text)); got != want {
				t.Errorf("tags %q: %q in the program: got %v, want %v", tags, text, got, want)
			}
		}
		if tags == "" {
			if out, _, _, died := run(t, path, "LOOM_FAULTPOINTS=gateway.begun=1"); out != "survived\n" || died != 0 {
				t.Errorf("without the tag: printed %q, died by %v", out, died)
			}
		}
	}
}

func TestDiesWhereItIsTold(t *testing.T) {
	t.Parallel()
	path := build(t, "-tags=faultpoints")
	log := filepath.Join(t.TempDir(), "log")
	for _, c := range []struct {
		points string
		want   string // the log afterwards
	}{
		{"gateway.begun=1", "gateway.begun\n"},
		{"recorder.committed=1,gateway.begun=0", "gateway.begun\nrecorder.committed\n"},
		{"gateway.begun=0.01", "gateway.begun\nrecorder.committed\ngateway.begun\n"},
	} {
		out, errs, _, died := run(t, path, "LOOM_FAULTPOINTS="+c.points, "LOOM_FAULTPOINT_LOG="+log, "LOOM_FAULTPOINT_SEED=1")
		if out != "" || errs != "" || died != syscall.SIGKILL {
			t.Errorf("%s: printed %q and %q, died by %v, want SIGKILL", c.points, out, errs, died)
		}
		if got, err := os.ReadFile(log); err != nil || string(got) != c.want {
			t.Errorf("%s: the log is %q, %v, want %q", c.points, got, err, c.want)
		}
	}
	for _, env := range []string{"", "LOOM_FAULTPOINTS=gateway.begun=0", "LOOM_FAULTPOINTS=analytics.committed=1"} {
		if out, _, code, _ := run(t, path, env); out != "survived\n" || code != 0 {
			t.Errorf("%s: printed %q, exit %d", env, out, code)
		}
	}
}

func TestRefusesWhatItCannotRead(t *testing.T) {
	t.Parallel()
	path := build(t, "-tags=faultpoints")
	for env, want := range map[string]string{
		"LOOM_FAULTPOINTS=gateway.begin=1":    `no point is called "gateway.begin", there are spool.after_state, `,
		"LOOM_FAULTPOINTS=gateway.begun":      "want a probability",
		"LOOM_FAULTPOINTS=gateway.begun=1.5":  "want a probability",
		"LOOM_FAULTPOINTS=gateway.begun=NaN":  "want a probability",
		"LOOM_FAULTPOINTS=gateway.begun=0,x=": `no point is called "x"`,
		"LOOM_FAULTPOINT_SEED=-1":             "LOOM_FAULTPOINT_SEED",
	} {
		out, errs, code, _ := run(t, path, env)
		if out != "" || code != 2 || !strings.Contains(errs, want) {
			t.Errorf("%s: exit %d, printed %q and %q, want %q", env, code, out, errs, want)
		}
	}
}

func TestNamesAreDistinct(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for _, name := range faultpoint.Names() {
		part, point, ok := strings.Cut(name, ".")
		if !ok || part == "" || point == "" || seen[name] {
			t.Errorf("name %q: want part.name, once", name)
		}
		seen[name] = true
	}
}
