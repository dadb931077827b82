package proc_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"loom.internal/bench/internal/proc"
)

// child starts a shell that appends a line to its log at each start.
func child(t *testing.T, then string) (p *proc.Proc, starts func(want int)) {
	t.Helper()
	log := filepath.Join(t.TempDir(), "log")
	p = proc.New(proc.Spec{Name: "child", Path: "/bin/sh", Args: []string{"-c", "echo up; " + then}, Log: log})
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p, func(want int) {
		t.Helper()
		deadline := time.NewTimer(10 * time.Second)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			b, err := os.ReadFile(log)
			if err == nil && len(b) >= want*len("up\n") {
				return
			}
			select {
			case <-tick.C:
			case <-deadline.C:
				t.Fatalf("log is %q, want %d starts", b, want)
			}
		}
	}
}

func TestKillAndStop(t *testing.T) {
	t.Parallel()
	p, starts := child(t, "exec sleep 60")
	starts(1)
	called := false
	if err := p.Kill(t.Context(), func() error { called = true; return nil }); err != nil || !called {
		t.Fatalf("kill: %v, called %v", err, called)
	}
	starts(2)
	broken := errors.New("broken")
	if err := p.Stop(t.Context(), func() error { return broken }); !errors.Is(err, broken) {
		t.Fatalf("stop: got %v", err)
	}
	starts(3)
	if k, s, f := p.Kills.Load(), p.Stops.Load(), p.Falls.Load(); k != 1 || s != 1 || f != 0 {
		t.Errorf("got %d kills, %d stops, %d falls, want 1, 1, 0", k, s, f)
	}
	if err := errors.Join(p.Close(), p.Close()); err != nil {
		t.Error(err)
	}
	if err := p.Kill(t.Context(), func() error { return nil }); err == nil {
		t.Error("kill after close: got no error")
	}
}

func TestFallIsCountedAndMended(t *testing.T) {
	t.Parallel()
	p, starts := child(t, "true")
	starts(3)
	if got := p.Falls.Load(); got < 2 {
		t.Errorf("falls: got %d, want at least 2", got)
	}
}

// TestDeathIsNoFall has a child that kills itself, as at a fault point, and tells its
// lives apart by what it is armed with.
func TestDeathIsNoFall(t *testing.T) {
	t.Parallel()
	log := filepath.Join(t.TempDir(), "log")
	lives := 0
	p := proc.New(proc.Spec{
		Name: "child", Path: "/bin/sh", Args: []string{"-c", `echo "$LIFE"; [ "$LIFE" -gt 3 ] && exec sleep 60; kill -9 $$`}, Log: log,
		Arm: func() []string { lives++; return []string{"LIFE=" + strconv.Itoa(lives)} },
	})
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close() }()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for want := "1\n2\n3\n4\n"; ; {
		if b, err := os.ReadFile(log); err == nil && string(b) == want {
			break
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("got %d lives, want %q in the log", lives, want)
		}
	}
	if d, f := p.Deaths.Load(), p.Falls.Load(); d != 3 || f != 0 {
		t.Errorf("got %d deaths, %d falls, want 3, 0", d, f)
	}
}

func TestVictimNotKnown(t *testing.T) {
	t.Parallel()
	gone := errors.New("no pid yet")
	p := proc.New(proc.Spec{
		Name: "child", Path: "/bin/sleep", Args: []string{"60"}, Log: filepath.Join(t.TempDir(), "log"),
		Victim: func() (int, error) { return 0, gone },
	})
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(t.Context(), func() error { return nil }); !errors.Is(err, gone) || p.Kills.Load() != 0 {
		t.Errorf("got %v and %d kills", err, p.Kills.Load())
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}
