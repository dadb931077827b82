package spool

import (
	"fmt"
	"sort"
	"time"
)

// segment is what is known of one segment without reading it. The writer changes it
// under Spool.mu.
type segment struct {
	number uint64
	epoch  uint64
	size   int64
	first  uint64 // sequence numbers first to last, none when last < first
	last   uint64
	live   int64 // bytes of open begins in it
	marks  []mark
}

// mark is where an end is. Marks are at most markEvery ends and markAge apart, so the
// index stays small under load and is exact without.
type mark struct {
	seq  uint64
	off  int64
	time int64
}

const (
	markEvery = 64
	markAge   = time.Second
)

func segmentName(number uint64) string { return fmt.Sprintf("%010d.seg", number) }

// segmentNumber is the inverse of segmentName.
func segmentNumber(name string) (number uint64, ok bool) {
	if _, err := fmt.Sscanf(name, "%d.seg", &number); err != nil {
		return 0, false
	}
	return number, segmentName(number) == name
}

func (g *segment) name() string { return segmentName(g.number) }

// free forgets a begin the segment holds; mu is held.
func (o *open) free() { o.segment.live -= recordSize(o.length) }

// place notes where a begin is; mu is held.
func (o *open) place(g *segment, off int64) {
	o.segment, o.off = g, off
	g.live += recordSize(o.length)
}

// ends is how many sequence numbers the segment holds.
func (g *segment) ends() uint64 { return g.last + 1 - g.first }

// add takes note of an end written at off.
func (g *segment) add(seq uint64, off, time int64) {
	g.last = seq
	if n := len(g.marks); n > 0 {
		m := g.marks[n-1]
		if seq-m.seq < markEvery && time-m.time < int64(markAge) {
			return
		}
	}
	g.marks = append(g.marks, mark{seq: seq, off: off, time: time})
}

// seek returns the mark at or before seq, or the start of the records.
func (g *segment) seek(seq uint64) mark {
	i := sort.Search(len(g.marks), func(i int) bool { return g.marks[i].seq > seq })
	if i == 0 {
		return mark{seq: g.first, off: segmentHeaderSize}
	}
	return g.marks[i-1]
}

// open is a begin without an end.
type open struct {
	id      [16]byte
	segment *segment
	off     int64 // of its record
	length  int64 // of its payload
	sum     uint32
	reserve int64 // payload bytes kept for its end
	orphan  bool  // of an earlier epoch: waits to be ended as interrupted
}
