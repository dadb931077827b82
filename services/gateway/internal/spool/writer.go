package spool

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"loom.internal/pkg/faultpoint"
)

// op is one record to be written.
type op struct {
	kind    kind
	id      [16]byte
	payload []byte
	sum     uint32
	reserve int64
	done    chan error // capacity 1; nil for the writer's own

	begin *open // begin: the new one; end: the one it ends; carry: the one to copy
	carry bool
	grows bool // it needs space that is not set aside
	seq   uint64
	off   int64
	time  int64
	err   error // for the writer's own
}

func (o *op) size() int64 { return recordSize(int64(len(o.payload))) }

func (o *op) answer(err error) {
	o.err = err
	if o.done != nil {
		o.done <- err
	}
}

const (
	groupBytes = 4 << 20 // a group is written when it has this much, or all there is
	retryEvery = time.Second
)

// Run writes what Begin and End queue, until ctx ends and the queue is empty; later
// appends get ErrClosed. A failed write or sync ends it with an error that is ErrFailed.
// It first ends what an earlier process left open. Next may be read on afterwards.
func (s *Spool) Run(ctx context.Context) error {
	retry := time.NewTicker(retryEvery)
	defer retry.Stop()
	err := s.endOrphans()
	for stopping := false; err == nil; {
		s.mu.Lock()
		batch := s.queue
		s.queue = nil
		if stopping && len(batch) == 0 {
			s.err = ErrClosed
			s.broadcast()
			s.mu.Unlock()
			s.trim()
			return nil
		}
		s.mu.Unlock()

		if err = s.commitAll(batch); err != nil {
			break
		}
		if err = s.reclaim(); err != nil || stopping {
			continue
		}
		select {
		case <-s.wake:
		case <-retry.C:
			err = s.endOrphans()
		case <-ctx.Done():
			stopping = true
		}
	}
	return s.fail(err)
}

// fail refuses everything that waits and everything to come.
func (s *Spool) fail(err error) error {
	if !errors.Is(err, ErrFailed) {
		err = fmt.Errorf("%w: %w", ErrFailed, err)
	}
	s.counts.failures.Inc()
	s.stop(err)
	s.mu.Lock()
	batch := s.queue
	s.queue = nil
	s.mu.Unlock()
	for _, o := range batch {
		o.answer(err)
	}
	return err
}

// commitAll writes the batch in groups of bounded size. An error is fatal, and then
// every op has been answered.
func (s *Spool) commitAll(batch []*op) error {
	for len(batch) > 0 {
		n, size := 0, int64(0)
		for n < len(batch) && (n == 0 || size+batch[n].size() <= groupBytes) {
			size += batch[n].size()
			n++
		}
		if err := s.commit(batch[:n]); err != nil {
			for _, o := range batch[n:] {
				o.answer(err)
			}
			return err
		}
		batch = batch[n:]
	}
	return nil
}

// commit writes a group and answers it. A group for which the disk has no room is
// tried in halves, so that an end is not refused for a begin beside it.
func (s *Spool) commit(group []*op) error {
	admitted := make([]*op, 0, len(group))
	var size int64
	for _, o := range group {
		if err := s.admit(o, size); err != nil {
			s.refuse(o, err)
			continue
		}
		admitted = append(admitted, o)
		size += o.size()
	}
	if len(admitted) == 0 {
		return nil
	}
	began := time.Now()
	err := s.write(admitted, size)
	switch {
	case err == nil:
		s.counts.commits.Observe(time.Since(began).Seconds())
		s.settle(admitted, size)
	case isFull(err):
		for _, o := range slices.Backward(admitted) {
			s.revert(o)
		}
		if half := len(admitted) / 2; half > 0 {
			if err := s.commit(admitted[:half]); err != nil {
				for _, o := range admitted[half:] {
					o.answer(err)
				}
				return err
			}
			return s.commit(admitted[half:])
		}
		s.refuse(admitted[0], fmt.Errorf("%w: %w", ErrFull, err))
	default:
		if !errors.Is(err, ErrFailed) {
			err = fmt.Errorf("%w: %w", ErrFailed, err)
		}
		s.stop(err)
		for _, o := range admitted {
			o.answer(err)
		}
		return err
	}
	return nil
}

// refuse answers an op that cannot be written.
func (s *Spool) refuse(o *op, err error) {
	if isFull(err) {
		s.pressed = true
		s.counts.refused.Inc()
	}
	o.answer(err)
}

// admit checks the op against what is open and against MaxBytes, and counts it in.
// pending is what is admitted and not yet written.
func (s *Spool) admit(o *op, pending int64) error {
	was := s.opens[o.id]
	taken := s.used + pending + s.reserved
	o.grows = true
	switch {
	case o.carry:
		if was != o.begin {
			return ErrNotBegun
		}
	case o.kind == kindBegin:
		if was != nil {
			return ErrBegun
		}
		if taken+o.size()+recordSize(o.reserve) > s.opt.MaxBytes {
			return fmt.Errorf("%w: %d bytes held for Postgres or for open requests, at most %d", ErrFull, taken, s.opt.MaxBytes)
		}
		o.begin = &open{id: o.id, length: int64(len(o.payload)), sum: o.sum, reserve: o.reserve}
		s.opens[o.id] = o.begin
		s.reserved += recordSize(o.reserve)
	default:
		if was == nil || was.orphan && o.kind != kindInterrupted {
			return ErrNotBegun
		}
		kept := recordSize(was.reserve)
		o.grows = o.size() > kept
		if o.grows && o.kind == kindEnd && taken-kept+o.size() > s.opt.MaxBytes {
			return fmt.Errorf("%w: end of %d bytes, %d are set aside for it", ErrFull, len(o.payload), was.reserve)
		}
		o.begin = was
		delete(s.opens, o.id)
		s.reserved -= kept
	}
	return nil
}

// revert undoes admit.
func (s *Spool) revert(o *op) {
	switch {
	case o.carry:
	case o.kind == kindBegin:
		delete(s.opens, o.id)
		s.reserved -= recordSize(o.reserve)
	default:
		s.opens[o.id] = o.begin
		s.reserved += recordSize(o.begin.reserve)
	}
}

// write puts the group at the end of the current segment: whole, or not at all.
func (s *Spool) write(group []*op, size int64) error {
	if err := s.makeRoom(group, size); err != nil {
		return err
	}
	g := s.segments[len(s.segments)-1]
	seq, at := s.nextSeq, g.size
	now := s.opt.now().UnixNano()
	b := s.buf[:0]
	for _, o := range group {
		r := record{
			kind: o.kind, id: o.id, epoch: s.st.epoch, time: now,
			number: uint64(o.begin.reserve), //nolint:gosec // not negative
			length: int64(len(o.payload)), sum: o.sum,
		}
		if o.kind.isEnd() {
			r.number = seq
			o.seq = seq
			seq++
		}
		o.off, o.time = at+int64(len(b)), now
		b = r.append(b, o.payload)
	}
	if s.buf = b; cap(b) > 2*groupBytes {
		s.buf = nil
	}
	if n, err := s.current.WriteAt(b, at); err != nil {
		return s.undo(at, n, err)
	}
	s.allocated = max(s.allocated, at+size)
	faultpoint.Hit("spool.after_write")
	if s.opt.Durability == Power {
		if err := s.current.Sync(); err != nil {
			return fmt.Errorf("%w: sync: %w", ErrFailed, err)
		}
		faultpoint.Hit("spool.after_sync")
	}
	return nil
}

// undo cuts what a failed write left behind size.
func (s *Spool) undo(size int64, written int, cause error) error {
	if written == 0 {
		return cause
	}
	if err := s.current.Truncate(size); err != nil {
		return fmt.Errorf("%w: %w; cut what it left: %w", ErrFailed, cause, err)
	}
	s.allocated = size // truncation gave back what was set aside
	if err := s.allocate(size + s.reserved); err != nil && !isFull(err) {
		return fmt.Errorf("%w: %w; set space aside: %w", ErrFailed, cause, err)
	}
	return cause
}

// settle makes a written group known and answers it.
func (s *Spool) settle(group []*op, size int64) {
	s.mu.Lock()
	g := s.segments[len(s.segments)-1]
	g.size += size
	s.used += size
	ends := false
	for _, o := range group {
		if o.kind.isEnd() {
			ends = true
			s.nextSeq = o.seq + 1
			g.add(o.seq, o.off, o.time)
			o.begin.free()
			continue
		}
		if o.carry {
			o.begin.free()
		}
		o.begin.place(g, o.off)
	}
	if ends {
		s.broadcast()
	}
	s.setGauges()
	s.mu.Unlock()
	for _, o := range group {
		s.counts.record(o)
		o.answer(nil)
	}
}
