package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"slices"
	"time"
)

// Position is a place in the order of events. The zero Position is before all.
type Position struct {
	Epoch uint64
	Seq   uint64 // contiguous from 1 within an epoch
}

// Entry is one event.
type Entry struct {
	Position
	ID          [16]byte
	Time        time.Time // when it was written
	Payload     []byte
	Interrupted bool // its process died before End; the payload is of Options.Interrupted
	// Lost is an event whose record was damaged: it has a Position and nothing else.
	Lost bool
}

// Next returns the events after a position, in order: at most count, and so many that
// their payloads stay within maxBytes, but at least one. It waits until there is one.
// Events of earlier epochs come first. After Run has returned and all is delivered it
// returns ErrClosed or ErrFailed.
func (s *Spool) Next(ctx context.Context, after Position, count, maxBytes int) ([]Entry, error) {
	if count < 1 {
		return nil, errors.New("read spool: count must be at least 1")
	}
	for {
		s.mu.Lock()
		v, ok := s.view(after)
		changed, stopped := s.changed, s.err
		s.mu.Unlock()
		if ok {
			entries, err := s.read(v, count, maxBytes)
			if errors.Is(err, fs.ErrNotExist) && !s.holds(v.name) {
				continue // removed since: all of it was confirmed
			}
			return entries, err
		}
		if stopped != nil {
			return nil, stopped
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// view is what one read may see of a segment.
type view struct {
	name       string
	epoch      uint64
	start      mark
	want, last uint64
	size       int64
}

// view finds the segment with the first event after a position; mu is held.
func (s *Spool) view(after Position) (view, bool) {
	for _, g := range s.segments {
		if g.ends() == 0 || g.epoch < after.Epoch || g.epoch == after.Epoch && g.last <= after.Seq {
			continue
		}
		want := g.first
		if g.epoch == after.Epoch {
			want = max(want, after.Seq+1)
		}
		return view{g.name(), g.epoch, g.seek(want), want, g.last, g.size}, true
	}
	return view{}, false
}

// holds reports whether a segment is still there to be read.
func (s *Spool) holds(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.segments, func(g *segment) bool { return g.name() == name })
}

func (s *Spool) read(v view, count, maxBytes int) ([]Entry, error) {
	f, err := s.disk.Open(v.name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	sc := scanner{
		window: window{r: f}, off: v.start.off, end: v.size, from: v.want,
		epoch: v.epoch, last: v.start.seq - 1, known: true,
	}
	entries := make([]Entry, 0, min(count, int(min(v.last-v.want+1, 1024))))
	total := 0
	for len(entries) < count && v.want <= v.last {
		sc.skip = v.last - sc.last // gaps were judged when the segment was replayed
		r, err := sc.next()
		if errors.Is(err, io.EOF) {
			r.number = v.last + 1 // what is missing is lost
		} else if err != nil {
			return nil, fmt.Errorf("read %s: %w", v.name, err)
		} else if r.wrong != "" {
			s.opt.Log.Error("damaged bytes in the spool; reading on",
				slog.String("segment", v.name), slog.Int64("offset", r.off), slog.String("reason", r.wrong))
			continue
		} else if !r.kind.isEnd() || r.number < v.want {
			continue
		}
		for v.want < r.number && len(entries) < count {
			entries = append(entries, Entry{Position: Position{v.epoch, v.want}, Lost: true})
			v.want++
		}
		if v.want < r.number || v.want > v.last || len(entries) == count {
			break
		}
		if total += len(r.payload); total > maxBytes && len(entries) > 0 {
			break
		}
		entries = append(entries, Entry{
			Position: Position{v.epoch, r.number}, ID: r.id, Time: time.Unix(0, r.time),
			Payload: append([]byte(nil), r.payload...), Interrupted: r.kind == kindInterrupted,
		})
		v.want++
	}
	return entries, nil
}
