package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"loom.internal/services/gateway/internal/spool/disk/disktest"
)

// sample is a segment of 20 records, ten begins and ten ends, with where each starts.
func sample(tb testing.TB) (segment, stateFile []byte, ids [][16]byte, starts []int) {
	tb.Helper()
	disk := disktest.New(rand.New(rand.NewPCG(1, 1)))
	s, err := OpenOn(disk, Options{now: func() time.Time { return time.Unix(1700000000, 0) }})
	if err != nil {
		tb.Fatal(err)
	}
	for i := range byte(10) {
		id := [16]byte{i + 1}
		ids = append(ids, id)
		for _, o := range []*op{
			{kind: kindBegin, id: id, payload: []byte("begin"), reserve: 30},
			{kind: kindEnd, id: id, payload: bytes.Repeat([]byte{i}, int(i)+3)},
		} {
			starts = append(starts, int(s.segments[0].size))
			o.sum = checksum(o.payload)
			if err := s.commit([]*op{o}); err != nil || o.err != nil {
				tb.Fatal(err, o.err)
			}
		}
	}
	files := disk.Files()
	return files[segmentName(1)], files[stateName], ids, starts
}

// reopen opens a disk that holds the segments, and returns the spool with all it
// delivers once Run has ended what was left open.
func reopen(t *testing.T, stateFile []byte, segments ...[]byte) (*disktest.Disk, []Entry) {
	t.Helper()
	disk := disktest.New(rand.New(rand.NewPCG(1, 1)))
	if stateFile != nil {
		disk.Put(stateName, stateFile)
	}
	for i, data := range segments {
		disk.Put(segmentName(uint64(i+1)), data)
	}
	s, err := OpenOn(disk, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.endOrphans(); err != nil {
		t.Fatal(err)
	}
	s.stop(ErrClosed)
	var all []Entry
	var after Position
	for {
		entries, err := s.Next(t.Context(), after, 100, 1<<20)
		if errors.Is(err, ErrClosed) {
			return disk, all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, entries...)
		after = all[len(all)-1].Position
	}
}

// quarantined returns the stretches set aside from segment 1, as "offset+bytes".
func quarantined(disk *disktest.Disk) (all []string) {
	for name, data := range disk.Files() {
		if at, ok := strings.CutPrefix(name, "quarantine/0000000001-"); ok && !strings.HasSuffix(at, ".txt") {
			all = append(all, fmt.Sprintf("%s+%d", at, len(data)))
		}
	}
	return all
}

// TestFlipEveryByte damages each byte of a segment in turn: just its record is set
// aside, all others are delivered, and no number is missing.
func TestFlipEveryByte(t *testing.T) {
	t.Parallel()
	segment, stateFile, ids, starts := sample(t)
	for i := range segment {
		for _, flip := range []byte{0x01, 0x80, 0xFF} {
			bad := slices.Clone(segment)
			bad[i] ^= flip
			disk, entries := reopen(t, stateFile, bad)

			from, to, hit := 0, segmentHeaderSize, -1 // what was hit
			if i >= segmentHeaderSize {
				n, _ := slices.BinarySearch(starts, i+1)
				hit, from = n-1, starts[n-1]
				if to = len(segment); n < len(starts) {
					to = starts[n]
				}
			}
			if got, want := quarantined(disk), fmt.Sprintf("%d+%d", from, to-from); len(got) != 1 || got[0] != want {
				t.Fatalf("byte %d ^ %#x: in quarantine %v, want %v", i, flip, got, want)
			}
			want := map[[16]byte]int{}
			for n, id := range ids {
				want[id] = 0
				if hit == 2*n+1 {
					want[id] = 1 // its end is lost: interrupted
				}
			}
			next := uint64(1)
			for _, e := range entries {
				if e.Epoch == 1 && e.Seq != next {
					t.Fatalf("byte %d ^ %#x: seq %d after %d", i, flip, e.Seq, next-1)
				}
				next++
				if e.Lost {
					if hit%2 != 1 || uint64(hit/2+1) != e.Seq {
						t.Fatalf("byte %d ^ %#x: %v is lost, record %d was hit", i, flip, e.Position, hit)
					}
					continue
				}
				if e.Interrupted != (want[e.ID] == 1) {
					t.Fatalf("byte %d ^ %#x: %x: interrupted %v", i, flip, e.ID, e.Interrupted)
				}
				delete(want, e.ID)
			}
			if len(want) > 0 {
				t.Fatalf("byte %d ^ %#x: not delivered: %x", i, flip, want)
			}
		}
	}
}

// TestCutAtEveryByte truncates a segment at each length. As the last segment, the rest
// of a record goes silently; as an earlier one it is damage.
func TestCutAtEveryByte(t *testing.T) {
	t.Parallel()
	segment, stateFile, _, starts := sample(t)
	producer := [16]byte(segment[16:32])
	for size := range segment {
		whole := 0
		for whole < len(starts) && (whole+1 < len(starts) && starts[whole+1] <= size) {
			whole++
		}
		disk, entries := reopen(t, stateFile, segment[:size])
		if got := quarantined(disk); len(got) > 0 {
			t.Fatalf("cut at %d: in quarantine: %v", size, got)
		}
		if got, want := len(entries), (whole+1)/2; got != want {
			t.Fatalf("cut at %d: %d events, want %d", size, got, want)
		}

		later := (&segmentHeader{version: formatVersion, producer: producer, epoch: 1700000000001, first: 1}).encode()
		disk, entries = reopen(t, stateFile, segment[:size], later)
		clean := size == segmentHeaderSize || slices.Contains(starts, size)
		if got := quarantined(disk); len(got) > 0 == clean && size > 0 {
			t.Fatalf("earlier segment cut at %d: in quarantine: %v", size, got)
		}
		if got, want := len(entries), (whole+1)/2; got != want {
			t.Fatalf("earlier segment cut at %d: %d events, want %d", size, got, want)
		}
	}
}

// TestStateDamaged loses the state file: producer and epoch come from the segments.
func TestStateDamaged(t *testing.T) {
	t.Parallel()
	segment, stateFile, _, _ := sample(t)
	for i := range stateFile {
		bad := slices.Clone(stateFile)
		bad[i] ^= 0x04
		disk, entries := reopen(t, bad, segment)
		var h segmentHeader
		h.parse(segment)
		st, err := loadState(disk)
		if err != nil || st.producer != h.producer || st.epoch <= h.epoch || len(entries) != 10 {
			t.Fatalf("byte %d: state %v, want one after epoch %d of %x; %d events, want 10; %v", i, st, h.epoch, h.producer, len(entries), err)
		}
	}
}

// TestDamageWhileOpen flips a byte under an open spool: the event is delivered as lost.
func TestDamageWhileOpen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		disk := disktest.New(rand.New(rand.NewPCG(1, 1)))
		s, err := OpenOn(disk, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- s.Run(ctx) }()
		for i := range byte(3) {
			if err := errors.Join(s.Begin(ctx, [16]byte{i}, nil, 9), s.End(ctx, [16]byte{i}, []byte("end"))); err != nil {
				t.Fatal(err)
			}
		}
		disk.Flip(segmentName(1), segmentHeaderSize+3*headerSize+3+headerSize, 1) // in the second end
		entries, err := s.Next(ctx, Position{}, 9, 1<<20)
		if err != nil || len(entries) != 3 || entries[0].Lost || !entries[1].Lost || entries[2].Lost {
			t.Errorf("got %+v, %v", entries, err)
		}
		if !strings.Contains(log.String(), "level=ERROR") {
			t.Error("no alarm")
		}
		cancel()
		if err := errors.Join(<-ran, s.Close()); err != nil {
			t.Error(err)
		}
	})
}

// FuzzReplay opens whatever a segment file may hold.
func FuzzReplay(f *testing.F) {
	segment, _, _, starts := sample(f)
	f.Add(segment, false)
	f.Add(segment[:starts[5]+20], true)
	f.Add(append(slices.Clone(segment[:starts[7]]), make([]byte, 300)...), true)
	f.Add(append(slices.Clone(segment[:starts[3]]), segment[starts[4]:]...), false)
	f.Add([]byte(segmentMagic), true)
	f.Fuzz(func(t *testing.T, data []byte, first bool) {
		segments := [][]byte{segment, data}
		if first {
			segments = [][]byte{data, segment}
		}
		disk := disktest.New(rand.New(rand.NewPCG(1, 1)))
		for i, b := range segments {
			disk.Put(segmentName(uint64(i+1)), b)
		}
		s, err := OpenOn(disk, Options{})
		if errors.Is(err, ErrVersion) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := s.endOrphans(); err != nil {
			t.Fatal(err)
		}
		s.stop(ErrClosed)
		var after Position
		for range 100 {
			entries, err := s.Next(t.Context(), after, 50, 1<<20)
			if errors.Is(err, ErrClosed) {
				return
			}
			if err != nil || len(entries) == 0 {
				t.Fatal(len(entries), err)
			}
			for _, e := range entries {
				if e.Epoch < after.Epoch || e.Epoch == after.Epoch && e.Seq <= after.Seq {
					t.Fatalf("%v after %v", e.Position, after)
				}
				after = e.Position
			}
		}
	})
}
