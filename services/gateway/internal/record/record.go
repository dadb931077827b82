// Package record keeps traces: each is on the gateway's disk before its provider is
// called, and whole before the last byte of its answer goes out.
package record

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
	"google.golang.org/protobuf/proto"

	"loom.internal/pkg/event"
	"loom.internal/services/gateway/internal/spool"
)

// Policy says what becomes of a request whose trace cannot be kept.
type Policy string

// The policies.
const (
	Required   Policy = "required"    // it is refused
	BestEffort Policy = "best_effort" // it is served without a trace, and counted
)

// reserve is set aside for a trace's end beyond the size of its request, in bytes. An
// end that fits never fails for want of room. Metadata with all lists full and a
// handful of attempts come to less.
const reserve = 128 << 10

// logEvery is how often a fault that befalls every request is told; metrics count them.
const logEvery = 10 * time.Second

var errNotOpen = errors.New("the spool is not open")

// Options of New.
type Options struct {
	Dir        string
	Durability spool.Durability
	MaxBytes   int64
	Policy     Policy
	Captured   int64 // at most, of the request's bytes in a trace
	Log        *slog.Logger
	Metrics    prometheus.Registerer

	// OpenSpool, if set, opens the spool, in Dir or elsewhere.
	OpenSpool func(spool.Options) (*spool.Spool, error)
}

// Recorder writes traces into a spool. Begin and End are for many goroutines, from
// Open to Close.
type Recorder struct {
	opt      Options
	untraced prometheus.Counter
	skipped  sync.Map // ids of requests that are served without a trace
	unkept   rate.Sometimes
	bare     rate.Sometimes
	cut      prometheus.Counter

	mu    sync.RWMutex
	spool *spool.Spool // nil before Open
}

// New makes a recorder; Open opens its spool.
func New(o Options) *Recorder {
	r := &Recorder{
		opt:    o,
		unkept: rate.Sometimes{Interval: logEvery}, bare: rate.Sometimes{Interval: logEvery},
		untraced: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "loom_untraced_total",
			Help: "Requests served without a trace, as the policy best_effort allows.",
		}),
		cut: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "loom_gateway_bodies_unkept_total",
			Help: "Bodies left out of their traces because the spool had no room for them.",
		}),
	}
	o.Metrics.MustRegister(r.untraced, r.cut)
	return r
}

// Open takes the spool's directory. What an earlier process left is in the spool then.
func (r *Recorder) Open() (*spool.Spool, error) {
	open := r.opt.OpenSpool
	if open == nil {
		open = func(o spool.Options) (*spool.Spool, error) { return spool.Open(r.opt.Dir, o) }
	}
	s, err := open(spool.Options{
		Durability: r.opt.Durability, MaxBytes: r.opt.MaxBytes, Interrupted: interrupted, Log: r.opt.Log, Metrics: r.opt.Metrics,
	})
	if err != nil {
		return nil, fmt.Errorf("open the spool in %s: %w", r.opt.Dir, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.spool = s
	return s, nil
}

func (r *Recorder) opened() (*spool.Spool, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.spool == nil {
		return nil, errNotOpen
	}
	return r.spool, nil
}

// Begin keeps what is known of a request before its provider is called. After an error
// the request must not be served.
func (r *Recorder) Begin(ctx context.Context, e *event.TraceEvent) error {
	err := r.begin(ctx, e)
	if err == nil || r.opt.Policy == Required {
		return err
	}
	r.untraced.Inc()
	r.skipped.Store(e.GetTraceId(), nil)
	r.unkept.Do(func() {
		r.opt.Log.LogAttrs(ctx, slog.LevelError, "requests are served without a trace", slog.String("trace_id", e.GetTraceId()), slog.Any("error", err))
	})
	return nil
}

func (r *Recorder) begin(ctx context.Context, e *event.TraceEvent) error {
	s, err := r.opened()
	if err != nil {
		return err
	}
	id, err := uuid.Parse(e.GetTraceId())
	if err != nil {
		return fmt.Errorf("trace id: %w", err)
	}
	data, err := proto.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode the beginning of a trace: %w", err)
	}
	kept := int64(0)
	if e.GetContentMode() == event.ContentMode_CONTENT_MODE_FULL {
		kept = min(e.GetRequestBytes(), r.opt.Captured)
	}
	return s.Begin(ctx, id, data, reserve+int(kept))
}

// End keeps the whole trace. When it returns nil the trace is safe.
func (r *Recorder) End(ctx context.Context, e *event.TraceEvent) error {
	if _, ok := r.skipped.LoadAndDelete(e.GetTraceId()); ok {
		return nil
	}
	err := r.end(ctx, e)
	// The place set aside is enough for everything but the answer, or else the bodies.
	for _, b := range []**event.SealedBody{&e.ResponseBody, &e.RequestBody} {
		if *b == nil || !errors.Is(err, spool.ErrFull) {
			continue
		}
		r.cut.Inc()
		r.bare.Do(func() {
			r.opt.Log.LogAttrs(ctx, slog.LevelError, "the spool is full: traces are kept without a body", slog.String("trace_id", e.GetTraceId()))
		})
		*b = nil
		err = r.end(ctx, e)
	}
	return err
}

func (r *Recorder) end(ctx context.Context, e *event.TraceEvent) error {
	s, err := r.opened()
	if err != nil {
		return err
	}
	id, err := uuid.Parse(e.GetTraceId())
	if err != nil {
		return fmt.Errorf("trace id: %w", err)
	}
	data, err := event.MarshalUnplaced(e)
	if err != nil {
		return err
	}
	return s.End(ctx, id, data)
}

// interrupted makes the end of a request whose gateway died: what its beginning says,
// and that nobody knows how it went on.
func interrupted(_ [16]byte, begin []byte) ([]byte, error) {
	e := new(event.TraceEvent)
	if err := proto.Unmarshal(begin, e); err != nil {
		return nil, fmt.Errorf("read the beginning of a trace: %w", err)
	}
	e.Outcome, e.ErrorClass = event.Outcome_OUTCOME_INTERRUPTED, "gateway_died"
	e.UsageSource = event.UsageSource_USAGE_SOURCE_NONE
	return event.MarshalUnplaced(e)
}
