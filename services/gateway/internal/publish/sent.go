package publish

import (
	"sync"
	"time"

	"loom.internal/pkg/event"
	"loom.internal/pkg/faultpoint"
	"loom.internal/services/gateway/internal/spool"
)

// maxResend bounds the growing time until something is sent again. What waits longest is
// what a consumer will not have for long, with the stream full of it already.
const maxResend = time.Hour

// sent is what has been published of each epoch, and how much of it Postgres has.
type sent struct {
	spool  *spool.Spool
	resend time.Duration

	mu   sync.Mutex
	of   map[uint64]*progress
	pass spool.Position // what was there when all was last begun anew
}

type progress struct {
	published uint64 // by this process
	confirmed uint64
	since     time.Time     // the last time it went forward, was sent again, or there was nothing to wait for
	wait      time.Duration // from then on, until it is sent again
	asked     time.Time     // when its watermark was asked for
	behind    time.Time     // since when the watermark is lower than it ought to be; zero: it is not
}

func newSent(s *spool.Spool, resend time.Duration) *sent {
	return &sent{spool: s, resend: resend, of: make(map[uint64]*progress)}
}

// add takes note of entries that the broker has stored.
func (s *sent) add(entries []spool.Entry, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range entries {
		p := s.of[e.Epoch]
		if p == nil {
			p = &progress{wait: s.resend}
			s.of[e.Epoch] = p
		}
		if p.published == p.confirmed || e.Seq <= p.published {
			p.since = now
		}
		p.published = max(p.published, e.Seq)
	}
}

// unconfirmed leaves out the entries that Postgres is known to have.
func (s *sent) unconfirmed(entries []spool.Entry) []spool.Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := make([]spool.Entry, 0, len(entries))
	for _, e := range entries {
		if p := s.of[e.Epoch]; p == nil || e.Seq > p.confirmed {
			left = append(left, e)
		}
	}
	return left
}

// askIdle is how often a watermark is asked for from which nothing but that it has gone
// back is to be learned.
const askIdle = 5 * time.Second

// lives lists those whose watermarks are to be asked for: of all that was published and
// is not confirmed, and now and then of what is confirmed and still in the spool.
func (s *sent) lives(now time.Time) []event.Life {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []event.Life
	for epoch, p := range s.of {
		gone := s.spool.Gone(epoch)
		if p.confirmed == p.published && gone >= p.published && epoch != s.spool.Epoch() {
			delete(s.of, epoch) // over
			continue
		}
		if p.confirmed < p.published || now.Sub(p.asked) >= askIdle {
			p.asked = now
			list = append(list, event.Life{ProducerID: s.spool.Producer(), Epoch: int64(epoch)}) //nolint:gosec // under 2^63
		}
	}
	return list
}

// verdict is what a watermark says that is not as it should be.
type verdict struct {
	foreign bool   // it is over all that this epoch has given: it is not of this epoch
	lost    bool   // Postgres has lost what it had: confirmed has gone back
	gone    uint64 // Postgres lacks some of the numbers up to here, which are not in the spool either
}

// confirm takes a watermark. It counts for what this process has published itself: nothing
// is let go of before the broker has had it. A lower one than before counts when it has
// stayed for long: replicas of a consumer may put theirs in any order.
func (s *sent) confirm(epoch, mark uint64, now time.Time) (v verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.of[epoch]
	if p == nil {
		return v
	}
	if epoch == s.spool.Epoch() && mark > s.spool.Given() {
		return verdict{foreign: true}
	}
	mark = min(mark, p.published)
	gone := min(s.spool.Gone(epoch), p.published)
	switch {
	case mark >= max(p.confirmed, gone):
		p.behind = time.Time{}
	case p.behind.IsZero():
		p.behind = now
	case now.Sub(p.behind) >= s.resend:
		p.behind = now
		if mark < gone {
			v.gone = gone
		}
		if mark < p.confirmed {
			v.lost = true
			p.confirmed, p.since, p.wait = mark, now.Add(-s.resend), s.resend
			s.spool.Confirm(epoch, mark)
		}
	}
	if mark > p.confirmed {
		p.confirmed, p.since, p.wait = mark, now, s.resend
		faultpoint.Hit("gateway.confirmed")
		s.spool.Confirm(epoch, mark)
	}
	return v
}

// again reports whether something has waited too long for its confirmation, so that all
// of it is to be sent again. It does not before all that was there the last time has been
// sent, so that what is at the end is sent as well; and each time after twice as long.
func (s *sent) again(after spool.Position, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if after.Epoch < s.pass.Epoch || after.Epoch == s.pass.Epoch && after.Seq < s.pass.Seq {
		return false
	}
	over := false
	for _, p := range s.of {
		if p.confirmed < p.published && now.Sub(p.since) >= p.wait {
			p.since, p.wait, over = now, min(2*p.wait, max(maxResend, s.resend)), true
		}
	}
	if over {
		s.pass = s.spool.Last()
	}
	return over
}

// anew is when the broker has another disk. What it had may be nowhere now, and so may
// what its watermarks told of: what is here counts as sent, and not as confirmed.
func (s *sent) anew(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for epoch, p := range s.of {
		p.confirmed, p.wait, p.behind = 0, s.resend, time.Time{}
		p.since = now
		s.spool.Confirm(epoch, 0)
	}
}
