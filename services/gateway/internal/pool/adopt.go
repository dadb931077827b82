package pool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"loom.internal/services/gateway/internal/spool"
)

const (
	pollEvery = 500 * time.Millisecond
	// patience is how long an adopted spool may hold up others while nothing moves in it:
	// for longer than gateways wait until they send again. Then it is another's turn.
	patience = 10 * time.Minute
)

// Run looks for spools of gateways that have gone, until ctx ends, and empties them one
// after the other. What goes wrong with one is logged, and tried again; it is nothing to
// this gateway's own.
func (p *Pool) Run(ctx context.Context, publish Publish) error {
	tick := time.NewTicker(p.opt.Every)
	defer tick.Stop()
	w := newWatch(p)
	done := make(chan outcome, 1)
	for busy := ""; ; {
		w.look(time.Now(), busy)
		if name := w.next(time.Now()); busy == "" && name != "" {
			busy = name
			go func() { done <- outcome{p.adopt(ctx, name, publish, w.others)} }()
		}
		select {
		case <-tick.C:
		case out := <-done:
			w.tried(busy, out.err, time.Now())
			busy = ""
		case <-ctx.Done():
			if busy != "" {
				<-done
			}
			return nil
		}
	}
}

// outcome is how an adoption went.
type outcome struct{ err error }

// adopt takes a spool, ends what was begun in it, publishes all of it until Postgres is
// known to have it, and leaves the directory empty. Whatever ends that before leaves the
// rest to the next one.
func (p *Pool) adopt(ctx context.Context, name string, publish Publish, others func() bool) error {
	o := p.opts
	o.Metrics, o.Beside = nil, p.own
	s, err := p.open(name, o)
	if errors.Is(err, spool.ErrLocked) {
		return nil // its gateway is back, or another one has adopted it
	}
	log := p.opt.Log.With(slog.String("spool", name))
	if err != nil {
		log.ErrorContext(ctx, "a spool that nobody holds cannot be opened: what is in it waits until that is mended", slog.Any("error", err))
		return err
	}
	log.InfoContext(ctx, "adopting the spool of a gateway that is gone", slog.String("producer", s.Producer()), slog.Uint64("traces", events(s)))
	began := time.Now()
	err = p.drain(ctx, s, publish, others)
	p.metrics.adopting.Set(0)
	empty := false
	if err == nil {
		empty, err = s.Clear()
	}
	err = errors.Join(err, s.Close())
	switch {
	case err != nil:
		log.ErrorContext(ctx, "an adopted spool is not emptied, trying again", slog.Any("error", err))
	case empty:
		p.metrics.adopted.Inc()
		log.InfoContext(ctx, "an adopted spool is empty: Postgres has all of it", slog.Duration("took", time.Since(began)))
	default:
		log.InfoContext(ctx, "an adopted spool is left as it is, for another time or another gateway", slog.Uint64("traces", events(s)))
	}
	return err
}

// drain has s published until it holds nothing, ctx ends, or it is another's turn.
func (p *Pool) drain(ctx context.Context, s *spool.Spool, publish Publish, others func() bool) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.Run(ctx) })
	g.Go(func() error {
		if err := publish(ctx, s); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		defer stop()
		tick := time.NewTicker(pollEvery)
		defer tick.Stop()
		last, moved := events(s), time.Now()
		for {
			n := events(s)
			p.metrics.adopting.Set(float64(n))
			if n != last {
				last, moved = n, time.Now()
			}
			if n == 0 || time.Since(moved) >= patience && others() {
				return nil
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return nil
			}
		}
	})
	return g.Wait()
}

// events is how many there are in s, with those that have to end yet.
func events(s *spool.Spool) uint64 {
	st := s.Stats()
	return st.Events + uint64(max(st.Open, 0))
}
