// Package tail shows traces as they are recorded.
//
//	Postgres ◀──every second── feed, one a tenant that somebody watches ──▶ streams ──▶ clients
//
// A feed reads what was recorded since a little before it last looked: a transaction that
// began to record earlier than others may have ended later. Every few times it looks as far
// back as the longest of them may have begun. So streams are given the same trace several
// times, and tell it apart by its id.
package tail

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"loom.internal/services/dashboard/internal/traces"
)

const (
	// MaxStreams bounds the streams of a tenant.
	MaxStreams = 20

	pollEvery = time.Second
	pollLimit = 10 * time.Second // for Postgres to answer
	overlap   = 5 * time.Second  // how long a transaction that records takes at most as a rule
	longest   = 30 * time.Second // how long it may take
	deepEvery = 5                // polls of which one looks back that far
	maxPoll   = 2000             // traces that are read at a time; of more the last
	queued    = 4                // polls that wait for a stream; it misses those beyond
)

// Why there is no stream.
var (
	ErrFull    = errors.New("this tenant has as many streams as it may have")
	ErrStopped = errors.New("the service is stopping")
)

// Source is where recorded traces are read from: a *traces.Reader.
type Source interface {
	Now(ctx context.Context) (time.Time, error)
	Latest(ctx context.Context, tenantID string, from time.Time, limit int) ([]traces.Recorded, time.Time, error)
	After(ctx context.Context, tenantID string, place traces.Place, until time.Time, limit int) ([]traces.Recorded, error)
}

// Hub has the feeds.
type Hub struct {
	source Source
	log    *slog.Logger
	wg     sync.WaitGroup

	mu      sync.Mutex
	feeds   map[string]*feed // by tenant
	stopped bool
}

// feed is what the streams of a tenant have in common.
type feed struct {
	streams map[*Stream]bool // true: it takes what is read
	stop    context.CancelFunc
}

// poll is what was read at a time.
type poll struct {
	traces []traces.Recorded
	lost   bool // not all could be read, or taken
	now    time.Time
}

// NewHub takes where traces are read from. No stream ends by itself before Run does.
func NewHub(source Source, log *slog.Logger) *Hub {
	return &Hub{source: source, log: log, feeds: map[string]*feed{}}
}

// Run ends all streams when ctx ends, and returns when nothing is read any more.
func (h *Hub) Run(ctx context.Context) {
	<-ctx.Done()
	h.mu.Lock()
	h.stopped = true
	for _, f := range h.feeds {
		f.stop()
		for s := range f.streams {
			close(s.ended)
		}
	}
	h.feeds = map[string]*feed{}
	h.mu.Unlock()
	h.wg.Wait()
}

// join gives a stream its place in the feed of its tenant.
func (h *Hub) join(s *Stream) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stopped {
		return ErrStopped
	}
	f := h.feeds[s.TenantID]
	if f == nil {
		f = &feed{streams: map[*Stream]bool{}, stop: func() {}}
		h.feeds[s.TenantID] = f
	}
	if len(f.streams) >= MaxStreams {
		return ErrFull
	}
	f.streams[s] = false
	return nil
}

// listen lets s take what is read from now on, and begins to read for the first.
func (h *Hub) listen(s *Stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := h.feeds[s.TenantID]
	if f == nil { // stopped: s knows
		return
	}
	first := true
	for _, listening := range f.streams {
		first = first && !listening
	}
	f.streams[s] = true
	if first {
		ctx, stop := context.WithCancel(context.Background()) // of no request: the streams share it
		f.stop = stop
		h.wg.Go(func() { h.read(ctx, s.TenantID, f) })
	}
}

// leave ends the reading with the last stream.
func (h *Hub) leave(s *Stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := h.feeds[s.TenantID]
	if f == nil {
		return
	}
	delete(f.streams, s)
	for _, listening := range f.streams {
		if listening {
			return
		}
	}
	f.stop()
	if len(f.streams) == 0 {
		delete(h.feeds, s.TenantID)
	}
}

// read polls for a tenant until ctx ends. While Postgres is away it has not moved on.
func (h *Hub) read(ctx context.Context, tenantID string, f *feed) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	var seen time.Time // everything recorded before is read
	for shallow := 0; ; shallow++ {
		back := overlap
		if shallow >= deepEvery-1 {
			back = longest + deepEvery*pollEvery
		}
		if p, err := h.poll(ctx, tenantID, seen, back); err == nil {
			if seen = p.now; back > overlap {
				shallow = -1
			}
			h.hand(f, p)
		} else if ctx.Err() == nil {
			h.log.LogAttrs(ctx, slog.LevelWarn, "recorded traces not read, trying again", slog.String("tenant_id", tenantID), slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (h *Hub) poll(ctx context.Context, tenantID string, seen time.Time, back time.Duration) (p poll, err error) {
	ctx, cancel := context.WithTimeout(ctx, pollLimit)
	defer cancel()
	from := seen
	if seen.IsZero() {
		if from, err = h.source.Now(ctx); err != nil {
			return p, err
		}
	}
	p.traces, p.now, err = h.source.Latest(ctx, tenantID, from.Add(-back), maxPoll)
	p.lost = len(p.traces) == maxPoll && !seen.IsZero() && !p.traces[0].RecordedAt.Before(seen)
	return p, err
}

// now is the time by which traces are recorded.
func (h *Hub) now(ctx context.Context) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, pollLimit)
	defer cancel()
	return h.source.Now(ctx)
}

// hand gives a poll to the streams that can take it; the others are told that they missed some.
func (h *Hub) hand(f *feed, p poll) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s, listening := range f.streams {
		if !listening {
			continue
		}
		mine := p
		mine.lost = p.lost || s.missed
		select {
		case s.polls <- mine:
			s.missed = false
		default:
			s.missed = true
		}
	}
}
