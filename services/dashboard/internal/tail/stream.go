package tail

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"loom.internal/services/dashboard/internal/query"
	"loom.internal/services/dashboard/internal/traces"
)

const (
	maxRate     = 20 // traces a poll, which comes every second
	heartbeat   = 15 * time.Second
	checkEvery  = 5 * time.Second
	resumeLimit = time.Hour // how long ago the last trace that a client saw may be
	slice       = 10 * time.Second
	maxSlice    = 500
)

// Stream is what one client watches. Its first three fields are for the caller to set.
type Stream struct {
	TenantID string
	Filter   query.Filter
	After    *traces.Place // where to go on; nil: what is recorded from now on

	hub     *Hub
	from    time.Time // what was recorded before is not for it
	polls   chan poll
	ended   chan struct{}        // closed when the service stops
	sent    map[string]time.Time // when traces were recorded that it has had lately, by id
	checked time.Time            // when it was last asked whether the client may watch
	missed  bool                 // guarded by hub.mu
}

// Client is where a stream goes.
type Client struct {
	Write func(event []byte) error        // sends it at once
	Check func(ctx context.Context) error // fails when the client may not watch any longer
}

// Open gives s its place, which Close takes back. It fails with ErrFull, ErrStopped, or
// where Postgres is away.
func (h *Hub) Open(ctx context.Context, s *Stream) error {
	now, err := h.now(ctx)
	if err != nil {
		return err
	}
	s.hub, s.from, s.polls, s.ended, s.sent, s.checked = h, now, make(chan poll, queued), make(chan struct{}), map[string]time.Time{}, time.Now()
	return h.join(s)
}

// Close gives the place back.
func (s *Stream) Close() { s.hub.leave(s) }

// Run sends traces until ctx ends, the service stops, or the client is gone or may not
// watch any longer.
func (s *Stream) Run(ctx context.Context, c Client) error {
	if s.After == nil {
		s.hub.listen(s) //nolint:contextcheck // what it starts is not of this request
	}
	if err := s.write(ctx, c, []byte(":\n\n")); err != nil { // so that a client knows that it is heard
		return err
	}
	if s.After != nil {
		if err := s.resume(ctx, c); err != nil {
			return err
		}
		s.hub.listen(s) //nolint:contextcheck // what it starts is not of this request
		// What was recorded between the last look and now.
		if _, err := s.catchUp(ctx, c, s.from.Add(-longest)); err != nil {
			return err
		}
	}
	beat, check := time.NewTicker(heartbeat), time.NewTicker(checkEvery)
	defer beat.Stop()
	defer check.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-s.ended:
			return ErrStopped
		case p := <-s.polls:
			err = s.take(ctx, p, c)
		case <-beat.C:
			err = s.write(ctx, c, []byte(":\n\n"))
		case <-check.C:
			err = s.check(ctx, c)
		}
		if err != nil {
			return err
		}
	}
}

// resume sends what a client missed, of the last hour. What was recorded just before the
// last trace it saw may have been committed after it, so some come again.
func (s *Stream) resume(ctx context.Context, c Client) error {
	from := s.After.At.Add(-longest)
	if oldest := s.from.Add(-resumeLimit); s.After.At.Before(oldest) {
		from = oldest
		if err := s.write(ctx, c, []byte("event: dropped\ndata: {\"n\":null}\n\n")); err != nil {
			return err
		}
	}
	for {
		to, err := s.catchUp(ctx, c, from)
		if err != nil {
			return err
		}
		// Sending took its time, in which more was recorded.
		if s.from = to; to.Sub(from) < longest+pollEvery {
			return nil
		}
		from = to.Add(-longest)
	}
}

// catchUp sends all that was recorded from a time up to now, and returns when that was.
func (s *Stream) catchUp(ctx context.Context, c Client, from time.Time) (now time.Time, err error) {
	if now, err = s.hub.now(ctx); err != nil {
		return now, err
	}
	for at := (traces.Place{At: from}); at.At.Before(now); {
		select {
		case <-s.ended:
			return now, ErrStopped
		default:
		}
		if err := s.checkAgain(ctx, c); err != nil {
			return now, err
		}
		until := at.At.Add(slice)
		all, err := s.after(ctx, at, until)
		if err != nil {
			return now, err
		}
		for _, t := range s.fresh(all) {
			if err := s.send(ctx, c, t); err != nil {
				return now, err
			}
		}
		if at = (traces.Place{At: until}); len(all) == maxSlice {
			at = all[len(all)-1].Place()
		}
		s.forget(at.At)
	}
	return now, nil
}

// take sends what is new to s of a poll, and how many of them it does not send.
func (s *Stream) take(ctx context.Context, p poll, c Client) error {
	fresh := s.fresh(p.traces)
	dropped := max(0, len(fresh)-maxRate)
	switch {
	case p.lost:
		if err := s.write(ctx, c, []byte("event: dropped\ndata: {\"n\":null}\n\n")); err != nil {
			return err
		}
	case dropped > 0:
		if err := s.write(ctx, c, fmt.Appendf(nil, "event: dropped\ndata: {\"n\":%d}\n\n", dropped)); err != nil {
			return err
		}
	}
	for _, t := range fresh[dropped:] {
		if err := s.send(ctx, c, t); err != nil {
			return err
		}
	}
	s.forget(p.now)
	return nil
}

// fresh are those that s has not had and that fit. What does not fit may fit later: its
// cost is not known at first.
func (s *Stream) fresh(all []traces.Recorded) []traces.Recorded {
	var fresh []traces.Recorded
	for i := range all {
		t := &all[i]
		if _, had := s.sent[t.ID]; had || s.After == nil && t.RecordedAt.Before(s.from) || !s.Filter.Fits(t.Request()) {
			continue
		}
		s.sent[t.ID] = t.RecordedAt
		fresh = append(fresh, *t)
	}
	return fresh
}

// forget lets go of what cannot come again.
func (s *Stream) forget(now time.Time) {
	for id, at := range s.sent {
		if at.Before(now.Add(-longest - 2*overlap - 2*queued*pollEvery)) {
			delete(s.sent, id)
		}
	}
}

// after reads a slice of what was recorded.
func (s *Stream) after(ctx context.Context, place traces.Place, until time.Time) ([]traces.Recorded, error) {
	ctx, cancel := context.WithTimeout(ctx, pollLimit)
	defer cancel()
	return s.hub.source.After(ctx, s.TenantID, place, until, maxSlice)
}

func (s *Stream) send(ctx context.Context, c Client, t traces.Recorded) error {
	data, err := json.Marshal(t)
	if err != nil {
		return err
	}
	return s.write(ctx, c, fmt.Appendf(nil, "event: trace\nid: %s\ndata: %s\n\n", t.Place(), data))
}

// write sends an event. However slow the client is, it gets none for long that it may not
// have any longer.
func (s *Stream) write(ctx context.Context, c Client, event []byte) error {
	if err := s.checkAgain(ctx, c); err != nil {
		return err
	}
	return c.Write(event)
}

// checkAgain is check, unless that was lately.
func (s *Stream) checkAgain(ctx context.Context, c Client) error {
	if time.Since(s.checked) < checkEvery {
		return nil
	}
	return s.check(ctx, c)
}

// check asks whether the client may go on.
func (s *Stream) check(ctx context.Context, c Client) error {
	ctx, cancel := context.WithTimeout(ctx, pollLimit)
	defer cancel()
	s.checked = time.Now()
	return c.Check(ctx)
}
