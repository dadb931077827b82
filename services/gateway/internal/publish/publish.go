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
// it after it had acknowledged it; and so is what Postgres has lost after it had it.
package publish

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

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
	unread  rate.Sometimes // of what goes on until someone does something
}

// New makes a publisher.
func New(o Options) *Publisher {
	return &Publisher{opt: o, metrics: newMetrics(o.Metrics), unread: rate.Sometimes{Interval: time.Minute}}
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
	watching, stop := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { p.watch(watching, sent) })
	defer watch.Wait()
	defer stop()
	var after spool.Position
	for polled := time.Now(); ; {
		if time.Since(polled) >= pollEvery {
			polled = time.Now()
			if sent.again(after, polled) {
				p.metrics.resent.Inc()
				p.opt.Log.LogAttrs(ctx, slog.LevelWarn, "traces not confirmed for long, sending them again")
				after = spool.Position{}
			}
			teller.tell(ctx, polled)
		}
		next, cancel := context.WithTimeout(ctx, pollEvery)
		entries, err := s.Next(next, after, batchEvents, batchBytes)
		cancel()
		if ctx.Err() != nil || errors.Is(err, spool.ErrClosed) {
			return nil // both are how draining ends well
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
