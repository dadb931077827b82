package recorder

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/store"
	"loom.internal/pkg/telemetry"
	"loom.internal/services/recorder/internal/traces"
)

// Deps are what the recorder works with; who opened them closes them.
type Deps struct {
	Log     *slog.Logger
	NATS    *nats.Conn
	DB      *pgxpool.Pool // role loom_recorder
	Metrics prometheus.Registerer
	Ready   *telemetry.Readiness // gets the conditions postgres and nats
}

// Service is the recorder.
type Service struct {
	d          Deps
	js         jetstream.JetStream
	projection bus.Projection
	board      *bus.Board
	retention  retention
}

// New wires the service; it does no I/O.
func New(cfg Config, d Deps) (*Service, error) {
	js, err := jetstream.New(d.NATS)
	if err != nil {
		return nil, fmt.Errorf("jetstream: %w", err)
	}
	bodies, err := bus.NewBodies(d.NATS)
	if err != nil {
		return nil, err
	}
	metrics, err := bus.NewProjectionMetrics(d.Metrics, bus.ConsumerRecorder)
	if err != nil {
		return nil, err
	}
	d.Ready.Set("postgres", errors.New("not yet checked"))
	d.Ready.Set("nats", errors.New("not yet checked"))
	writer := traces.Writer{DB: d.DB, Consumer: bus.ConsumerRecorder}
	board := bus.NewBoard(js, bus.ConsumerRecorder, d.Log, store.ProgressRecorder.In(d.DB))
	writer.Marked = board.Mark
	keep := retention(cfg.Retention)
	return &Service{d: d, js: js, board: board, retention: keep, projection: bus.Projection{
		Durable: bus.ConsumerRecorder,
		Store:   writer.Write,
		Check:   keep.accept,
		Fetch:   bodies.Fetch,
		BadData: func(err error) bool { return store.IsData(err) || errors.Is(err, bus.ErrNoBody) },
		Metrics: metrics,
		Log:     d.Log,
	}}, nil
}

// Run records until ctx ends, and returns after the batch in hand. It waits for NATS
// and Postgres, however long they are away.
func (s *Service) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.projection.Run(ctx, s.js) })
	g.Go(func() error { return s.projection.WatchLag(ctx, s.js) })
	g.Go(func() error { s.board.Run(ctx, &s.projection); return nil })
	g.Go(func() error { store.KeepPartitions(ctx, s.d.DB, s.d.Log); return nil })
	g.Go(func() error { s.retention.keep(ctx, s.d.DB, s.d.Log); return nil })
	g.Go(func() error {
		s.d.Ready.Watch(ctx, s.d.Log, map[string]func(context.Context) error{
			"postgres": store.Check(s.d.DB, s.d.Log),
			"nats":     func(context.Context) error { return bus.Ready(s.d.NATS) },
		})
		return nil
	})
	return g.Wait()
}
