package verify

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/store"
)

const (
	gaugesEvery = 15 * time.Second
	gaugesLimit = 10 * time.Second
)

// Gauges show what no client waits for and somebody has to be told of: numbers that have
// not come, and events that were set aside. Every replica of the dashboard shows the
// same; while Postgres is away they keep their last values.
type Gauges struct {
	db   *pgxpool.Pool
	log  *slog.Logger
	gaps prometheus.Gauge
	dead *prometheus.GaugeVec
}

// NewGauges registers them; db is a pool of the role loom_admin.
func NewGauges(db *pgxpool.Pool, log *slog.Logger, reg prometheus.Registerer) (*Gauges, error) {
	g := &Gauges{db: db, log: log, gaps: prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "loom_producer_gaps",
		Help: "Events of gateways that are not in Postgres although later ones are. Out of order they come and go; those that stay need a look (loom verify).",
	}), dead: prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "loom_dead_events",
		Help: "Events set aside because a consumer could not store them. Each needs a look (loom dead).",
	}, []string{"consumer"})}
	for _, c := range []prometheus.Collector{g.gaps, g.dead} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("metrics of the pipeline: %w", err)
		}
	}
	return g, nil
}

// Run keeps them up to date until ctx ends.
func (g *Gauges) Run(ctx context.Context) {
	tick := time.NewTicker(gaugesEvery)
	defer tick.Stop()
	for {
		if err := g.refresh(ctx); err != nil && ctx.Err() == nil {
			g.log.LogAttrs(ctx, slog.LevelWarn, "gaps and dead events not counted, trying again later", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (g *Gauges) refresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, gaugesLimit)
	defer cancel()
	var gaps, recorder, analytics int64
	err := g.db.QueryRow(ctx, `
		SELECT (SELECT coalesce(sum(to_seq - from_seq + 1), 0)::bigint FROM producer_gaps),
		       count(*) FILTER (WHERE consumer = $1), count(*) FILTER (WHERE consumer = $2) FROM dead_events`,
		bus.ConsumerRecorder, bus.ConsumerAnalytics).Scan(&gaps, &recorder, &analytics)
	if err != nil {
		return store.Wrap(err)
	}
	g.gaps.Set(float64(gaps))
	g.dead.WithLabelValues(bus.ConsumerRecorder).Set(float64(recorder))
	g.dead.WithLabelValues(bus.ConsumerAnalytics).Set(float64(analytics))
	return nil
}
