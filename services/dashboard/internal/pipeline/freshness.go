// Package pipeline tells how far traces are on their way from gateways into Postgres.
package pipeline

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"loom.internal/pkg/bus"
)

const (
	freshEvery = 2 * time.Second
	freshLimit = 2 * time.Second // for the bus to say
	freshFor   = 10 * time.Second
)

// Freshness knows up to when everything is stored. It asks the bus on its own time, so
// that nobody waits for it.
type Freshness struct {
	js  jetstream.JetStream
	nc  *nats.Conn
	log *slog.Logger
	now func() time.Time

	told atomic.Pointer[told]
}

// told is what the bus said, and when.
type told struct{ at, to time.Time }

// Run asks every few seconds until ctx ends.
func (f *Freshness) Run(ctx context.Context) {
	tick := time.NewTicker(freshEvery)
	defer tick.Stop()
	for {
		if err := f.ask(ctx); err != nil && ctx.Err() == nil {
			f.log.LogAttrs(ctx, slog.LevelDebug, "the bus does not say how far consumers are", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (f *Freshness) ask(ctx context.Context) error {
	if err := bus.Ready(f.nc); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, freshLimit)
	defer cancel()
	now := f.now().Truncate(time.Microsecond)
	to := now
	for _, name := range consumers() {
		p, err := bus.ProgressOf(ctx, f.js, name, now)
		if err != nil {
			return err
		}
		to = earlier(to, p.Settled)
	}
	f.told.Store(&told{at: now, to: to.UTC()})
	return nil
}

// To is the moment before which everything that ended is recorded and accounted; nil where
// the bus has not said so lately.
func (f *Freshness) To() *time.Time {
	t := f.told.Load()
	if t == nil || f.now().Sub(t.at) > freshFor {
		return nil
	}
	return &t.to
}

func consumers() []string { return []string{bus.ConsumerRecorder, bus.ConsumerAnalytics} }

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
