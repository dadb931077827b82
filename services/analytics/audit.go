package analytics

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"loom.internal/pkg/store"
	"loom.internal/services/analytics/internal/ledger"
)

const (
	auditDays = 31
	auditTold = 10 // differences that are logged

	// The first comparison comes soon, so that a process which is started again every day
	// compares as well, and not at once, so that replicas and what else starts with them
	// do not all ask Postgres for much at the same time.
	auditSoonest = time.Minute
	auditSpread  = 4 * time.Minute
)

// audit compares the rollups with the ledger, again and again. Of several replicas one
// does it at a time.
type audit struct {
	d     Deps
	every time.Duration // 0: never
	once  func(ctx context.Context) error
	wrong prometheus.Gauge
	done  prometheus.Gauge
}

func newAudit(every time.Duration, d Deps) (*audit, error) {
	a := &audit{d: d, every: every, wrong: prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "loom_analytics_rollup_differences",
		Help: "Values of the rollups that were not what the ledger came to, when they were last compared.",
	}), done: prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "loom_analytics_reconciled_timestamp_seconds",
		Help: "When this process last compared the rollups with the ledger; 0 for not yet.",
	})}
	a.once = a.compare
	for _, g := range []prometheus.Gauge{a.wrong, a.done} {
		if err := d.Metrics.Register(g); err != nil {
			return nil, fmt.Errorf("metrics of analytics: %w", err)
		}
	}
	return a, nil
}

func (a *audit) run(ctx context.Context) {
	if a.every == 0 {
		return
	}
	next := time.NewTimer(a.soon())
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
		}
		wait := a.every
		if err := a.once(ctx); err != nil && ctx.Err() == nil {
			wait = a.soon()
			a.d.Log.LogAttrs(ctx, slog.LevelWarn, "rollups not compared with the ledger", slog.Any("error", err), slog.Duration("next_try", wait))
		}
		next.Reset(wait)
	}
}

// soon is a time of some minutes, or what is between two comparisons if that is less.
func (a *audit) soon() time.Duration {
	return min(a.every, auditSoonest+rand.N(auditSpread)) //nolint:gosec // nothing is secret about it
}

// compare compares, unless another replica is doing so.
func (a *audit) compare(ctx context.Context) error {
	conn, err := a.d.DB.Acquire(ctx)
	if err != nil {
		return store.Wrap(err)
	}
	defer conn.Release()
	var ours bool
	if err := conn.QueryRow(ctx, `SELECT pg_try_advisory_lock(hashtext('loom_reconcile'))`).Scan(&ours); err != nil || !ours {
		return store.Wrap(err)
	}
	defer func() {
		_, _ = conn.Exec(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock(hashtext('loom_reconcile'))`) // else the connection is gone, and the lock with it
	}()
	report, err := ledger.Reconcile(ctx, a.d.DB, time.Now().AddDate(0, 0, -auditDays))
	if err != nil {
		return err
	}
	a.wrong.Set(float64(report.Wrong))
	a.done.SetToCurrentTime()
	level := slog.LevelInfo
	if report.Wrong > 0 {
		level = slog.LevelError
	}
	a.d.Log.LogAttrs(ctx, level, "rollups compared with the ledger",
		slog.Int64("facts", report.Facts), slog.Int64("rollups", report.Rollups), slog.Int64("differences", report.Wrong))
	for _, d := range report.Differences[:min(auditTold, len(report.Differences))] {
		a.d.Log.LogAttrs(ctx, slog.LevelError, "rollup differs from the ledger", slog.String("difference", d.String()))
	}
	return nil
}
