package ledger

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"loom.internal/pkg/event"
	"loom.internal/pkg/store"
)

// sumChunk is how many rollups go to the server in one statement.
const sumChunk = 1000

// Fill puts the facts of events that are not there yet into the ledger that tx finds, and
// says how many. The sums are left to Sum.
func (w Writer) Fill(ctx context.Context, tx pgx.Tx, events []*event.TraceEvent) (fresh int, err error) {
	added, err := w.fill(ctx, tx, events)
	return len(added), err
}

// Apply puts what events come to into the ledger and the sums that tx finds, as Write does
// and without taking note of it, and says how many facts were not there yet.
func (w Writer) Apply(ctx context.Context, tx pgx.Tx, events []*event.TraceEvent) (fresh int, err error) {
	added, err := w.fill(ctx, tx, events)
	if err == nil && len(added) > 0 {
		err = sumUp(ctx, tx, added)
	}
	return len(added), store.Wrap(err)
}

func (w Writer) fill(ctx context.Context, tx pgx.Tx, events []*event.TraceEvent) ([]fact, error) {
	facts, err := w.facts(ctx, events)
	if err != nil {
		return nil, err
	}
	added, err := w.insert(ctx, tx, facts, nil)
	return added, store.Wrap(err)
}

// Sum adds the sums of one UTC day of the ledger that tx finds to its rollups, which must
// have none of that day.
func Sum(ctx context.Context, tx pgx.Tx, day time.Time) error {
	var r Report
	all, err := r.ledger(ctx, tx, day)
	if err != nil {
		return fmt.Errorf("sum up %s: %w", day.Format(time.DateOnly), store.Wrap(err))
	}
	if err := all.upsert(ctx, tx); err != nil {
		return fmt.Errorf("sum up %s: %w", day.Format(time.DateOnly), store.Wrap(err))
	}
	return nil
}

// Wrong counts the rollups of one UTC day, of one tenant unless tenant is "", that are not
// what the ledger comes to.
func Wrong(ctx context.Context, tx pgx.Tx, day time.Time, tenant string) (int64, error) {
	wrong, err := wrongRollups(ctx, tx, day, tenant)
	return int64(len(wrong)), err
}

func wrongRollups(ctx context.Context, tx pgx.Tx, day time.Time, tenant string) (rollups, error) {
	var r Report
	wrong, err := r.compare(ctx, tx, day, tenant)
	if err != nil {
		return nil, fmt.Errorf("compare %s: %w", day.Format(time.DateOnly), store.Wrap(err))
	}
	return wrong, nil
}

// Repair brings those rollups to what the ledger comes to, and says how many they were.
// The caller keeps writers away from the tables.
func Repair(ctx context.Context, tx pgx.Tx, day time.Time, tenant string) (repaired int64, err error) {
	wrong, err := wrongRollups(ctx, tx, day, tenant)
	if err != nil {
		return 0, err
	}
	right := rollups{}
	var batch pgx.Batch
	for k, want := range wrong {
		batch.Queue(k.table().remove, k.table().parts(&k)...)
		if want != nil {
			right[k] = want
		}
	}
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
		return 0, fmt.Errorf("repair %s: %w", day.Format(time.DateOnly), store.Wrap(err))
	}
	if err := right.upsert(ctx, tx); err != nil {
		return 0, fmt.Errorf("repair %s: %w", day.Format(time.DateOnly), store.Wrap(err))
	}
	return int64(len(wrong)), nil
}

// upsert adds r to the rollups that tx finds, in the order of all writers.
func (r rollups) upsert(ctx context.Context, tx pgx.Tx) error {
	keys := slices.SortedFunc(maps.Keys(r), key.compare)
	for _, t := range tables {
		rows := make([]rollup, 0, len(keys))
		for _, k := range keys {
			if k.table() == t {
				rows = append(rows, rollup{k, r[k]})
			}
		}
		for some := range slices.Chunk(rows, sumChunk) {
			if _, err := tx.Exec(ctx, t.upsert, t.rows.Args(some)...); err != nil {
				return fmt.Errorf("add to %s: %w", t.name, err)
			}
		}
	}
	return nil
}
