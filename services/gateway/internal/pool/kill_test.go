package pool_test

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"loom.internal/services/gateway/internal/pool"
	"loom.internal/services/gateway/internal/spool"
	"loom.internal/services/gateway/internal/spool/disk"
)

// serveForever is the child of TestKill: a gateway that prints what it has acknowledged,
// begun and ended, and what it has brought to Postgres.
func serveForever(dir string) {
	p := pool.New(pool.Options{Place: pool.Dir(dir), Every: 20 * time.Millisecond, Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry()})
	s, err := p.Take(spool.Options{SegmentBytes: 20000})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	ctx := context.Background()
	publish := func(_ context.Context, s *spool.Spool) error {
		var after spool.Position
		for {
			entries, err := s.Next(ctx, after, 50, 1<<20)
			if err != nil {
				return nil //nolint:nilerr // it has ended
			}
			var b strings.Builder
			for _, e := range entries {
				fmt.Fprintf(&b, "stored %x %s/%d/%d\n", e.ID, s.Producer(), e.Epoch, e.Seq)
			}
			// One write, before it is confirmed: what the pipe has, Postgres has.
			if _, err := os.Stdout.WriteString(b.String()); err != nil {
				return err
			}
			after = entries[len(entries)-1].Position
			s.Confirm(after.Epoch, after.Seq)
		}
	}
	go func() { fmt.Println("error", s.Run(ctx)) }()
	go func() { fmt.Println("error", p.Run(ctx, publish)) }()
	go func() { _ = publish(ctx, s) }()
	for i := uint64(0); ; i++ {
		id := newID(s.Epoch()<<24 | i)
		copy(id[:], s.Producer()[:8])
		if s.Begin(ctx, id, id[:], 2000) != nil {
			return
		}
		fmt.Printf("begun %x\n", id)
		if i%5 == 4 {
			continue // it never ends
		}
		if s.End(ctx, id, make([]byte, 1+i%2000)) != nil {
			return
		}
		fmt.Printf("ended %x\n", id)
	}
}

// TestKill kills gateways at any moment, also while they adopt, and starts fewer and more
// of them; in the end all that was acknowledged is stored, in one place. It is not parallel,
// like TestTakersInProcesses.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	promised, stored := map[string]bool{}, map[string]string{}
	read := func(line string) {
		f := strings.Fields(line)
		if len(f) < 2 || len(f[1]) != 32 {
			return // cut by the kill
		}
		if _, err := hex.DecodeString(f[1]); err != nil {
			t.Errorf("line %q", line)
		}
		switch {
		case f[0] == "begun", f[0] == "ended":
			promised[f[1]] = true
		case f[0] == "stored" && len(f) == 3:
			if was, ok := stored[f[1]]; ok && was != f[2] {
				t.Errorf("%s is at %s and at %s", f[1], was, f[2])
			}
			stored[f[1]] = f[2]
		default:
			t.Errorf("line %q", line)
		}
	}
	for range 8 {
		type child struct {
			cmd   *exec.Cmd
			lines *bufio.Scanner
			kill  int
		}
		var children []child
		for range 1 + rng.IntN(4) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-pool.gateway", dir)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			children = append(children, child{cmd, bufio.NewScanner(out), rng.IntN(3000)})
		}
		for _, c := range children { // those behind it wait at their pipes, in the midst of something
			for n := 0; c.lines.Scan(); n++ {
				if read(c.lines.Text()); n == c.kill {
					_ = c.cmd.Process.Kill()
				}
			}
			_ = c.cmd.Wait()
		}
	}
	// One gateway is left, with nothing to do but to empty the others' spools.
	reg := prometheus.NewRegistry()
	p := pool.New(pool.Options{Place: pool.Dir(dir), Every: 20 * time.Millisecond, Log: slog.New(slog.DiscardHandler), Metrics: reg})
	s, err := p.Take(spool.Options{SegmentBytes: 20000})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	lines := make(chan string, 1000)
	publish := func(ctx context.Context, s *spool.Spool) error {
		ctx = context.WithoutCancel(ctx) // it ends with the spool
		var after spool.Position
		for {
			entries, err := s.Next(ctx, after, 50, 1<<20)
			if errors.Is(err, spool.ErrClosed) {
				return nil
			}
			if err != nil {
				return err
			}
			for _, e := range entries {
				lines <- fmt.Sprintf("stored %x %s/%d/%d", e.ID, s.Producer(), e.Epoch, e.Seq)
			}
			after = entries[len(entries)-1].Position
			s.Confirm(after.Epoch, after.Seq)
		}
	}
	done := make(chan error, 3)
	go func() { done <- s.Run(ctx) }()
	go func() { done <- p.Run(ctx, publish) }()
	go func() { done <- publish(ctx, s) }()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for over := 0; over < 3; {
		select {
		case line := <-lines:
			read(line)
		case err := <-done:
			if over++; err != nil {
				t.Error(err)
			}
		case <-tick.C:
			if missing(promised, stored) == 0 && emptied(t, dir, s) {
				cancel()
			}
		}
	}
	for len(lines) > 0 {
		read(<-lines)
	}
	if n := missing(promised, stored); n > 0 {
		t.Errorf("%d of %d requests are lost", n, len(promised))
	}
	if !emptied(t, dir, s) {
		t.Error("spools are not empty")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	t.Logf("%d requests promised, %d stored", len(promised), len(stored))
}

func missing(promised map[string]bool, stored map[string]string) (n int) {
	for id := range promised {
		if _, ok := stored[id]; !ok {
			n++
		}
	}
	return n
}

// emptied reports whether nothing is left in any directory but that of s, and nothing in s.
func emptied(tb testing.TB, dir string, s *spool.Spool) bool {
	tb.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		tb.Fatal(err)
	}
	full := 0
	for _, name := range names {
		err := spool.Read(name, func(d disk.Dir) error {
			left, err := spool.LeftOn(d)
			if left.Any() {
				full++
			}
			return err
		})
		if err != nil {
			tb.Fatal(err)
		}
	}
	st := s.Stats()
	return full <= 1 && st.Events == 0 && st.Open == 0
}
