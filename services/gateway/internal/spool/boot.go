package spool

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"slices"
	"time"

	"loom.internal/pkg/faultpoint"
	"loom.internal/services/gateway/internal/spool/disk"
)

// boot reads the directory and starts an epoch. It changes nothing before it knows
// that the directory is of no newer version.
func (s *Spool) boot() error {
	began := time.Now()
	numbers, err := numbersOn(s.disk)
	if err != nil {
		return err
	}
	headers, err := s.headers(numbers)
	if err != nil {
		return err
	}
	if err := s.loadState(headers); err != nil {
		return err
	}
	for i, h := range headers {
		if h != nil && h.producer != s.st.producer {
			return fmt.Errorf("%w: %s is of producer %x, the directory of %x; move it into a directory of its own, and start a gateway with that",
				ErrForeign, segmentName(numbers[i]), h.producer, s.st.producer)
		}
	}
	for i, number := range numbers {
		if err := s.replay(number, headers[i], i == len(numbers)-1); err != nil {
			return err
		}
	}
	s.closeGaps()
	slices.SortFunc(s.orphans, func(a, b *open) int {
		return cmp.Or(cmp.Compare(a.segment.number, b.segment.number), cmp.Compare(a.off, b.off))
	})

	for _, g := range s.segments {
		s.st.epoch = max(s.st.epoch, g.epoch)
	}
	// Not only one more: a directory that was restored from a copy must not count a second
	// time what it has counted since the copy was made.
	s.st.epoch = max(s.st.epoch+1, uint64(s.opt.now().UnixMilli()))
	if err := s.st.save(s.disk); err != nil {
		return err
	}
	faultpoint.Hit("spool.after_state")
	number := uint64(1)
	if n := len(numbers); n > 0 {
		number = numbers[n-1] + 1
	}
	if err := s.createSegment(number, 0); err != nil {
		return err
	}
	s.updateGauges()
	s.opt.Log.Info("spool is open",
		slog.String("producer", s.Producer()), slog.Uint64("epoch", s.st.epoch),
		slog.Uint64("events", s.Stats().Events), slog.Int("interrupted", len(s.orphans)),
		slog.Int64("bytes", s.used), slog.Duration("took", time.Since(began)))
	return nil
}

// headers reads the header of each segment; a damaged one is nil.
func (s *Spool) headers(numbers []uint64) ([]*segmentHeader, error) {
	headers := make([]*segmentHeader, len(numbers))
	for i, number := range numbers {
		f, err := s.disk.Open(segmentName(number))
		if err != nil {
			return nil, err
		}
		b := make([]byte, segmentHeaderSize)
		n, err := f.ReadAt(b, 0)
		_ = f.Close() // only read
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		h := new(segmentHeader)
		if !h.parse(b[:n]) {
			continue
		}
		if h.version > formatVersion {
			return nil, newerVersion(int(h.version))
		}
		headers[i] = h
	}
	return headers, nil
}

// loadState finds who the producer is. A damaged state file is made anew from the
// segments: the current one always tells the last epoch in which anything was written.
func (s *Spool) loadState(headers []*segmentHeader) error {
	st, err := loadState(s.disk)
	if err == nil {
		s.st = st
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errStateDamaged) {
		return err
	}
	for _, h := range headers {
		if h != nil && h.epoch > s.st.epoch {
			s.st = state{producer: h.producer, epoch: h.epoch}
		}
	}
	if s.st.epoch > 0 || errors.Is(err, errStateDamaged) {
		s.opt.Log.Error("spool state is lost, made anew from the segments",
			slog.Any("error", err), slog.Uint64("epoch", s.st.epoch))
	}
	if s.st.epoch == 0 {
		_, err := rand.Read(s.st.producer[:])
		return err
	}
	return nil
}

// replay reads one segment whole.
func (s *Spool) replay(number uint64, h *segmentHeader, last bool) error {
	f, err := s.disk.Update(segmentName(number))
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // what counts was synced
	size, err := f.Size()
	if err != nil {
		return err
	}
	g := &segment{number: number, size: size}
	sc := scanner{window: window{r: f}, off: segmentHeaderSize, end: size}
	switch {
	case h != nil:
		g.epoch, g.first, g.last = h.epoch, h.first, h.first-1
		sc.epoch, sc.last, sc.known = h.epoch, g.last, true
	case size < segmentHeaderSize && last:
		return s.cut(f, g, 0)
	default:
		s.quarantine(f, g, found{off: 0, to: min(size, segmentHeaderSize), wrong: "segment header is damaged"})
	}
	for {
		r, err := sc.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", g.name(), err)
		}
		switch {
		case r.wrong == "":
			s.recover(g, &r)
		case r.torn && last:
			return s.cut(f, g, r.off)
		default:
			s.quarantine(f, g, r)
		}
	}
	if last {
		return s.cut(f, g, size)
	}
	s.keep(g)
	return nil
}

// recover takes in an intact record.
func (s *Spool) recover(g *segment, r *found) {
	if g.epoch == 0 {
		g.epoch = r.epoch
	}
	was := s.opens[r.id]
	if was != nil {
		was.free()
		s.reserved -= recordSize(was.reserve)
		delete(s.opens, r.id)
	}
	if r.kind.isEnd() {
		if g.first == 0 {
			g.first = r.number
		}
		g.add(r.number, r.off, r.time)
		return
	}
	s.opens[r.id] = s.hold(g, &r.record, r.off)
}

// hold takes note of a begin in g.
func (s *Spool) hold(g *segment, r *record, off int64) *open {
	reserve := int64(min(r.number, MaxPayload))
	o := &open{id: r.id, length: r.length, sum: r.sum, reserve: reserve}
	o.place(g, off)
	s.reserved += recordSize(reserve)
	return o
}

// cut ends the last segment of the epoch before at size: what a crash left of its last
// write, and the space set aside behind it, go.
func (s *Spool) cut(f disk.File, g *segment, size int64) error {
	if torn := g.size - size; torn > 0 {
		s.opt.Log.Info("cut what a crash left of the last write",
			slog.String("segment", g.name()), slog.Int64("bytes", torn))
	}
	if err := f.Truncate(size); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if g.size = size; size < segmentHeaderSize {
		if err := s.disk.Remove(g.name()); err != nil {
			return err
		}
		return s.disk.Sync()
	}
	s.keep(g)
	return nil
}

func (s *Spool) keep(g *segment) {
	if g.first == 0 { // neither a header nor an end told
		g.first = 1
	}
	s.segments = append(s.segments, g)
	s.used += g.size
}

// maxGap bounds what a missing piece of an epoch is believed to have held.
const maxGap = 1 << 20

// closeGaps extends each segment to the number before the first of the next one of its
// epoch, so that numbers lost at its end are delivered as lost, and lists the orphans.
func (s *Spool) closeGaps() {
	for i, g := range s.segments[:max(len(s.segments)-1, 0)] {
		next := s.segments[i+1]
		if gap := next.first - 1 - g.last; next.epoch == g.epoch && next.first > g.last && gap <= maxGap {
			g.last += gap
		}
	}
	for _, o := range s.opens {
		o.orphan = true
		s.orphans = append(s.orphans, o)
	}
}
