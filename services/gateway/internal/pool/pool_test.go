package pool_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"loom.internal/services/gateway/internal/pool"
	"loom.internal/services/gateway/internal/spool"
	"loom.internal/services/gateway/internal/spool/disk"
)

var (
	takerFlag   = flag.String("pool.taker", "", "take a spool in this directory, and hold it until standard input ends")
	gatewayFlag = flag.String("pool.gateway", "", "be a gateway with its spool in this directory, until killed")
)

func TestMain(m *testing.M) {
	flag.Parse()
	switch {
	case *takerFlag != "":
		takeAndHold(*takerFlag)
		return
	case *gatewayFlag != "":
		serveForever(*gatewayFlag)
		return
	}
	goleak.VerifyTestMain(m)
}

func newPool(place pool.Place) *pool.Pool {
	return pool.New(pool.Options{Place: place, Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry()})
}

// take takes a spool and tells its name.
func take(tb testing.TB, dir string) (s *spool.Spool, name string) {
	tb.Helper()
	var log strings.Builder
	p := pool.New(pool.Options{Place: pool.Dir(dir), Log: slog.New(slog.NewTextHandler(&log, nil)), Metrics: prometheus.NewRegistry()})
	s, err := p.Take(spool.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	_, name, _ = strings.Cut(log.String(), `"spool is taken" spool=`)
	name, _, _ = strings.Cut(name, " ")
	return s, name
}

func newID(n uint64) (id [16]byte) {
	binary.BigEndian.PutUint64(id[8:], n)
	return id
}

// leave makes a spool with so many ended requests and as many more that have not ended.
func leave(tb testing.TB, dir string, from, ended, open uint64) {
	tb.Helper()
	s, err := spool.Open(dir, spool.Options{SegmentBytes: 2000})
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	for n := from; n < from+ended+open; n++ {
		if err := s.Begin(ctx, newID(n), []byte("begun"), 100); err != nil {
			tb.Error(err)
		}
		if n < from+ended {
			if err := s.End(ctx, newID(n), []byte("ended")); err != nil {
				tb.Error(err)
			}
		}
	}
	cancel()
	if err := errors.Join(<-ran, s.Close()); err != nil {
		tb.Error(err)
	}
}

func TestTakePrefersWhatHasSomethingLeft(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "spools")
	var held []*spool.Spool
	for _, want := range []string{"gw-000", "gw-001", "gw-002"} {
		s, name := take(t, dir)
		if held = append(held, s); name != want {
			t.Errorf("took %s, want %s", name, want)
		}
	}
	producer := held[1].Producer()
	for _, s := range held {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	leave(t, filepath.Join(dir, "gw-001"), 1, 1, 0)
	for _, want := range []string{"gw-001", "gw-000", "gw-002", "gw-003"} {
		s, name := take(t, dir)
		defer s.Close()
		if name != want {
			t.Errorf("took %s, want %s", name, want)
		}
		if st := s.Stats(); want == "gw-001" && (s.Producer() != producer || st.Events != 1) {
			t.Errorf("took %s of producer %s with %d events, want %s with 1", name, s.Producer(), st.Events, producer)
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode of the place: %v %v", info.Mode(), err)
	}
}

// Whoever takes at once, each gets one of its own: here on file descriptions of their own
// in one process.
func TestTakersAtOnce(t *testing.T) {
	t.Parallel()
	const takers = 24
	dir := t.TempDir()
	for round := range 3 {
		producers, held := make([]string, takers), make([]*spool.Spool, takers)
		var all sync.WaitGroup
		for i := range takers {
			all.Go(func() {
				s, err := newPool(pool.Dir(dir)).Take(spool.Options{})
				if err != nil {
					t.Error(err)
					return
				}
				held[i], producers[i] = s, s.Producer()
			})
		}
		all.Wait()
		slices.Sort(producers)
		if n := len(slices.Compact(producers)); n != takers {
			t.Errorf("round %d: %d takers have %d spools", round, takers, n)
		}
		for _, s := range held {
			if s != nil {
				_ = s.Close()
			}
		}
		if names, err := os.ReadDir(dir); err != nil || len(names) != takers {
			t.Errorf("round %d: %d directories for %d takers, %v", round, len(names), takers, err)
		}
	}
}

// takeAndHold is the child of TestTakersInProcesses.
func takeAndHold(dir string) {
	s, err := newPool(pool.Dir(dir)).Take(spool.Options{})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	fmt.Println(s.Producer())
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// Processes that are killed give free what they had, and the next get the same spools.
//
// It is not parallel: a process that is being started has the locks of this one for an
// instant, which other tests would see.
func TestTakersInProcesses(t *testing.T) {
	const takers = 6
	dir := t.TempDir()
	var before []string
	for range 2 {
		var producers []string
		var cmds []*exec.Cmd
		var outs []*bufio.Reader
		for range takers {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-pool.taker", dir)
			if _, err := cmd.StdinPipe(); err != nil {
				t.Fatal(err)
			}
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			cmds, outs = append(cmds, cmd), append(outs, bufio.NewReader(out))
		}
		for _, out := range outs {
			line, err := out.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			producers = append(producers, strings.TrimSpace(line))
		}
		for _, cmd := range cmds {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
		slices.Sort(producers)
		if n := len(slices.Compact(slices.Clone(producers))); n != takers {
			t.Fatalf("%d processes have %d spools: %q", takers, n, producers)
		}
		if before != nil && !slices.Equal(before, producers) {
			t.Errorf("spools were %q, are %q", before, producers)
		}
		before = producers
	}
}

func TestTakeRefuses(t *testing.T) {
	t.Parallel()
	single := t.TempDir()
	leave(t, single, 1, 1, 0)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		place pool.Place
		want  string
	}{
		"a spool itself":    {pool.Dir(single), "move all that is in " + single + " into " + filepath.Join(single, "gw-000")},
		"a file":            {pool.Dir(file), "not a directory: name a directory"},
		"below a file":      {pool.Dir(filepath.Join(file, "spool")), "not a directory: name a directory"},
		"read-only":         {failing{syscall.EROFS}, "make it writable for this account, or name another place"},
		"no permission":     {failing{syscall.EACCES}, "make it writable for this account, or name another place"},
		"full":              {failing{syscall.ENOSPC}, "free some space there, or name another place"},
		"without locks":     {failing{syscall.ENOLCK}, "name a place on a local disk"},
		"everything locked": {failing{spool.ErrLocked}, "all 1000 spools are in use: stop gateways, or give this one another place"},
	} {
		_, err := newPool(c.place).Take(spool.Options{})
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v, want one line with %q", name, err, c.want)
		}
	}
}

// failing is a place in which nothing can be opened.
type failing struct{ err error }

func (f failing) Names() ([]string, error)                { return []string{"gw-000", "gw-007", "lost+found"}, nil }
func (f failing) Read(string, func(disk.Dir) error) error { return f.err }
func (f failing) Held(string) (bool, error)               { return false, f.err }
func (f failing) Open(string, spool.Options) (*spool.Spool, error) {
	return nil, fmt.Errorf("open: %w", f.err)
}

// What a newer program has left is not in the way of this one, and is left alone.
func TestTakePassesOverWhatItCannotOpen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	newer := filepath.Join(dir, "gw-000")
	if err := os.Mkdir(newer, 0o700); err != nil {
		t.Fatal(err)
	}
	line := []byte("loom-spool 2 something new e70e207f\n")
	if err := os.WriteFile(filepath.Join(newer, "state"), line, 0o600); err != nil {
		t.Fatal(err)
	}
	s, name := take(t, dir)
	defer s.Close()
	if name != "gw-001" {
		t.Errorf("took %s, want gw-001", name)
	}
	if b, err := os.ReadFile(filepath.Join(newer, "state")); err != nil || string(b) != string(line) {
		t.Errorf("state of the other is %q, %v", b, err)
	}
}
