// Package publish brings traces from the spool to JetStream, and lets the spool go of
// those that recorder and analytics both have in Postgres.
//
//	                  ┌──▶ LOOM_BODIES: what is too large for an event ──┐
//	spool ──Next──▶ batch ──▶ LOOM_TRACE ──▶ recorder, analytics ──▶ Postgres
//	  ▲                                                                 │
//	  └──Confirm── the lower one ◀── KV LOOM_WATERMARK ◀── watermarks ──┘
//	                                        ▲
//	  which numbers there are, for verify ──┘
//
// An event keeps its id and its place however often it is sent: what is stored twice is
// one trace. What stays unconfirmed for long is sent again, for the broker may have lost
// it after it had acknowledged it.
package publish

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/event"
	"loom.internal/pkg/faultpoint"
	"loom.internal/services/gateway/internal/spool"
)

const (
	batchEvents = 100
	batchBytes  = 2 << 20
	pollEvery   = 500 * time.Millisecond
	minWait     = 50 * time.Millisecond
	maxWait     = 2 * time.Second
)

// Options of New.
type Options struct {
	Broker  Broker
	Bodies  Bodies
	Log     *slog.Logger
	Metrics prometheus.Registerer
	Drain   time.Duration // how long Run goes on publishing after its context has ended
	Resend  time.Duration // after so long without confirmation events are sent again
}

// Publisher drains a spool.
type Publisher struct {
	opt     Options
	metrics metrics
}

// New makes a publisher.
func New(o Options) *Publisher {
	return &Publisher{opt: o, metrics: newMetrics(o.Metrics)}
}

// Run publishes what is in s, until s has ended and is drained, or until the drain
// that begins with the end of ctx is over. What is left stays in the spool for the next
// process.
func (p *Publisher) Run(ctx context.Context, s *spool.Spool) error {
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(p.opt.Drain, stop) })()

	err := p.drain(work, s)
	if left := s.Stats(); left.Events > 0 && ctx.Err() != nil {
		p.opt.Log.LogAttrs(work, slog.LevelInfo, "traces stay in the spool until Postgres is known to have them", slog.Uint64("traces", left.Events))
	}
	return err
}

func (p *Publisher) drain(ctx context.Context, s *spool.Spool) error {
	sent, teller := newSent(s, p.opt.Resend), newTeller(p.opt, s, time.Now())
	defer teller.end(ctx)
	var after spool.Position
	for polled := time.Now(); ; {
		if time.Since(polled) >= pollEvery {
			polled = time.Now()
			if p.confirm(ctx, sent); sent.overdue(polled) {
				p.metrics.resent.Inc()
				p.opt.Log.LogAttrs(ctx, slog.LevelWarn, "traces not confirmed for long, sending them again", slog.Duration("after", p.opt.Resend))
				after = spool.Position{}
			}
			teller.tell(ctx, polled)
		}
		next, cancel := context.WithTimeout(ctx, pollEvery)
		entries, err := s.Next(next, after, batchEvents, batchBytes)
		cancel()
		if ctx.Err() != nil || errors.Is(err, spool.ErrClosed) {
			return nil //nolint:nilerr // both are how draining ends well
		}
		if errors.Is(err, context.DeadlineExceeded) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read the spool: %w", err)
		}
		if !p.deliver(ctx, sent.unconfirmed(entries), s.Producer()) {
			return nil // ctx has ended
		}
		faultpoint.Hit("gateway.acknowledged")
		after = entries[len(entries)-1].Position
		sent.add(entries, time.Now())
	}
}

// confirm asks how far the consumers have come. A broker that cannot say so now will
// be asked again.
func (p *Publisher) confirm(ctx context.Context, sent *sent) {
	lives := sent.lives()
	if len(lives) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, pollEvery)
	defer cancel()
	marks, err := p.opt.Broker.Watermarks(ctx, lives)
	if err != nil {
		p.opt.Log.LogAttrs(ctx, slog.LevelWarn, "watermark not read", slog.Any("error", err))
	}
	for _, life := range lives {
		sent.confirm(uint64(life.Epoch), lowest(marks, life), time.Now()) //nolint:gosec // epochs are small
	}
}

// lowest is the number up to which every consumer has the events of a life. A consumer
// that has said nothing has none.
func lowest(marks map[string]event.Watermarks, life event.Life) uint64 {
	mark := int64(math.MaxInt64)
	for _, consumer := range bus.Consumers() {
		mark = min(mark, marks[consumer][life])
	}
	return uint64(mark)
}
