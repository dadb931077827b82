// Package solo is a whole Loom in one process, `loom up`, with a data directory of its
// own that goes with it.
package solo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"loom.internal/bench/internal/proc"
)

const (
	startLimit = 90 * time.Second
	pollEvery  = 100 * time.Millisecond
)

// Loom is one that runs.
type Loom struct {
	Binary string // of loom
	Data   string // its data directory

	dir  string
	proc *proc.Proc
}

// Start builds loom, starts it on free ports and waits until it is ready. The caller
// closes it.
func Start(ctx context.Context) (*Loom, error) {
	dir, err := os.MkdirTemp("", "loom-solo-*")
	if err != nil {
		return nil, err
	}
	l := &Loom{Binary: filepath.Join(dir, "loom"), Data: filepath.Join(dir, "data"), dir: dir}
	if err := errors.Join(os.Chmod(dir, 0o711), l.start(ctx)); err != nil { //nolint:gosec // the account of Postgres has to pass through
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func (l *Loom) start(ctx context.Context) error {
	build := exec.CommandContext(ctx, "go", "build", "-o", l.Binary, "loom.internal/cmd/loom") //nolint:gosec // the run's own directory
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build loom (run from Loom's repository): %w\n%s", err, out)
	}
	log := filepath.Join(l.dir, "log")
	l.proc = proc.New(proc.Spec{
		Kind: "loom", Name: "loom", Path: l.Binary, Log: log, Env: environment(),
		Args: []string{"up", "--data-dir", l.Data, "--gateway-addr", "127.0.0.1:0", "--dashboard-addr", "127.0.0.1:0"},
	})
	if err := l.proc.Start(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		said, err := os.ReadFile(log) //nolint:gosec // in the run's directory
		if err != nil {
			return err
		}
		if strings.Contains(string(said), "Ctrl-C stops Loom.") {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("loom up is not ready: %w\n%s", context.Cause(ctx), said)
		}
	}
}

// environment is that of this process without settings of Loom.
func environment() []string {
	var env []string
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if name == "LOOM_PG_BIN" || !strings.HasPrefix(name, "LOOM_") && name != "OPENAI_API_KEY" && !strings.HasPrefix(name, "ENCRYPTION_MASTER_KEY") {
			env = append(env, v)
		}
	}
	return env
}

// Close stops it and removes what it has stored.
func (l *Loom) Close() error {
	var err error
	if l.proc != nil {
		err = l.proc.Close()
	}
	return errors.Join(err, os.RemoveAll(l.dir))
}
