package spool

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"loom.internal/services/gateway/internal/spool/disk/disktest"
)

// TestRestoredDirectoryIsANewEpoch: a directory brought back from a copy does not give the
// numbers again that were given after the copy was made.
func TestRestoredDirectoryIsANewEpoch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := disktest.New(rand.New(rand.NewPCG(1, 1)))
		given := map[uint64]bool{}
		life := func() {
			t.Helper()
			s, stop := started(t, disk, Options{})
			if given[s.Epoch()] {
				t.Errorf("epoch %d is given twice", s.Epoch())
			}
			given[s.Epoch()] = true
			if err := errors.Join(s.Begin(t.Context(), [16]byte{1}, nil, 9), s.End(t.Context(), [16]byte{1}, nil)); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(stop(), s.Close()); err != nil {
				t.Fatal(err)
			}
			<-time.After(time.Second)
		}
		life()
		copied := disk.Files()
		life()
		life()
		disk.Restore(copied)
		life()
	})
}

// TestRefusesSegmentsOfAnother: a segment that was put into another directory would go
// out under the name of that one, whose numbers it does not know.
func TestRefusesSegmentsOfAnother(t *testing.T) {
	t.Parallel()
	made := func() *disktest.Disk {
		disk := disktest.New(rand.New(rand.NewPCG(1, 1)))
		s, err := OpenOn(disk, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		return disk
	}
	one, other := made(), made()
	one.Put(segmentName(7), other.Files()[segmentName(1)])
	before := one.Files()
	if _, err := OpenOn(one, Options{}); !errors.Is(err, ErrForeign) {
		t.Errorf("got %v, want %v", err, ErrForeign)
	}
	for name, data := range one.Files() {
		if !bytes.Equal(data, before[name]) {
			t.Errorf("%s has been changed", name)
		}
	}
}

// TestUnreadBeginIsKept: a begin that a disk does not give for a while is not damaged.
func TestUnreadBeginIsKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := disktest.New(rand.New(rand.NewPCG(1, 1)))
		s, stop := started(t, disk, Options{})
		if err := s.Begin(t.Context(), [16]byte{1}, []byte("begun"), 9); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(stop(), s.Close()); err != nil {
			t.Fatal(err)
		}
		s, err := OpenOn(disk, Options{})
		if err != nil {
			t.Fatal(err)
		}
		disk.FailReads(true)
		ran := make(chan error, 1)
		go func() { ran <- s.Run(t.Context()) }()
		synctest.Wait()
		disk.FailReads(false)
		entries, err := s.Next(t.Context(), Position{}, 1, 99)
		if err != nil || !entries[0].Interrupted || string(entries[0].Payload) != "begun" {
			t.Errorf("got %+v, %v", entries, err)
		}
		for name := range disk.Files() {
			if _, ok := segmentNumber(name); !ok && name != stateName {
				t.Errorf("%s is set aside", name)
			}
		}
	})
}

// TestConfirmGoesBack: what Postgres has lost is kept again, as far as it is here.
func TestConfirmGoesBack(t *testing.T) {
	t.Parallel()
	s, err := OpenOn(disktest.New(rand.New(rand.NewPCG(1, 1))), Options{})
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- s.Run(t.Context()) }()
	for i := range byte(5) {
		if err := errors.Join(s.Begin(t.Context(), [16]byte{i}, nil, 9), s.End(t.Context(), [16]byte{i}, nil)); err != nil {
			t.Fatal(err)
		}
	}
	s.Confirm(s.Epoch(), 4)
	s.Confirm(s.Epoch(), 2)
	if got := s.Stats().Events; got != 3 {
		t.Errorf("%d events are kept, want 3", got)
	}
	if got, want := s.Last(), (Position{s.Epoch(), 5}); got != want {
		t.Errorf("last is %v, want %v", got, want)
	}
	if got := s.Given(); got != 5 {
		t.Errorf("%d numbers are given, want 5", got)
	}
	if s.Gone(s.Epoch()) != 0 || s.Gone(s.Epoch()+1) == 0 {
		t.Error("what is gone and what is here are not told apart")
	}
}
