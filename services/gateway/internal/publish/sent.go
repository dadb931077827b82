package publish

import (
	"time"

	"loom.internal/pkg/event"
	"loom.internal/pkg/faultpoint"
	"loom.internal/services/gateway/internal/spool"
)

// sent is what has been published of each epoch, and how much of it Postgres has.
type sent struct {
	spool  *spool.Spool
	resend time.Duration
	of     map[uint64]*progress
}

type progress struct {
	published uint64
	confirmed uint64
	since     time.Time // the last time it went forward, or there was nothing to wait for
}

func newSent(s *spool.Spool, resend time.Duration) *sent {
	return &sent{spool: s, resend: resend, of: make(map[uint64]*progress)}
}

// add takes note of entries that the broker has stored.
func (s *sent) add(entries []spool.Entry, now time.Time) {
	for _, e := range entries {
		p := s.of[e.Epoch]
		if p == nil {
			p = new(progress)
			s.of[e.Epoch] = p
		}
		if p.published == p.confirmed {
			p.since = now
		}
		p.published = max(p.published, e.Seq)
	}
}

// unconfirmed leaves out the entries that Postgres is known to have.
func (s *sent) unconfirmed(entries []spool.Entry) []spool.Entry {
	left := make([]spool.Entry, 0, len(entries))
	for _, e := range entries {
		if p := s.of[e.Epoch]; p == nil || e.Seq > p.confirmed {
			left = append(left, e)
		}
	}
	return left
}

// lives lists those with something to be confirmed.
func (s *sent) lives() []event.Life {
	var list []event.Life
	for epoch, p := range s.of {
		if p.confirmed < p.published {
			list = append(list, event.Life{ProducerID: s.spool.Producer(), Epoch: int64(epoch)}) //nolint:gosec // epochs are small
		}
	}
	return list
}

// confirm takes a watermark; one that was seen before changes nothing.
func (s *sent) confirm(epoch, mark uint64, now time.Time) {
	p := s.of[epoch]
	if p == nil || mark <= p.confirmed {
		return
	}
	p.confirmed, p.since = mark, now
	faultpoint.Hit("gateway.confirmed")
	s.spool.Confirm(epoch, mark)
}

// overdue reports whether something has waited too long for its confirmation. It says
// so once, and again after as long.
func (s *sent) overdue(now time.Time) bool {
	over := false
	for _, p := range s.of {
		if p.confirmed < p.published && now.Sub(p.since) >= s.resend {
			p.since, over = now, true
		}
	}
	return over
}
