package spool

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"loom.internal/pkg/faultpoint"
)

// makeRoom starts a new segment when the group does not fit the current one, and takes
// disk space for the group and for the ends of all that is open.
func (s *Spool) makeRoom(group []*op, size int64) error {
	g := s.segments[len(s.segments)-1]
	if g.size > segmentHeaderSize && g.size+size > s.opt.SegmentBytes {
		err := s.rotate(size)
		if err == nil {
			return nil
		}
		if !isFull(err) {
			return err
		}
		// No room for what is set aside twice: the segment grows over its size.
	}
	for _, o := range group {
		if o.grows {
			return s.allocate(g.size + size + s.reserved)
		}
	}
	return nil
}

const allocateStep = 1 << 20

// allocate takes disk space for the current segment up to size, in steps if it can.
func (s *Spool) allocate(size int64) error {
	if size <= s.allocated {
		return nil
	}
	rounded := (size + allocateStep - 1) / allocateStep * allocateStep
	err := s.current.Reserve(rounded)
	if isFull(err) {
		rounded = size
		err = s.current.Reserve(size)
	}
	if err == nil {
		s.allocated = rounded
	}
	return err
}

// rotate starts the next segment, with disk space for size bytes beside what is reserved.
func (s *Spool) rotate(size int64) error {
	old, end := s.current, s.segments[len(s.segments)-1]
	if err := s.createSegment(end.number+1, size); err != nil {
		return err
	}
	err := old.Truncate(end.size) // gives back what was set aside
	if err = errors.Join(err, old.Close()); err != nil {
		return fmt.Errorf("%w: close %s: %w", ErrFailed, end.name(), err)
	}
	return nil
}

// createSegment makes a segment the current one. Without space nothing changes.
func (s *Spool) createSegment(number uint64, size int64) error {
	g := &segment{number: number, epoch: s.st.epoch, size: segmentHeaderSize, first: s.nextSeq, last: s.nextSeq - 1}
	h := segmentHeader{version: formatVersion, producer: s.st.producer, epoch: s.st.epoch, first: s.nextSeq}
	f, err := s.disk.Create(g.name())
	if err != nil {
		return err
	}
	was, had := s.current, s.allocated
	s.current, s.allocated = f, 0
	if _, err = f.WriteAt(h.encode(), 0); err == nil {
		err = s.allocate(g.size + size + s.reserved)
		if isFull(err) && was == nil { // at boot: what is interrupted waits for space
			err = nil
		}
	}
	if err == nil && s.opt.Durability == Power {
		if err = errors.Join(f.Sync(), s.disk.Sync()); err != nil {
			err = fmt.Errorf("%w: sync: %w", ErrFailed, err)
		}
	}
	if err != nil {
		s.current, s.allocated = was, had
		return errors.Join(err, f.Close(), s.disk.Remove(g.name()))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.segments = append(s.segments, g)
	s.used += g.size
	return nil
}

// reclaim removes the oldest segments as long as all their ends are confirmed.
func (s *Spool) reclaim() error {
	for {
		g := s.confirmedHead()
		if g == nil {
			return nil
		}
		if g == s.segments[len(s.segments)-1] {
			if !s.pressed || g.ends() == 0 {
				return nil
			}
			if err := s.rotate(0); err != nil {
				if isFull(err) {
					return nil
				}
				return err
			}
		}
		if moved, err := s.carry(g); err != nil || !moved {
			return err
		}
		if err := s.remove(g); err != nil {
			return err
		}
	}
}

// confirmedHead returns the oldest segment if all its ends are confirmed.
func (s *Spool) confirmedHead() *segment {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.segments[0]; g.ends() == 0 || g.last <= s.confirmed[g.epoch] {
		return g
	}
	return nil
}

// carry copies the open begins of g into the current segment. It reports false when
// that has to wait.
func (s *Spool) carry(g *segment) (moved bool, err error) {
	if g.live == 0 {
		return true, nil
	}
	if 2*g.live > g.size { // copying has to free more than it takes, or it would never end
		return false, nil
	}
	var group []*op
	for _, o := range s.opens {
		if o.segment != g {
			continue
		}
		if o.orphan {
			return false, nil
		}
		payload, err := s.readBegin(o)
		if err != nil {
			s.opt.Log.Error("read the begin of an open request",
				slog.String("segment", g.name()), slog.Int64("offset", o.off), slog.Any("error", err))
			return false, nil // its end will come all the same, and then the segment goes
		}
		group = append(group, &op{
			kind: kindBegin, id: o.id, payload: payload, sum: o.sum, reserve: o.reserve, begin: o, carry: true,
		})
	}
	if err := s.commitAll(group); err != nil {
		return false, err
	}
	if slices.ContainsFunc(group, func(o *op) bool { return o.err != nil }) {
		return false, nil // no room for the copies yet
	}
	faultpoint.Hit("spool.after_carry")
	return true, nil
}

// remove removes the oldest segment: first for readers, then from the disk.
func (s *Spool) remove(g *segment) error {
	s.mu.Lock()
	s.segments = s.segments[1:]
	s.used -= g.size
	if s.segments[0].epoch != g.epoch {
		delete(s.confirmed, g.epoch)
	}
	s.mu.Unlock()
	s.pressed = false
	return s.unlink(g)
}

// trim gives back the space set aside behind the last record, unless ends of this epoch
// are still to come, from the next process. Open does it if this fails.
func (s *Spool) trim() {
	if len(s.opens) == 0 {
		_ = s.current.Truncate(s.segments[len(s.segments)-1].size)
	}
}
