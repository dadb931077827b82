package spool_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"loom.internal/services/gateway/internal/spool"
	"loom.internal/services/gateway/internal/spool/disk/disktest"
)

// piece is a record of the damaged segment, or its header.
type piece struct {
	kind     string // "header", "begin", "end" or "interrupted"
	id       uint64
	seq      uint64 // of an end
	from, to int    // in the file
}

// evidence is a spool's directory after two lives: 26 records of every kind, some of
// requests that did not end, in a segment of the second life.
type evidence struct {
	files  map[string][]byte
	name   string    // of the segment
	epochs [2]uint64 // of the two lives
	pieces []piece
	orphan map[uint64]bool // begun in the first life and ended as interrupted in the second
}

func gather(t *testing.T) *evidence {
	t.Helper()
	dir := t.TempDir()
	ctx := t.Context()
	must := func(errs ...error) {
		if err := errors.Join(errs...); err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	first, stop := run(t, dir, spool.Options{})
	must(first.Begin(ctx, newID(1), []byte("one"), 9), first.End(ctx, newID(1), []byte("ended")),
		first.Begin(ctx, newID(2), []byte("two"), 9), first.Begin(ctx, newID(3), nil, 9))
	stop()

	e := &evidence{files: map[string][]byte{}, name: "0000000002.seg", orphan: map[uint64]bool{2: true, 3: true}}
	at, seq := 48, uint64(0)
	add := func(kind string, id uint64, payload int) {
		p := piece{kind: kind, id: id, from: at, to: at + 64 + payload}
		if kind != "begin" {
			seq++
			p.seq = seq
		}
		e.pieces = append(e.pieces, p)
		at = p.to
	}
	e.pieces = append(e.pieces, piece{kind: "header", to: at})
	second, stop := run(t, dir, spool.Options{})
	e.epochs = [2]uint64{first.Epoch(), second.Epoch()}
	if _, err := second.Next(ctx, spool.Position{Epoch: second.Epoch(), Seq: 1}, 1, 9); err != nil { // both are ended
		t.Fatal(err)
	}
	add("interrupted", 2, 3)
	add("interrupted", 3, 0)
	for i := uint64(10); i < 20; i++ {
		begin, end := make([]byte, i%3*5), bytes.Repeat([]byte{byte(i)}, int(i-10)*2)
		must(second.Begin(ctx, newID(i), begin, 99), second.End(ctx, newID(i), end))
		add("begin", i, len(begin))
		add("end", i, len(end))
	}
	for i := uint64(20); i < 24; i++ { // never ended
		must(second.Begin(ctx, newID(i), []byte("open"), 9))
		add("begin", i, 4)
	}
	stop()
	for _, name := range []string{"state", "0000000001.seg", e.name} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		must(err)
		e.files[name] = data
	}
	e.files[e.name] = bytes.TrimRight(e.files[e.name], "\x00")[:min(at, len(e.files[e.name]))]
	if got := len(e.files[e.name]); got != at {
		t.Fatalf("the segment has %d bytes, want %d", got, at)
	}
	return e
}

// reopened is what a third life delivers, and what it has set aside: by content, the
// reasons.
type reopened struct {
	entries []spool.Entry
	aside   map[string]string
}

// onDisk opens the directory with data for the segment, on the real disk.
func (e *evidence) onDisk(t *testing.T, data []byte) reopened {
	t.Helper()
	dir := t.TempDir()
	for name, b := range e.files {
		if name == e.name {
			b = data
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := spool.Open(dir, spool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	all := through(t, s)
	files := map[string][]byte{}
	names, _ := filepath.Glob(filepath.Join(dir, "quarantine", "*"))
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files["quarantine/"+filepath.Base(name)] = b
	}
	return reopened{all, reasons(files)}
}

// inMemory does the same, fast.
func (e *evidence) inMemory(t *testing.T, data []byte) reopened {
	t.Helper()
	disk := disktest.New(rand.New(rand.NewPCG(1, 1)))
	for name, b := range e.files {
		disk.Put(name, b)
	}
	disk.Put(e.name, data)
	s, err := spool.OpenOn(disk, spool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return reopened{through(t, s), reasons(disk.Files())}
}

// through ends what is open, and closes the spool when all is delivered.
func through(t *testing.T, s *spool.Spool) []spool.Entry {
	t.Helper()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	err := s.Run(over)
	all := rest(t, s)
	if err = errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	return all
}

func reasons(files map[string][]byte) map[string]string {
	aside := map[string]string{}
	for name, why := range files {
		if of, ok := strings.CutSuffix(name, ".txt"); ok {
			aside[string(files[of])] = string(why)
		}
	}
	return aside
}

// verdict compares what is delivered with what should be when the pieces in damaged are.
func (e *evidence) verdict(t *testing.T, what string, all []spool.Entry, damaged func(piece) bool, cut bool) {
	t.Helper()
	begun, ended := map[uint64]bool{}, map[uint64]bool{}
	for id := range e.orphan {
		begun[id] = true
	}
	want := map[spool.Position]string{{Epoch: e.epochs[0], Seq: 1}: "ended"}
	last := uint64(0)
	for _, p := range e.pieces {
		last = max(last, p.seq)
	}
	for _, p := range e.pieces {
		switch {
		case p.kind == "begin":
			begun[p.id] = begun[p.id] || !damaged(p)
		case p.kind != "header" && !damaged(p):
			want[spool.Position{Epoch: e.epochs[1], Seq: p.seq}], ended[p.id] = p.kind, true
		case p.kind != "header" && !cut && p.seq < last: // after the last nobody asks
			want[spool.Position{Epoch: e.epochs[1], Seq: p.seq}] = "lost"
		}
	}
	interrupted := 0
	for id := range begun {
		if begun[id] && !ended[id] {
			interrupted++
		}
	}
	got := map[spool.Position]string{}
	for _, entry := range all {
		switch {
		case entry.Epoch > e.epochs[1] && entry.Interrupted:
			interrupted--
			continue
		case entry.Lost:
			got[entry.Position] = "lost"
		case entry.Interrupted:
			got[entry.Position] = "interrupted"
		case entry.Epoch == e.epochs[0]:
			got[entry.Position] = string(entry.Payload)
		default:
			got[entry.Position] = "end"
			if i := uint64(entry.ID[15]); !bytes.Equal(entry.Payload, bytes.Repeat([]byte{byte(i)}, int(i-10)*2)) {
				t.Fatalf("%s: %v has the payload %x", what, entry.Position, entry.Payload)
			}
		}
	}
	for p, kind := range want {
		if got[p] != kind {
			t.Fatalf("%s: %v is %q, want %q", what, p, got[p], kind)
		}
	}
	if len(got) != len(want) || interrupted != 0 {
		t.Fatalf("%s: %d delivered, want %d; %d not ended as interrupted that should be", what, len(got), len(want), interrupted)
	}
}

// TestDamage changes each byte of a segment: just the record it is in is set aside, with
// a reason; every other is delivered, and so is the number of one that cannot be.
func TestDamage(t *testing.T) {
	t.Parallel()
	e := gather(t)
	segment, opened := e.files[e.name], 0
	damage := func(open func(*testing.T, []byte) reopened, i int, b byte) {
		if b == segment[i] {
			return
		}
		opened++
		bad := slices.Clone(segment)
		bad[i] = b
		hit := e.pieces[slices.IndexFunc(e.pieces, func(p piece) bool { return i < p.to })]
		got := open(t, bad)
		e.verdict(t, fmt.Sprintf("byte %d is %#x", i, b), got.entries, func(p piece) bool { return p == hit }, false)
		why, ok := got.aside[string(bad[hit.from:hit.to])]
		if len(got.aside) != 1 || !ok || !strings.Contains(why, "reason ") {
			t.Fatalf("byte %d, in %s from %d to %d, is %#x: in quarantine: %q", i, hit.kind, hit.from, hit.to, b, got.aside)
		}
	}
	for i, was := range segment {
		for _, b := range []byte{0, was ^ 0x01, was ^ 0x10, was ^ 0x80, ^was} {
			damage(e.inMemory, i, b)
		}
	}
	inMemory := opened
	for i := 0; i < len(segment); i += 29 { // each record twice
		damage(e.onDisk, i, ^segment[i])
	}
	t.Logf("%d records in %d bytes, opened with damage %d times, %d of them on the real disk", len(e.pieces)-1, len(segment), opened, opened-inMemory)
}

// TestCut cuts the last segment at each length, as a crash may: what is whole is
// delivered, and nothing is set aside.
func TestCut(t *testing.T) {
	t.Parallel()
	e := gather(t)
	cut := func(open func(*testing.T, []byte) reopened, size int) {
		got := open(t, e.files[e.name][:size])
		e.verdict(t, fmt.Sprintf("cut at %d", size), got.entries, func(p piece) bool { return p.to > size }, true)
		if len(got.aside) > 0 {
			t.Fatalf("cut at %d: in quarantine: %q", size, got.aside)
		}
	}
	for size := range e.files[e.name] {
		cut(e.inMemory, size)
	}
	for size := 0; size < len(e.files[e.name]); size += 67 {
		cut(e.onDisk, size)
	}
	t.Logf("cut at %d lengths", len(e.files[e.name]))
}
