package spool

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// errUnreadable is of a begin that cannot be read now: that its bytes are bad nobody knows.
var errUnreadable = errors.New("not read")

// endOrphans ends as interrupted what an earlier process left open. What finds no room,
// or cannot be read now, is tried again later.
func (s *Spool) endOrphans() error {
	var group []*op
	var size int64
	flush := func() error {
		err := s.commit(group)
		group, size = nil, 0
		return err
	}
	for _, o := range s.orphans {
		payload, err := s.interrupted(o)
		if errors.Is(err, errUnreadable) {
			s.unread.Do(func() {
				s.opt.Log.Error("a begun request cannot be read to be ended, trying again",
					slog.String("segment", o.segment.name()), slog.Int64("offset", o.off), slog.Any("error", err))
			})
			continue
		}
		if err != nil {
			s.drop(o, err)
			continue
		}
		group = append(group, &op{kind: kindInterrupted, id: o.id, payload: payload, sum: checksum(payload)})
		if size += int64(len(payload)); size < groupBytes {
			continue
		}
		if err := flush(); err != nil {
			return err
		}
	}
	if err := flush(); err != nil {
		return err
	}
	left := s.orphans[:0]
	for _, o := range s.orphans {
		if s.opens[o.id] == o {
			left = append(left, o)
		}
	}
	s.orphans = left
	return nil
}

// interrupted makes the payload of an orphan's end.
func (s *Spool) interrupted(o *open) ([]byte, error) {
	begin, err := s.readBegin(o)
	if err != nil {
		return nil, err
	}
	end, err := s.opt.Interrupted(o.id, begin)
	if err == nil && len(end) > MaxPayload {
		err = ErrTooLarge
	}
	return end, err
}

// readBegin reads the payload of a begin back. An error is errUnreadable unless the
// payload is known to be bad.
func (s *Spool) readBegin(o *open) ([]byte, error) {
	f, err := s.disk.Open(o.segment.name())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	defer func() { _ = f.Close() }()
	b := make([]byte, o.length)
	n, err := f.ReadAt(b, o.off+headerSize)
	switch {
	case int64(n) == o.length:
	case errors.Is(err, io.EOF):
		return nil, errors.New("payload cut short")
	default:
		return nil, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	if checksum(b) != o.sum {
		return nil, errors.New("payload checksum differs")
	}
	return b, nil
}

// drop sets aside a begin that cannot be ended. It is tried again at every Open until
// its segment is gone.
func (s *Spool) drop(o *open, why error) {
	bad := found{off: o.off, to: o.off + recordSize(o.length), wrong: "begun, and cannot be ended as interrupted: " + why.Error()}
	f, err := s.disk.Open(o.segment.name())
	if err != nil {
		s.opt.Log.Error("a begun request is lost",
			slog.String("segment", o.segment.name()), slog.Int64("offset", o.off), slog.Any("error", err))
	} else {
		s.quarantine(f, o.segment, bad)
		_ = f.Close() // only read
	}
	delete(s.opens, o.id)
	s.reserved -= recordSize(o.reserve)
	s.mu.Lock()
	o.free()
	s.setGauges()
	s.mu.Unlock()
}
