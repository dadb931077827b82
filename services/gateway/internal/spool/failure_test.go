package spool

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"

	"loom.internal/services/gateway/internal/spool/disk/disktest"
)

// started opens a spool on the disk and runs it within a bubble.
func started(t *testing.T, disk *disktest.Disk, opt Options) (s *Spool, stop func() error) {
	t.Helper()
	s, err := OpenOn(disk, opt)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	return s, func() error { cancel(); return <-ran }
}

// TestFailedSyncIsFinal: after a failed fdatasync nothing is acknowledged any more.
func TestFailedSyncIsFinal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := disktest.New(rand.New(rand.NewPCG(1, 1)))
		s, stop := started(t, disk, Options{Durability: Power})
		if err := s.Begin(t.Context(), [16]byte{1}, nil, 10); err != nil {
			t.Fatal(err)
		}
		disk.FailSync(0)
		if err := s.End(t.Context(), [16]byte{1}, nil); !errors.Is(err, ErrFailed) {
			t.Errorf("end: got %v, want failed", err)
		}
		if err := s.Begin(t.Context(), [16]byte{2}, nil, 10); !errors.Is(err, ErrFailed) {
			t.Errorf("begin: got %v, want failed", err)
		}
		if _, err := s.Next(t.Context(), Position{}, 1, 1); !errors.Is(err, ErrFailed) {
			t.Errorf("next: got %v, want failed", err)
		}
		if err := stop(); !errors.Is(err, ErrFailed) {
			t.Errorf("run: got %v, want failed", err)
		}
	})
}

// TestDiskFull: others fill the disk. What is begun can end, nothing else begins, and
// it passes with the lack of space.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := disktest.New(rand.New(rand.NewPCG(1, 1)))
		s, stop := started(t, disk, Options{})
		ctx, end := t.Context(), make([]byte, 3<<20)
		if err := s.Begin(ctx, [16]byte{1}, nil, len(end)); err != nil {
			t.Fatal(err)
		}
		disk.Limit(disk.Used())
		for i := byte(2); ; i++ { // up to a step may have been taken ahead
			err := s.Begin(ctx, [16]byte{i}, nil, 1<<20)
			if errors.Is(err, ErrFull) {
				break
			}
			if err != nil || i > 3 {
				t.Fatalf("begin %d: got %v, want full", i, err)
			}
		}
		if err := s.End(ctx, [16]byte{1}, append(end, make([]byte, 2<<20)...)); !errors.Is(err, ErrFull) {
			t.Errorf("end over its reserve: got %v, want full", err)
		}
		if err := s.End(ctx, [16]byte{1}, end); err != nil {
			t.Errorf("end within its reserve: %v", err)
		}
		disk.Limit(0)
		if err := s.Begin(ctx, [16]byte{9}, nil, 1<<20); err != nil {
			t.Errorf("begin after the disk has space: %v", err)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestInterruptedRefused: a begin the callback cannot end is set aside, others are ended.
func TestInterruptedRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := disktest.New(rand.New(rand.NewPCG(1, 1)))
		s, stop := started(t, disk, Options{})
		if err := errors.Join(s.Begin(t.Context(), [16]byte{1}, []byte("bad"), 10), s.Begin(t.Context(), [16]byte{2}, []byte("good"), 10), stop()); err != nil {
			t.Fatal(err)
		}
		s, stop = started(t, disk, Options{Interrupted: func(_ [16]byte, begin []byte) ([]byte, error) {
			if string(begin) == "bad" {
				return nil, errors.New("no such tenant")
			}
			return begin, nil
		}})
		entries, err := s.Next(t.Context(), Position{}, 9, 99)
		if err != nil || len(entries) != 1 || !entries[0].Interrupted || string(entries[0].Payload) != "good" || entries[0].Position != (Position{s.Epoch(), 1}) {
			t.Errorf("got %+v, %v", entries, err)
		}
		reasons := ""
		for name, data := range disk.Files() {
			if strings.HasSuffix(name, ".txt") {
				reasons += string(data)
			}
		}
		if !strings.Contains(reasons, "no such tenant") {
			t.Errorf("in quarantine: %q", reasons)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		if st := s.Stats(); st.Open != 0 || st.Reserved != 0 {
			t.Errorf("stats %+v", st)
		}
	})
}
