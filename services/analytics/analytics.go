package analytics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/event"
	"loom.internal/pkg/store"
	"loom.internal/pkg/telemetry"
	"loom.internal/services/analytics/internal/book"
	"loom.internal/services/analytics/internal/ledger"
)

// Report is the outcome of Reconcile; Wrong is 0 when all is well.
type Report = ledger.Report

// Difference is an entry of a Report.
type Difference = ledger.Difference

// Deps are what analytics works with; who opened them closes them.
type Deps struct {
	Log     *slog.Logger
	NATS    *nats.Conn
	DB      *pgxpool.Pool // role loom_analytics
	Metrics prometheus.Registerer
	Ready   *telemetry.Readiness // gets the conditions postgres and nats
}

// Service is analytics.
type Service struct {
	d          Deps
	js         jetstream.JetStream
	projection bus.Projection
	board      *bus.Board
	audit      *audit
}

// New wires the service; it does no I/O.
func New(cfg Config, d Deps) (*Service, error) {
	js, err := jetstream.New(d.NATS)
	if err != nil {
		return nil, fmt.Errorf("jetstream: %w", err)
	}
	prices, err := book.New(d.DB)
	if err != nil {
		return nil, err
	}
	metrics, err := bus.NewProjectionMetrics(d.Metrics, bus.ConsumerAnalytics)
	if err != nil {
		return nil, err
	}
	unpriced, err := newUnpriced(d.Metrics)
	if err != nil {
		return nil, err
	}
	audit, err := newAudit(cfg.ReconcileEvery, d)
	if err != nil {
		return nil, err
	}
	d.Ready.Set("postgres", errors.New("not yet checked"))
	d.Ready.Set("nats", errors.New("not yet checked"))
	board := bus.NewBoard(js, bus.ConsumerAnalytics, d.Log, store.ProgressAnalytics.In(d.DB))
	writer := ledger.Writer{DB: d.DB, Consumer: bus.ConsumerAnalytics, Prices: prices.Current, Marked: board.Mark, Unpriced: unpriced}
	return &Service{d: d, js: js, board: board, audit: audit, projection: bus.Projection{
		Durable: bus.ConsumerAnalytics,
		Store:   writer.Write,
		Check:   func(e *event.TraceEvent) error { return store.CheckDay(e, time.Now()) },
		BadData: store.IsData,
		Metrics: metrics,
		Log:     d.Log,
	}}, nil
}

// newUnpriced registers the counter of facts without a price and returns what counts.
func newUnpriced(reg prometheus.Registerer) (func(why string), error) {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "loom_analytics_unpriced_total",
		Help: "Traces with a usage that could not be priced, by the reason kept in usage_facts.unpriced_why.",
	}, []string{"why"})
	if err := reg.Register(c); err != nil {
		return nil, fmt.Errorf("metrics of analytics: %w", err)
	}
	for _, why := range ledger.Reasons() {
		c.WithLabelValues(why) // shown from the start, as 0
	}
	return func(why string) { c.WithLabelValues(why).Inc() }, nil
}

// Run keeps ledger and rollups in step with the stream until ctx ends, and returns
// after the batch in hand. It waits for NATS and Postgres, however long they are away.
func (s *Service) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.projection.Run(ctx, s.js) })
	g.Go(func() error { return s.projection.WatchLag(ctx, s.js) })
	g.Go(func() error { s.board.Run(ctx, &s.projection); return nil })
	g.Go(func() error { store.KeepPartitions(ctx, s.d.DB, s.d.Log); return nil })
	g.Go(func() error { s.audit.run(ctx); return nil })
	g.Go(func() error {
		s.d.Ready.Watch(ctx, s.d.Log, map[string]func(context.Context) error{
			"postgres": store.Check(s.d.DB, s.d.Log),
			"nats":     func(context.Context) error { return bus.Ready(s.d.NATS) },
		})
		return nil
	})
	return g.Wait()
}

// Reconcile computes every rollup from the ledger and lists where the two differ. It
// changes nothing and may run beside Run.
func (s *Service) Reconcile(ctx context.Context) (Report, error) {
	return ledger.Reconcile(ctx, s.d.DB, time.Time{})
}
