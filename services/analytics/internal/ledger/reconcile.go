package ledger

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"loom.internal/pkg/store"
)

// maxDifferences bounds what a report lists.
const maxDifferences = 1000

// Report is the outcome of Reconcile.
type Report struct {
	Facts       int64        // rows of the ledger that were read
	Rollups     int64        // rows of sums that were compared
	Wrong       int64        // values that differ
	Differences []Difference // the first 1000 of them
}

// Difference is a value of a rollup that is not what the ledger comes to.
type Difference struct {
	Tenant, Grain                          string
	Bucket                                 time.Time
	Tag, Value                             string // "" in a sum of all requests
	KeyID, Provider, Model, Route, Outcome string
	Column                                 string
	Ledger, Rollup                         string // "" where there is no such row
}

func (d Difference) String() string {
	tag := ""
	if d.Tag != "" {
		tag = fmt.Sprintf(" tag %q=%q", d.Tag, d.Value)
	}
	return fmt.Sprintf("%s %s %s%s key=%s provider=%s model=%s route=%s outcome=%s: %s is %q, the ledger comes to %q",
		d.Tenant, d.Grain, d.Bucket.Format(time.RFC3339), tag, d.KeyID, d.Provider, d.Model, d.Route, d.Outcome, d.Column, d.Rollup, d.Ledger)
}

// Reconcile computes the sums of every day from that of since on from the ledger and
// compares them with the rollups. It changes nothing, and sees each day as of one moment,
// so that it may run beside writers.
func Reconcile(ctx context.Context, db *pgxpool.Pool, since time.Time) (Report, error) {
	var report Report
	rows, err := db.Query(ctx, `
		SELECT DISTINCT date_trunc('day', started_at, 'UTC') FROM usage_facts WHERE started_at >= $1
		UNION
		SELECT DISTINCT date_trunc('day', bucket, 'UTC') FROM rollups WHERE bucket >= $1
		UNION
		SELECT DISTINCT date_trunc('day', bucket, 'UTC') FROM tag_rollups WHERE bucket >= $1
		ORDER BY 1`, since.UTC().Truncate(24*time.Hour))
	if err != nil {
		return report, fmt.Errorf("list days: %w", store.Wrap(err))
	}
	days, err := pgx.CollectRows(rows, pgx.RowTo[time.Time])
	if err != nil {
		return report, fmt.Errorf("list days: %w", store.Wrap(err))
	}
	for _, day := range days {
		err := pgx.BeginTxFunc(ctx, db, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
			return report.day(ctx, tx, day)
		})
		if err != nil {
			return report, fmt.Errorf("reconcile %s: %w", day.UTC().Format(time.DateOnly), store.Wrap(err))
		}
	}
	return report, nil
}

// day adds to the report what one UTC day holds.
func (r *Report) day(ctx context.Context, tx pgx.Tx, day time.Time) error {
	_, err := r.compare(ctx, tx, day, "")
	return err
}

// compare adds to the report what one UTC day holds, of one tenant unless tenant is "". It
// returns the rollups that are wrong, with what the ledger comes to: nil for those that
// should not be.
func (r *Report) compare(ctx context.Context, tx pgx.Tx, day time.Time, tenant string) (wrong rollups, err error) {
	want, err := r.ledger(ctx, tx, day)
	if err != nil {
		return nil, err
	}
	if tenant != "" {
		maps.DeleteFunc(want, func(k key, _ *sums) bool { return k.tenant != tenant })
	}
	wrong = rollups{}
	for _, t := range tables {
		if err := r.compareTable(ctx, tx, t, day, tenant, want, wrong); err != nil {
			return nil, err
		}
	}
	for k, s := range want {
		r.differ(k, "requests", measures[0].text(s), "")
		wrong[k] = s
	}
	return wrong, nil
}

// compareTable takes from want what the table has, and puts into wrong what it should not.
func (r *Report) compareTable(ctx context.Context, tx pgx.Tx, t *table, day time.Time, tenant string, want, wrong rollups) error {
	var k key
	into := t.parts(&k)
	have := make([]string, len(measures))
	for i := range have {
		into = append(into, &have[i])
	}
	rows, err := tx.Query(ctx, t.read, day, day.Add(24*time.Hour), tenant)
	if err != nil {
		return err
	}
	_, err = pgx.ForEachRow(rows, into, func() error {
		r.Rollups++
		s := want[k]
		delete(want, k)
		if s == nil {
			r.differ(k, "requests", "", have[0])
			wrong[k] = nil
			return nil
		}
		for i, m := range measures {
			if text := m.text(s); text != have[i] {
				r.differ(k, m.name, text, have[i])
				wrong[k] = s
			}
		}
		return nil
	})
	return err
}

// ledger sums up the facts of one day.
func (r *Report) ledger(ctx context.Context, tx pgx.Tx, day time.Time) (rollups, error) {
	rows, err := tx.Query(ctx, `
		SELECT tenant_id, key_id, provider, model, route, outcome, started_at, cost_status,
		       input_uncached, cache_read, cache_write + cache_write_1h, output, reasoning, duration_us, cost, ttft_us, tags
		FROM usage_facts WHERE started_at >= $1 AND started_at < $2`, day, day.Add(24*time.Hour))
	if err != nil {
		return nil, err
	}
	var e entry
	all := rollups{}
	_, err = pgx.ForEachRow(rows, []any{
		&e.tenant, &e.keyID, &e.provider, &e.model, &e.route, &e.outcome, &e.startedAt, &e.status,
		&e.input, &e.cacheRead, &e.cacheWrite, &e.output, &e.reasoning, &e.duration, &e.cost, &e.ttft, &e.tags,
	}, func() error {
		r.Facts++
		all.add(e)
		return nil
	})
	return all, err
}

func (r *Report) differ(k key, column, ledger, rollup string) {
	r.Wrong++
	if len(r.Differences) >= maxDifferences {
		return
	}
	r.Differences = append(r.Differences, Difference{
		Tenant: k.tenant, Grain: k.grain, Bucket: k.start(), Tag: k.tag, Value: k.value, KeyID: k.keyID, Provider: k.provider, Model: k.model,
		Route: k.route, Outcome: k.outcome, Column: column, Ledger: ledger, Rollup: rollup,
	})
}
