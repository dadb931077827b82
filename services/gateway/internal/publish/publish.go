// Package publish brings finished traces to JetStream. They wait in memory, in a queue
// with bounds, until the broker has acknowledged them.
//
//	Begin (room reserved) … End ──▶ queue ──▶ workers ──▶ LOOM_TRACE, until acked
package publish

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/event"
)

// ErrFull is Begin's error while the queue has no room.
var ErrFull = errors.New("trace queue is full")

const (
	workers    = 64 // publishes in flight
	ackTimeout = 5 * time.Second
	minWait    = 50 * time.Millisecond
	maxWait    = 2 * time.Second
	reserved   = 16 << 10 // bytes taken into account for a trace that has not ended
)

// Options of New.
type Options struct {
	JS      jetstream.JetStream
	Log     *slog.Logger
	Metrics prometheus.Registerer
	ID      string        // of the producer
	Epoch   uint64        // grows with every start of the producer
	Events  int           // bound of the queue, traces begun included
	Bytes   int64         // bound of the queue; traces begun count as 16 KiB each
	Drain   time.Duration // how long Run goes on publishing after its context has ended
}

// Publisher is the queue and its workers. It is safe for concurrent use.
type Publisher struct {
	opt     Options
	queue   chan message // never blocks a sender: Begin has reserved the room
	metrics metrics

	mu    sync.Mutex
	seq   uint64
	count int // traces begun or queued
	bytes int64
}

type message struct {
	msg     *nats.Msg
	traceID string
	size    int64
}

// New makes a publisher; nothing is published before Run.
func New(o Options) (*Publisher, error) {
	if o.Events < 1 || o.Bytes < event.MaxSize {
		return nil, fmt.Errorf("trace queue of %d events and %d bytes: at least 1 and %d needed", o.Events, o.Bytes, event.MaxSize)
	}
	p := &Publisher{opt: o, queue: make(chan message, o.Events)}
	p.metrics = newMetrics(o.Metrics, p)
	return p, nil
}

// Begin reserves room for a trace. After nil, End must be called once with the
// finished event; after ErrFull the request must not be served.
func (p *Publisher) Begin(context.Context, *event.TraceEvent) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.count >= p.opt.Events || p.bytes+reserved > p.opt.Bytes {
		p.metrics.refused.Inc()
		return ErrFull
	}
	p.count++
	p.bytes += reserved
	return nil
}

// End takes the finished event of a trace that was begun, gives it its place in the
// producer's sequence and queues it. It fails for an invalid event only.
func (p *Publisher) End(_ context.Context, e *event.TraceEvent) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bytes -= reserved
	// Encoded under the lock: the sequence has no gap, so a number is taken only
	// together with an event that is sure to follow.
	e.Producer = &event.Producer{Id: p.opt.ID, Epoch: p.opt.Epoch, Seq: p.seq + 1}
	data, err := event.Marshal(e)
	if err != nil {
		p.count--
		return err
	}
	p.seq++
	msg := &nats.Msg{Subject: event.Subject(e), Header: nats.Header(event.Headers(e)), Data: data}
	msg.Header.Set(jetstream.MsgIDHeader, e.GetTraceId())
	m := message{msg: msg, traceID: e.GetTraceId(), size: int64(len(data))}
	p.bytes += m.size
	p.queue <- m
	return nil
}

// Pending is how many traces have begun or wait to be acknowledged.
func (p *Publisher) Pending() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count
}

// Run publishes until ctx ends and then until the queue is empty or the drain is
// over. It must outlive whoever calls Begin and End. What is left is lost, and Run
// says how much it was.
func (p *Publisher) Run(ctx context.Context) error {
	// The end of ctx starts the drain; only the drain's end stops the workers.
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() { p.work(work) })
	}
	<-ctx.Done()
	p.drain(work)
	stop()
	wg.Wait()
	if left := p.Pending(); left > 0 {
		p.opt.Log.LogAttrs(work, slog.LevelError, "stopped with traces that the broker has not acknowledged: they are lost", slog.Int("traces", left))
		return fmt.Errorf("%d traces lost: the broker did not acknowledge them within %s", left, p.opt.Drain)
	}
	return nil
}

func (p *Publisher) drain(ctx context.Context) {
	deadline := time.NewTimer(p.opt.Drain)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for p.Pending() > 0 {
		select {
		case <-tick.C:
		case <-deadline.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

func (p *Publisher) work(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-p.queue:
			if p.publish(ctx, m) {
				p.release(m)
			}
		}
	}
}

// publish tries until the broker has acknowledged the event, each time with the same
// id: an event that was stored by a try that seemed to fail is not stored twice.
func (p *Publisher) publish(ctx context.Context, m message) (acked bool) {
	for wait := minWait; ; wait = min(2*wait, maxWait) {
		err := p.try(ctx, m)
		if err == nil {
			p.metrics.published.Inc()
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		p.metrics.retries.Inc()
		p.opt.Log.LogAttrs(ctx, slog.LevelDebug, "trace not published, trying again", slog.String("trace_id", m.traceID), slog.Any("error", err))
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return false
		case <-timer.C:
		}
	}
}

func (p *Publisher) try(ctx context.Context, m message) error {
	ctx, cancel := context.WithTimeout(ctx, ackTimeout)
	defer cancel()
	_, err := p.opt.JS.PublishMsg(ctx, m.msg, jetstream.WithExpectStream(bus.StreamTrace), jetstream.WithRetryAttempts(0))
	return err
}

func (p *Publisher) release(m message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count--
	p.bytes -= m.size
}
