package spool_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"loom.internal/services/gateway/internal/spool"
	"loom.internal/services/gateway/internal/spool/disk"
)

// left looks at a directory from outside.
func left(tb testing.TB, dir string) (l spool.Left, events uint64) {
	tb.Helper()
	err := spool.Read(dir, func(d disk.Dir) (err error) {
		if l, err = spool.LeftOn(d); err != nil {
			return err
		}
		events, err = spool.CountOn(d)
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return l, events
}

// What is seen of a spool from outside, from its first start until it is cleared. It is not
// parallel: a process that another test starts has the locks of this one for an instant.
func TestLeft(t *testing.T) {
	dir := t.TempDir()
	look := func(what string, wantAny bool, wantEvents uint64, wantHeld bool) {
		t.Helper()
		l, events := left(t, dir)
		held, err := spool.Held(dir)
		if l.Any() != wantAny || events != wantEvents || held != wantHeld || err != nil {
			t.Errorf("%s: got %+v with %d events, held %v, %v, want any %v, %d, %v", what, l, events, held, err, wantAny, wantEvents, wantHeld)
		}
	}
	s, stop := run(t, dir, spool.Options{SegmentBytes: 300})
	look("new", false, 0, true)
	for n := uint64(1); n <= 6; n++ {
		if err := s.Begin(t.Context(), newID(n), []byte("begun"), 100); err != nil {
			t.Fatal(err)
		}
		if n == 6 {
			break // it stays open
		}
		if err := s.End(t.Context(), newID(n), []byte("ended")); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	look("five ended and one open", true, 6, false)

	names, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	if err != nil || len(names) < 2 {
		t.Fatalf("%d segments, %v", len(names), err)
	}
	data, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	damaged := append([]byte(nil), data...)
	damaged[len(data)-len("ended")-40] ^= 1 // the header of the last record
	if err := os.WriteFile(names[0], damaged, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, events := left(t, dir); events < 5 || events > 6 {
		t.Errorf("with damage: %d events", events)
	}
	if err := os.WriteFile(names[0], data, 0o600); err != nil {
		t.Fatal(err)
	}

	s, err = spool.Open(dir, spool.Options{SegmentBytes: 300, Durability: spool.Power})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	var last spool.Position
	for seen := 0; seen < 6; {
		entries, err := s.Next(t.Context(), last, 10, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		seen, last = seen+len(entries), entries[len(entries)-1].Position
		s.Confirm(last.Epoch, last.Seq-1) // all but the last of each
	}
	cancel()
	if err := <-ran; err != nil {
		t.Fatal(err)
	}
	if cleared, err := s.Clear(); cleared || err != nil {
		t.Errorf("clear what is not confirmed: %v, %v", cleared, err)
	}
	for epoch, n := range s.Numbers() {
		s.Confirm(epoch, n.Highest)
	}
	if cleared, err := s.Clear(); !cleared || err != nil {
		t.Errorf("clear what is confirmed: %v, %v", cleared, err)
	}
	producer := s.Producer()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	look("cleared", false, 0, false)
	s, stop = run(t, dir, spool.Options{})
	defer stop()
	if s.Producer() != producer {
		t.Errorf("producer was %s, is %s", producer, s.Producer())
	}
	look("taken again", false, 0, true)
	if _, err := spool.Held(filepath.Join(dir, "nowhere")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("held nowhere: %v", err)
	}
}
