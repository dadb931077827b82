package replay

import (
	"context"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"loom.internal/pkg/store"
)

// carry copies the live rows that the shadow has not: what is out of scope, and what the
// stream no longer holds. A day at a time; again, it copies what has come since.
func (r *run) carry(ctx context.Context) error {
	tables, err := r.sh.live(ctx, r.opt.rows())
	if err != nil {
		return err
	}
	for _, table := range tables {
		columns, err := r.sh.columns(ctx, table)
		if err != nil {
			return err
		}
		names := make([]string, len(columns))
		for i, c := range columns {
			names[i] = pgx.Identifier{c.Name}.Sanitize()
		}
		list := strings.Join(names, ", ")
		days, err := r.sh.days(ctx, table)
		if err != nil {
			return err
		}
		for _, d := range days {
			var copied int64
			err := store.InTx(ctx, r.sh.pool, func(tx pgx.Tx) error {
				if _, err := tx.Exec(ctx, `SELECT loom_ensure_partitions($1::date, 1)`, d); err != nil {
					return err
				}
				tag, err := tx.Exec(ctx, `
					INSERT INTO loom_replay.`+table+` (`+list+`)
					SELECT `+list+` FROM public.`+table+` AS o
					WHERE started_at >= $1 AND started_at < $2 AND NOT EXISTS (
						SELECT FROM loom_replay.`+table+` AS n
						WHERE n.tenant_id = o.tenant_id AND n.started_at = o.started_at AND n.trace_id = o.trace_id
						  AND n.started_at >= $1 AND n.started_at < $2)
					ON CONFLICT DO NOTHING`, d, d.Add(day))
				copied = tag.RowsAffected()
				return err
			})
			if err != nil {
				return fmt.Errorf("carry over %s of %s: %w", table, d.Format(time.DateOnly), err)
			}
			r.st.Carried += copied
			if err := r.sh.save(ctx, r.st); err != nil {
				return err
			}
			r.progress.step(r.st, table+" of "+d.Format(time.DateOnly))
		}
	}
	return nil
}

// sum makes the shadow's sums of its ledger, from nothing.
func (r *run) sum(ctx context.Context) error {
	if !r.opt.Usage {
		return nil
	}
	if _, err := r.sh.pool.Exec(ctx, `TRUNCATE loom_replay.`+strings.Join(sums, `, loom_replay.`)); err != nil {
		return fmt.Errorf("empty the shadow's sums: %w", store.Wrap(err))
	}
	days, err := r.sh.days(ctx, "usage_facts")
	if err != nil {
		return err
	}
	for _, d := range days {
		if err := store.InTx(ctx, r.sh.pool, func(tx pgx.Tx) error { return r.usage.Sum(ctx, tx, d) }); err != nil {
			return err
		}
		r.progress.step(r.st, "sums of "+d.Format(time.DateOnly))
	}
	return nil
}

// analyze gives the planner its statistics: the first query after the swap needs them.
func (r *run) analyze(ctx context.Context) error {
	for _, table := range r.opt.tables() {
		if _, err := r.sh.pool.Exec(ctx, `ANALYZE loom_replay.`+table); err != nil {
			return fmt.Errorf("analyze %s: %w", table, store.Wrap(err))
		}
	}
	return nil
}

// holdsAll refuses a scope where a table is missing: what is out of scope could not be
// carried over.
func (r *run) holdsAll(ctx context.Context) error {
	tables := r.opt.tables()
	there, err := r.sh.live(ctx, tables)
	if err != nil || len(there) == len(tables) {
		return err
	}
	missing := without(tables, there...)
	if !r.opt.All() && len(without(missing, sums...)) > 0 {
		return fmt.Errorf("%s: not there, so all of it has to be built: leave out --from, --to and --tenant", strings.Join(missing, ", "))
	}
	r.st.Rebuilt = true
	return nil
}

// addText adds whole numbers.
func addText(a, b string) string {
	var x, y big.Int
	x.SetString(a, 10) // "" is 0
	y.SetString(b, 10)
	return x.Add(&x, &y).String()
}
