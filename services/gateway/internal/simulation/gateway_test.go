package simulation

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	"loom.internal/pkg/event"
	"loom.internal/services/gateway/internal/pool"
	"loom.internal/services/gateway/internal/publish"
	"loom.internal/services/gateway/internal/record"
	"loom.internal/services/gateway/internal/spool"
	"loom.internal/services/gateway/internal/spool/disk/disktest"
)

// gateway is one that takes requests.
type gateway struct {
	*process
	recorder *record.Recorder
	spool    *spool.Spool
	requests sync.WaitGroup
	cut      chan struct{} // closed when it drains no longer
}

// serve is a gateway, life after life, each on whatever disk it gets. One that is not the
// first may end for good, or rest for so long that others adopt what it has left.
func (w *world) serve(lane int) {
	rng := w.dice(fmt.Sprintf("gateway-%d", lane))
	<-time.After(time.Duration(lane) * 7 * time.Millisecond) // who comes first is no matter of luck
	for life := 1; !w.isOver(); life++ {
		w.serveOnce(lane, life, rng)
		switch {
		case lane > 0 && rng.IntN(3) == 0:
			w.note("gateway-%d is gone for good", lane)
			return
		case rng.IntN(4) == 0 && w.lanes() > 1:
			w.rest(rng, 2*time.Minute)
		default:
			w.rest(rng, 8*time.Second)
		}
	}
}

func (w *world) serveOnce(lane, life int, rng *rand.Rand) {
	p := w.spawn(fmt.Sprintf("gateway-%d.%d", lane, life))
	w.running("gateway", lane, p)
	metrics, log := prometheus.NewRegistry(), w.log(p.name)
	place := mooring{p, w.dice(p.name + " place")}
	defer func() { p.dead(); place.over(rng) }()
	spools := pool.New(pool.Options{Place: place, Log: log, Metrics: metrics})
	g := &gateway{process: p, cut: make(chan struct{})}
	g.recorder = record.New(record.Options{
		Durability: w.durability, MaxBytes: 8 << 20, Policy: record.Required, Log: log, Metrics: metrics, OpenSpool: spools.Take,
	})
	var err error
	g.spool, err = g.recorder.Open()
	switch {
	case err == nil:
	case errors.Is(err, disktest.ErrCrashed), errors.Is(err, syscall.EIO), errors.Is(err, syscall.EROFS), errors.Is(err, syscall.ENOSPC):
		w.note("%s: %v", p.name, err)
		return
	default:
		w.fail("%s: %v", p.name, err)
		return
	}
	ctx, cancel := context.WithCancel(p.ctx)
	var sends atomic.Int64
	send := func(ctx context.Context, s *spool.Spool) error {
		return publish.New(publish.Options{
			Broker: publishing{line: p.line(fmt.Sprintf("broker %d", sends.Add(1)))}, Log: log, Metrics: prometheus.NewRegistry(),
			Drain: 2 * time.Second, Resend: w.resend,
		}).Run(ctx, s)
	}
	var parts sync.WaitGroup
	parts.Go(func() {
		if err := g.spool.Run(ctx); err != nil {
			w.note("%s: %v", p.name, err)
			p.told()
		}
	})
	parts.Go(func() {
		if err := send(ctx, g.spool); err != nil && !errors.Is(err, spool.ErrFailed) {
			w.fail("%s: publish: %v", p.name, err)
		}
	})
	adopting, giveUp := context.WithCancel(ctx)
	parts.Go(func() { _ = spools.Run(adopting, send) }) // it returns nil
	w.serving(lane, g)
	p.lives()
	w.serving(lane, nil)
	giveUp()
	if !p.killed() { // a drain as in Service.Run
		drain := time.AfterFunc(2*time.Second, func() { close(g.cut) })
		g.requests.Wait()
		drain.Stop()
	}
	cancel()
	parts.Wait()
	g.requests.Wait()
	if err := g.spool.Close(); err != nil {
		w.fail("%s: close: %v", p.name, err)
	}
	w.count(metrics)
}

// request is one as its client and its provider see it.
type request struct {
	begin     *event.TraceEvent // what its gateway knew when it began
	end       *event.TraceEvent // what it wanted to keep in the end; nil if it did not get there
	sent      bool              // the provider was called
	released  bool              // the client has the whole answer
	mayHave   bool              // whether the beginning was kept is not known
	mayBeBare bool              // its bodies may be missing: the spool was full
}

// load sends requests, each to the gateway that serves at that time, if one does.
func (w *world) load(rng *rand.Rand, n int, until time.Time) {
	var all sync.WaitGroup
	for i := 0; i < n && time.Now().Before(until); i++ {
		gap := int64(15 * time.Millisecond)
		if rng.IntN(5) < 2 {
			gap = int64(8 * time.Second)
		}
		<-time.After(time.Duration(rng.Int64N(gap)))
		all.Go(func() { w.request(i) })
	}
	all.Wait()
}

func (w *world) request(i int) {
	g := w.enter(i)
	if g == nil {
		return
	}
	defer g.requests.Done()
	l := &line{g.process, w.dice(fmt.Sprintf("request %d", i))}
	e := w.newEvent(i, l.rng)
	r := &request{begin: proto.Clone(e).(*event.TraceEvent)}
	w.know(r)
	if err := g.recorder.Begin(context.Background(), e); err != nil {
		r.mayHave = errors.Is(err, spool.ErrFailed)
		w.note("request %d is refused: %v", i, err)
		return
	}
	r.sent = true
	w.note("request %d begins", i)
	took := time.Duration(l.rng.Int64N(int64(2 * time.Second)))
	if l.rng.IntN(4) == 0 {
		took *= 20
	}
	answer := time.NewTimer(took)
	defer answer.Stop()
	e.Outcome, e.HttpStatus = event.Outcome_OUTCOME_COMPLETED, 200
	select {
	case <-g.gone:
		return
	case <-g.cut:
		e.Outcome, e.ErrorClass = event.Outcome_OUTCOME_FAILED, "shutdown"
	case <-answer.C:
	}
	e.DurationUs = took.Microseconds()
	e.RequestBody, e.ResponseBody = body(l.rng, 300), body(l.rng, 4000)
	r.end = proto.Clone(e).(*event.TraceEvent)
	if err := g.recorder.End(context.Background(), e); err != nil {
		r.mayBeBare = e.ResponseBody == nil
		w.note("request %d does not end: %v", i, err)
		if !errors.Is(err, spool.ErrFailed) && !errors.Is(err, spool.ErrClosed) {
			w.fail("the end of a request is not kept: %v", err)
		}
		return
	}
	r.end, r.released = e, true
	w.note("request %d ends", i)
}

// newEvent is what a gateway knows of a request when it begins.
func (w *world) newEvent(i int, rng *rand.Rand) *event.TraceEvent {
	id := uuid.UUID{6: 0x70, 8: 0x80, 13: byte(i >> 16), 14: byte(i >> 8), 15: byte(i)} // version 7
	return &event.TraceEvent{
		TraceId: id.String(), TenantId: "acme", KeyId: "key00001", Endpoint: "chat.completions", ModelRequested: "m",
		StartedAtUs: epoch.Add(time.Since(w.began)).UnixMicro(), RequestBytes: rng.Int64N(1000),
		ContentMode: event.ContentMode_CONTENT_MODE_FULL, UsageSource: event.UsageSource_USAGE_SOURCE_NONE,
	}
}

// epoch is when schedules begin, for events: the bubble's own time is before their age.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func body(rng *rand.Rand, limit int) *event.SealedBody {
	text := make([]byte, 16+rng.IntN(limit))
	for i := range text {
		text[i] = byte(rng.Uint32())
	}
	return &event.SealedBody{
		Ciphertext: text, Iv: make([]byte, 12), Sha256: make([]byte, 32), Suite: 1, KeyVersion: 1, PlainLength: int64(len(text)) - 16,
	}
}
