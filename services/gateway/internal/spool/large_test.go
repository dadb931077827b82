package spool_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"loom.internal/services/gateway/internal/spool"
)

// noise is a payload as ciphertext is: it does not shrink, and holds anything.
func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}

// A record may be larger than a segment: it gets one of its own, and is read back alone,
// by this process and by the next one.
func TestRecordLargerThanASegment(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	opt := spool.Options{MaxBytes: 256 << 20, SegmentBytes: 1 << 20}
	s, stop := run(t, dir, opt)
	var want [][]byte
	for i, n := range []int{100, 33 << 20, 200, 5 << 20, 300} {
		id, payload := newID(uint64(i)+1), noise(n)
		if err := s.Begin(t.Context(), id, []byte("begin"), n); err != nil {
			t.Fatal(err)
		}
		if err := s.End(t.Context(), id, payload); err != nil {
			t.Fatal(err)
		}
		want = append(want, payload)
	}
	read := func(s *spool.Spool, epoch uint64) {
		t.Helper()
		after := spool.Position{Epoch: epoch}
		for i, payload := range want {
			// What is asked for is less than the large ones: they come one at a time.
			entries, err := s.Next(t.Context(), after, 100, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			if len(entries) != 1 || entries[0].Seq != uint64(i)+1 || !bytes.Equal(entries[0].Payload, payload) {
				t.Fatalf("read %d: %d entries, the first at %v of %d bytes; want %d bytes", i, len(entries), entries[0].Position, len(entries[0].Payload), len(payload))
			}
			after = entries[0].Position
		}
	}
	read(s, s.Epoch())
	epoch := s.Epoch()
	stop()
	s, stop = run(t, dir, opt)
	defer stop()
	read(s, epoch)
	s.Confirm(epoch, 5)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.NewTimer(30 * time.Second)
	defer limit.Stop()
	for s.Stats().Events > 0 || segments(t, dir) > 1 {
		select {
		case <-tick.C:
		case <-limit.C:
			t.Fatalf("%d events in %d segments are kept though all are confirmed", s.Stats().Events, segments(t, dir))
		}
	}
}

func segments(t *testing.T, dir string) int {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

// Damage in a large record costs that one record: those on both sides are read.
func TestDamageInALargeRecord(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, stop := run(t, dir, spool.Options{MaxBytes: 256 << 20})
	for i, n := range []int{100, 20 << 20, 200, 300} {
		id := newID(uint64(i) + 1)
		if err := errors.Join(s.Begin(t.Context(), id, nil, n), s.End(t.Context(), id, noise(n))); err != nil {
			t.Fatal(err)
		}
	}
	epoch := s.Epoch()
	stop()
	names, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if st, err := os.Stat(name); err != nil || st.Size() < 20<<20 {
			continue
		}
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte("damage"), 10<<20); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s, stop = run(t, dir, spool.Options{MaxBytes: 256 << 20})
	defer stop()
	for after := (spool.Position{Epoch: epoch}); after.Seq < 4; {
		entries, err := s.Next(context.WithoutCancel(t.Context()), after, 100, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.Lost != (e.Seq == 2) {
				t.Errorf("entry %d: lost is %v", e.Seq, e.Lost)
			}
			after = e.Position
		}
	}
	kept, err := filepath.Glob(filepath.Join(dir, "quarantine", "*"))
	if err != nil || len(kept) != 2 {
		t.Errorf("quarantine holds %v, %v; want the bytes and the reason", kept, err)
	}
}

// A large end within its reserve is taken by a spool that is full for everything else.
func TestLargeEndWithinItsReserve(t *testing.T) {
	t.Parallel()
	s, stop := run(t, t.TempDir(), spool.Options{MaxBytes: 64 << 20})
	defer stop()
	const large = 33 << 20
	if err := s.Begin(t.Context(), newID(1), nil, large); err != nil {
		t.Fatal(err)
	}
	if err := s.Begin(t.Context(), newID(2), nil, large); !errors.Is(err, spool.ErrFull) {
		t.Fatalf("a second one: %v, want ErrFull", err)
	}
	if err := s.Begin(t.Context(), newID(3), nil, 100); err != nil {
		t.Fatal(err)
	}
	if err := s.End(t.Context(), newID(3), noise(large)); !errors.Is(err, spool.ErrFull) {
		t.Fatalf("an end beyond its reserve: %v, want ErrFull", err)
	}
	if err := errors.Join(s.End(t.Context(), newID(3), noise(100)), s.End(t.Context(), newID(1), noise(large))); err != nil {
		t.Error(err)
	}
}
