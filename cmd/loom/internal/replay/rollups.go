package replay

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"loom.internal/pkg/store"
	"loom.internal/services/analytics"
)

// RollupsReport is the outcome of Rollups.
type RollupsReport struct {
	Days     int   `json:"days"`      // UTC days looked at
	Wrong    int64 `json:"wrong"`     // rollups, those of tags too, that were not what the ledger comes to
	Repaired int64 `json:"repaired"`  // as many, unless it was a dry run
	LockedMs int64 `json:"locked_ms"` // the longest time that analytics was kept away
	Rebuilt  bool  `json:"rebuilt"`   // a table was missing and has been made
}

// Rollups brings the rollups to what the ledger in Postgres comes to, a UTC day at a time
// and in place. Days that are right are only read, beside any writer.
func Rollups(ctx context.Context, cfg Config, opt Options) (RollupsReport, error) {
	var report RollupsReport
	sh, err := openShadow(ctx, cfg.DatabaseURL)
	if err != nil {
		return report, err
	}
	defer sh.close(context.WithoutCancel(ctx))
	needed := append([]string{"usage_facts"}, sums...)
	there, err := sh.live(ctx, needed)
	if err != nil {
		return report, err
	}
	switch missing := without(needed, there...); {
	case len(missing) == 0:
	case missing[0] == "usage_facts":
		return report, fmt.Errorf("there is no ledger to sum up: build it with `loom replay --projection usage`")
	case opt.DryRun:
		return report, fmt.Errorf("%s: not there: leave out --dry-run to make it", strings.Join(missing, ", "))
	default:
		if _, err := sh.lock.Exec(ctx, `SELECT loom_make_projections('public', $1)`, missing); err != nil {
			return report, fmt.Errorf("make %s: %w", strings.Join(missing, ", "), store.Wrap(err))
		}
		report.Rebuilt = true
	}
	days, err := sumDays(ctx, sh)
	if err != nil {
		return report, err
	}
	for _, d := range days {
		if !opt.holdsDay(d) {
			continue
		}
		report.Days++
		if err := report.day(ctx, sh, opt, d); err != nil {
			return report, err
		}
	}
	return report, nil
}

// day repairs one day, if need be.
func (p *RollupsReport) day(ctx context.Context, sh *shadow, opt Options, d time.Time) error {
	var wrong int64
	err := pgx.BeginTxFunc(ctx, sh.lock, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) (err error) {
		wrong, err = analytics.Wrong(ctx, tx, d, opt.Tenant)
		return err
	})
	if err != nil || wrong == 0 {
		return store.Wrap(err)
	}
	p.Wrong += wrong
	if opt.DryRun {
		return nil
	}
	var from time.Time
	err = store.InTx(ctx, sh.lock, func(tx pgx.Tx) error {
		// In the order in which analytics takes its own.
		if _, err := tx.Exec(ctx, `SET LOCAL synchronous_commit = on; LOCK TABLE usage_facts, `+strings.Join(sums, `, `)+` IN SHARE ROW EXCLUSIVE MODE`); err != nil {
			return fmt.Errorf("lock the ledger: %w", err)
		}
		from = time.Now()
		repaired, err := analytics.Repair(ctx, tx, d, opt.Tenant)
		p.Repaired += repaired
		return err
	})
	p.LockedMs = max(p.LockedMs, time.Since(from).Milliseconds())
	return err
}

// sumDays lists the UTC days that the ledger or its sums have rows of.
func sumDays(ctx context.Context, sh *shadow) ([]time.Time, error) {
	rows, err := sh.lock.Query(ctx, `
		SELECT DISTINCT date_trunc('day', started_at, 'UTC') FROM usage_facts
		UNION
		SELECT DISTINCT date_trunc('day', bucket, 'UTC') FROM rollups
		UNION
		SELECT DISTINCT date_trunc('day', bucket, 'UTC') FROM tag_rollups
		ORDER BY 1`)
	if err != nil {
		return nil, fmt.Errorf("list days: %w", store.Wrap(err))
	}
	days, err := pgx.CollectRows(rows, pgx.RowTo[time.Time])
	if err != nil {
		return nil, fmt.Errorf("list days: %w", store.Wrap(err))
	}
	return days, nil
}
