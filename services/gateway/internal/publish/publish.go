// Package publish brings traces from the spool to JetStream, and lets the spool go of
// those that recorder and analytics both have in Postgres.
//
//	spool ──Next──▶ batch ──▶ LOOM_TRACE ──▶ recorder, analytics ──▶ Postgres
//	  ▲                                                                 │
//	  └──Confirm── the lower one ◀── KV LOOM_WATERMARK ◀── watermarks ──┘
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
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/event"
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
	NATS    *nats.Conn
	Log     *slog.Logger
	Metrics prometheus.Registerer
	Drain   time.Duration // how long Run goes on publishing after its context has ended
	Resend  time.Duration // after so long without confirmation events are sent again
}

// Publisher drains a spool.
type Publisher struct {
	opt     Options
	js      jetstream.JetStream
	metrics metrics
}

// New makes a publisher.
func New(o Options) (*Publisher, error) {
	js, err := jetstream.New(o.NATS)
	if err != nil {
		return nil, fmt.Errorf("JetStream: %w", err)
	}
	return &Publisher{opt: o, js: js, metrics: newMetrics(o.Metrics)}, nil
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
	sent := newSent(s, p.opt.Resend)
	var after spool.Position
	for polled := time.Now(); ; {
		if time.Since(polled) >= pollEvery {
			polled = time.Now()
			if p.confirm(ctx, sent); sent.overdue(polled) {
				p.metrics.resent.Inc()
				p.opt.Log.LogAttrs(ctx, slog.LevelWarn, "traces not confirmed for long, sending them again", slog.Duration("after", p.opt.Resend))
				after = spool.Position{}
			}
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
		after = entries[len(entries)-1].Position
		sent.add(entries, time.Now())
	}
}

// confirm asks how far the consumers have come. A broker that cannot say so now will
// be asked again.
func (p *Publisher) confirm(ctx context.Context, sent *sent) {
	epochs := sent.epochs()
	if len(epochs) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, pollEvery)
	defer cancel()
	kv, err := p.js.KeyValue(ctx, bus.BucketWatermark)
	if err != nil {
		return
	}
	for _, epoch := range epochs {
		life := event.Life{ProducerID: sent.spool.Producer(), Epoch: int64(epoch)} //nolint:gosec // epochs are small
		if mark, err := watermark(ctx, kv, life); err == nil {
			sent.confirm(epoch, mark, time.Now())
		} else if !errors.Is(err, jetstream.ErrKeyNotFound) && ctx.Err() == nil {
			p.opt.Log.LogAttrs(ctx, slog.LevelWarn, "watermark not read", slog.Any("error", err))
		}
	}
}

// watermark is the number up to which every consumer has the events of a life. A consumer
// that has said nothing has none.
func watermark(ctx context.Context, kv jetstream.KeyValue, life event.Life) (uint64, error) {
	lowest := uint64(math.MaxUint64)
	for _, consumer := range bus.Consumers() {
		entry, err := kv.Get(ctx, bus.WatermarkKey(consumer, life))
		if err != nil {
			return 0, err
		}
		mark, err := strconv.ParseUint(string(entry.Value()), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("watermark of %s: %w", consumer, err)
		}
		lowest = min(lowest, mark)
	}
	return lowest, nil
}
