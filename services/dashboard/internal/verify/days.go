package verify

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"loom.internal/pkg/store"
)

// Day is one UTC day, by the start of its requests.
type Day struct {
	Day           string `json:"day"`            // such as 2026-01-31
	Dropped       bool   `json:"dropped"`        // retention has dropped its traces: there is only the ledger
	Traces        int64  `json:"traces"`         // 0 if dropped
	Facts         int64  `json:"facts"`          // rows of the ledger
	MissingFacts  int64  `json:"missing_facts"`  // traces without one
	MissingTraces int64  `json:"missing_traces"` // facts without one
	Pending       int64  `json:"pending"`        // one of the two is there, the other on its way
	Rollups       int64  `json:"rollups"`        // rows of rollups and tag_rollups
	WrongRollups  int64  `json:"wrong_rollups"`
	State         State  `json:"state"`

	Differences []Difference `json:"differences"` // the first 10 of the wrong rollups
}

// day compares what the tables hold of one day, as of one moment. What came to its
// table before settled must be in the other.
func (r *Report) day(ctx context.Context, db *pgxpool.Pool, day, settled time.Time) error {
	d := Day{Day: day.Format(time.DateOnly), State: Complete}
	err := pgx.BeginTxFunc(ctx, db, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM retention WHERE kept_from > $1::date)`, day).Scan(&d.Dropped)
		if err != nil {
			return fmt.Errorf("read retention: %w", err)
		}
		if err := d.projections(ctx, tx, day, settled); err != nil {
			return err
		}
		return d.rollups(ctx, tx, day)
	})
	if err != nil {
		return store.Wrap(err)
	}
	switch {
	case d.MissingFacts > 0, d.MissingTraces > 0, d.WrongRollups > 0:
		d.State = Missing
	case d.Pending > 0:
		d.State = Pending
	}
	r.Days = append(r.Days, d)
	return nil
}

// projections compares traces with facts.
func (d *Day) projections(ctx context.Context, tx pgx.Tx, day, settled time.Time) error {
	err := tx.QueryRow(ctx, `
		SELECT count(recorded_at), count(accounted_at),
		       count(*) FILTER (WHERE accounted_at IS NULL AND recorded_at < @settled),
		       count(*) FILTER (WHERE recorded_at IS NULL AND accounted_at < @settled AND NOT @dropped),
		       count(*) FILTER (WHERE accounted_at IS NULL AND recorded_at >= @settled
		                           OR recorded_at IS NULL AND accounted_at >= @settled AND NOT @dropped)
		FROM (SELECT tenant_id, started_at, trace_id, recorded_at FROM traces
		      WHERE started_at >= @from AND started_at < @to AND NOT @dropped) t
		FULL JOIN (SELECT tenant_id, started_at, trace_id, accounted_at FROM usage_facts
		      WHERE started_at >= @from AND started_at < @to) f USING (tenant_id, started_at, trace_id)`,
		pgx.NamedArgs{"from": day, "to": day.AddDate(0, 0, 1), "settled": settled, "dropped": d.Dropped},
	).Scan(&d.Traces, &d.Facts, &d.MissingFacts, &d.MissingTraces, &d.Pending)
	if err != nil {
		return fmt.Errorf("compare traces and facts: %w", err)
	}
	return nil
}
