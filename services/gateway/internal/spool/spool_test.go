package spool_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"loom.internal/services/gateway/internal/spool"
)

var child = flag.String("spool.child", "", "append to the spool in this directory until killed")

func TestMain(m *testing.M) {
	flag.Parse()
	if *child != "" {
		appendForever(*child)
	}
	goleak.VerifyTestMain(m)
}

func newID(n uint64) (id [16]byte) {
	binary.BigEndian.PutUint64(id[8:], n)
	return id
}

// run opens a spool and runs it. stop ends and closes it.
func run(tb testing.TB, dir string, opt spool.Options) (s *spool.Spool, stop func()) {
	tb.Helper()
	s, err := spool.Open(dir, opt)
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	return s, sync.OnceFunc(func() {
		cancel()
		if err := errors.Join(<-ran, s.Close()); err != nil {
			tb.Error(err)
		}
	})
}

// rest returns what is delivered after Run has ended.
func rest(tb testing.TB, s *spool.Spool) (all []spool.Entry) {
	tb.Helper()
	var after spool.Position
	for {
		entries, err := s.Next(context.Background(), after, 1000, 8<<20)
		if errors.Is(err, spool.ErrClosed) {
			return all
		}
		if err != nil {
			tb.Fatal(err)
		}
		all = append(all, entries...)
		after = all[len(all)-1].Position
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	gone, cancel := context.WithCancel(ctx)
	cancel()
	s, stop := run(t, t.TempDir(), spool.Options{MaxBytes: 10000})
	defer stop()
	id := newID(1)
	if err := s.Begin(ctx, id, []byte("b"), 100); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		got  error
		want error
	}{
		{"begin twice", s.Begin(ctx, id, nil, 0), spool.ErrBegun},
		{"end without begin", s.End(ctx, newID(2), nil), spool.ErrNotBegun},
		{"begin too large", s.Begin(ctx, newID(3), make([]byte, spool.MaxPayload+1), 0), spool.ErrTooLarge},
		{"reserve too large", s.Begin(ctx, newID(3), nil, spool.MaxPayload+1), spool.ErrTooLarge},
		{"reserve negative", s.Begin(ctx, newID(3), nil, -1), spool.ErrTooLarge},
		{"no room for begin", s.Begin(ctx, newID(3), make([]byte, 10000), 0), spool.ErrFull},
		{"no room for the reserve", s.Begin(ctx, newID(3), nil, 10000), spool.ErrFull},
		{"no room for end", s.End(ctx, id, make([]byte, 10000)), spool.ErrFull},
		{"context over", s.Begin(gone, newID(4), nil, 0), context.Canceled},
		{"end within the reserve", s.End(ctx, id, make([]byte, 100)), nil},
		{"end twice", s.End(ctx, id, nil), spool.ErrNotBegun},
	} {
		if !errors.Is(c.got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, c.got, c.want)
		}
	}
	if _, err := s.Next(gone, spool.Position{Epoch: s.Epoch(), Seq: 1}, 1, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("next: got %v, want canceled", err)
	}
	if _, err := s.Next(ctx, spool.Position{}, 0, 1); err == nil {
		t.Error("next of nothing: no error")
	}
	stop()
	if err := s.Begin(ctx, newID(5), nil, 0); !errors.Is(err, spool.ErrClosed) {
		t.Errorf("begin after Run: got %v, want closed", err)
	}
	for _, opt := range []spool.Options{{Durability: "disk"}, {MaxBytes: -1}, {SegmentBytes: -1}} {
		if _, err := spool.Open(t.TempDir(), opt); err == nil {
			t.Errorf("open with %+v: no error", opt)
		}
	}
}

func TestFullPassesWithConfirm(t *testing.T) {
	t.Parallel()
	s, stop := run(t, t.TempDir(), spool.Options{MaxBytes: 20000})
	defer stop()
	ctx := t.Context()
	n := uint64(0)
	fill := func() error {
		for {
			n++
			if err := s.Begin(ctx, newID(n), make([]byte, 100), 500); err != nil {
				return err
			}
			if err := s.End(ctx, newID(n), make([]byte, 500)); err != nil {
				t.Fatal("end:", err)
			}
		}
	}
	for range 3 {
		if err := fill(); !errors.Is(err, spool.ErrFull) {
			t.Fatalf("got %v, want full", err)
		}
		s.Confirm(s.Epoch(), n)
		for deadline := time.Now().Add(5 * time.Second); s.Stats().Bytes > 10000; <-time.After(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("nothing was removed: %+v", s.Stats())
			}
		}
	}
}

func TestOneOwner(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "spool")
	_, stop := run(t, dir, spool.Options{})
	_, err := spool.Open(dir, spool.Options{})
	if !errors.Is(err, spool.ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("process %d", os.Getpid())) {
		t.Errorf("got %v, want locked by %d", err, os.Getpid())
	}
	stop()
	_, stop = run(t, dir, spool.Options{})
	stop()
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("directory: %v %v, want 0700", info.Mode(), err)
	}
	names, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, name := range names {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v, want 0600", name, info.Mode(), err)
		}
	}
}

// TestOneOwnerOfTwoProcesses: while a process has the directory nobody else gets it, and
// the error names the process; when it is killed the directory is free.
func TestOneOwnerOfTwoProcesses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-spool.child", dir)
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(pipe)
	lines.Scan() // it is open
	before, _ := os.ReadFile(filepath.Join(dir, "state"))
	_, err = spool.Open(dir, spool.Options{})
	if want := fmt.Sprintf("process %d has %s; stop it, or", cmd.Process.Pid, dir); !errors.Is(err, spool.ErrLocked) || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want locked: %s", err, want)
	}
	if after, _ := os.ReadFile(filepath.Join(dir, "state")); !bytes.Equal(before, after) || len(before) == 0 {
		t.Errorf("state was %q, is %q", before, after)
	}
	_ = cmd.Process.Kill()
	for lines.Scan() {
	}
	_ = cmd.Wait()
	_, stop := run(t, dir, spool.Options{})
	stop()
}

// TestNewerSegmentIsLeftAlone: one segment of a later format is enough for the directory
// to be refused, and not a byte of it changes.
func TestNewerSegmentIsLeftAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for range 3 { // a segment each
		s, stop := run(t, dir, spool.Options{})
		if err := errors.Join(s.Begin(t.Context(), newID(s.Epoch()), nil, 9), s.End(t.Context(), newID(s.Epoch()), nil)); err != nil {
			t.Fatal(err)
		}
		stop()
	}
	name := filepath.Join(dir, "0000000002.seg")
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	const newer = 2
	binary.LittleEndian.PutUint32(data[12:], binary.LittleEndian.Uint32(data[12:])^1^newer) // its sum
	binary.LittleEndian.PutUint32(data[8:], newer)
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	content := func() string {
		var all strings.Builder
		names, _ := filepath.Glob(filepath.Join(dir, "*"))
		for _, name := range names {
			b, err := os.ReadFile(name)
			fmt.Fprintln(&all, name, string(b), err)
		}
		return all.String()
	}
	before := content()
	if _, err := spool.Open(dir, spool.Options{}); !errors.Is(err, spool.ErrVersion) || !strings.Contains(err.Error(), "format 2, this program knows 1") {
		t.Errorf("got %v, want version", err)
	}
	if after := content(); after != before {
		t.Error("the directory has changed")
	}
}

func TestNewerVersionIsLeftAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	line := []byte("loom-spool 2 something new e70e207f\n")
	if err := os.WriteFile(filepath.Join(dir, "state"), line, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := spool.Open(dir, spool.Options{})
	if !errors.Is(err, spool.ErrVersion) {
		t.Fatalf("got %v, want version", err)
	}
	if b, _ := os.ReadFile(filepath.Join(dir, "state")); !bytes.Equal(b, line) {
		t.Errorf("state is now %q", b)
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	reg := prometheus.NewPedanticRegistry()
	for range 2 {
		s, stop := run(t, dir, spool.Options{Metrics: reg})
		if err := errors.Join(s.Begin(t.Context(), newID(1), nil, 9), s.End(t.Context(), newID(1), []byte("x")), s.Begin(t.Context(), newID(2), nil, 9)); err != nil {
			t.Fatal(err)
		}
		if got, err := reg.Gather(); err != nil || len(got) < 12 {
			t.Errorf("%d families, %v", len(got), err)
		}
		if st := s.Stats(); st.Events == 0 || st.Open != 1 {
			t.Errorf("stats %+v", st)
		}
		stop()
	}
}

func TestConcurrentAppenders(t *testing.T) {
	t.Parallel()
	const callers, each = 32, 50
	s, stop := run(t, t.TempDir(), spool.Options{SegmentBytes: 20000})
	var wg sync.WaitGroup
	for c := range uint64(callers) {
		wg.Go(func() {
			for i := range uint64(each) {
				id := newID(c<<32 | i)
				if err := errors.Join(s.Begin(t.Context(), id, id[:], 100), s.End(t.Context(), id, id[:])); err != nil {
					t.Error(err)
				}
			}
		})
	}
	seen := map[[16]byte]bool{}
	var after spool.Position
	for len(seen) < callers*each {
		entries, err := s.Next(t.Context(), after, 64, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.Seq != after.Seq+1 || seen[e.ID] || !bytes.Equal(e.Payload, e.ID[:]) {
				t.Fatalf("%v after %v: %x", e.Position, after, e.ID)
			}
			seen[e.ID], after = true, e.Position
		}
		s.Confirm(after.Epoch, after.Seq)
	}
	wg.Wait()
	stop()
}

// appendForever is the child of TestKill: it prints what was acknowledged.
func appendForever(dir string) {
	s, err := spool.Open(dir, spool.Options{SegmentBytes: 50000})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	go func() { fmt.Println("error", s.Run(context.Background())) }()
	var out sync.Mutex
	say := func(what string, id [16]byte) {
		out.Lock()
		defer out.Unlock()
		fmt.Printf("%s %x\n", what, id)
	}
	for c := range uint64(8) {
		go func() {
			for i := uint64(0); ; i++ {
				id := newID(s.Epoch()<<40 | c<<32 | i)
				if s.Begin(context.Background(), id, id[:], 2000) != nil {
					return
				}
				say("begin", id)
				if s.End(context.Background(), id, make([]byte, 1+i%2000)) != nil {
					return
				}
				say("end", id)
			}
		}()
	}
	select {}
}

// TestKill kills a process that appends, again and again, and compares what it had
// acknowledged with what the next Open delivers.
func TestKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	begun, ended := map[[16]byte]bool{}, map[[16]byte]bool{}
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	for range 12 {
		cmd := exec.Command(os.Args[0], "-spool.child", dir)
		pipe, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines, kill := bufio.NewScanner(pipe), rng.IntN(1500)
		for n := 0; lines.Scan(); n++ {
			what, text, _ := strings.Cut(lines.Text(), " ")
			b, err := hex.DecodeString(text)
			if err != nil || len(b) != 16 {
				continue // cut by the kill
			}
			switch what {
			case "begin":
				begun[[16]byte(b)] = true
			case "end":
				ended[[16]byte(b)] = true
			}
			if n == kill {
				_ = cmd.Process.Kill()
			}
		}
		_ = cmd.Wait()
	}
	s, err := spool.Open(dir, spool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Run(over); err != nil { // ends what is open, and returns
		t.Fatal(err)
	}
	var last spool.Position
	times := map[[16]byte]int{}
	for _, e := range rest(t, s) {
		if e.Lost || e.Epoch == last.Epoch && e.Seq != last.Seq+1 || e.Epoch != last.Epoch && e.Seq != 1 {
			t.Fatalf("%+v after %v", e.Position, last)
		}
		if last = e.Position; e.Interrupted && ended[e.ID] {
			t.Errorf("%x ended and is interrupted", e.ID)
		}
		times[e.ID]++
	}
	for id := range begun {
		if times[id] != 1 {
			t.Errorf("%x (ended %v) delivered %d times", id, ended[id], times[id])
		}
	}
	if bad, _ := filepath.Glob(filepath.Join(dir, "quarantine", "*")); len(bad) > 0 || len(ended) == 0 {
		t.Errorf("in quarantine after kills: %v; %d ended", bad, len(ended))
	}
	t.Logf("%d begun, %d ended, %d delivered", len(begun), len(ended), len(times))
}
