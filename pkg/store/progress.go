package store

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"loom.internal/pkg/event"
)

// Progress keeps, in a table of a consumer's own, which numbers of each gateway process
// the consumer has committed: they go into the transaction of the events themselves.
type Progress struct{ table, add string }

// The tables of the two consumers, which have the same columns.
var (
	ProgressRecorder  = newProgress("producers")
	ProgressAnalytics = newProgress("producers_accounted")
)

func newProgress(table string) Progress {
	return Progress{table: table, add: lifeRows.Insert(table) + fmt.Sprintf(`
	ON CONFLICT (producer_id, epoch) DO UPDATE SET recorded = %[1]s.recorded + EXCLUDED.recorded, updated_at = now(),
		watermark_at = CASE
			WHEN loom_watermark(%[1]s.recorded) < upper(%[1]s.recorded) - 1
			 AND loom_watermark(%[1]s.recorded) = loom_watermark(%[1]s.recorded + EXCLUDED.recorded)
			THEN %[1]s.watermark_at ELSE now() END
	RETURNING producer_id, epoch, loom_watermark(recorded)`, table)}
}

// lifeRow is what a batch brought of one life: its numbers, as a multirange.
type lifeRow struct {
	event.Life
	numbers string
}

var lifeRows = NewRows(
	Col("producer_id", "text", func(r lifeRow) string { return r.ProducerID }),
	Col("epoch", "bigint", func(r lifeRow) int64 { return r.Epoch }),
	TextCol("recorded", "int8multirange", func(r lifeRow) string { return r.numbers }),
)

// Queue adds to batch that the numbers of these events are in Postgres, and
// puts the watermarks that follow into marks. An event set aside counts: it is there. One
// that is awaited again does not.
func (p Progress) Queue(batch *pgx.Batch, events []*event.TraceEvent, dead []event.Dead, marks event.Watermarks) {
	numbers := make(map[event.Life][]int64)
	add := func(at event.Place) {
		if at.Seq > 0 {
			numbers[at.Life()] = append(numbers[at.Life()], at.Seq)
		}
	}
	for _, e := range events {
		add(e.Place())
	}
	for _, d := range dead {
		if d.Awaits == "" {
			add(d.Place)
		}
	}
	if len(numbers) == 0 {
		return
	}
	rows := make([]lifeRow, 0, len(numbers))
	// In one order everywhere, so that no two writers wait for each other in a circle.
	for _, life := range slices.SortedFunc(maps.Keys(numbers), func(a, b event.Life) int {
		return cmp.Or(cmp.Compare(a.ProducerID, b.ProducerID), cmp.Compare(a.Epoch, b.Epoch))
	}) {
		rows = append(rows, lifeRow{life, multirange(numbers[life])})
	}
	batch.Queue(p.add, lifeRows.Args(rows)...).Query(func(rows pgx.Rows) error {
		return collectMarks(rows, marks)
	})
}

// Watermarks reads those of the lives that have had numbers committed since.
func (p Progress) Watermarks(ctx context.Context, db *pgxpool.Pool, since time.Time) (event.Watermarks, error) {
	rows, err := db.Query(ctx, `SELECT producer_id, epoch, loom_watermark(recorded) FROM `+pgx.Identifier{p.table}.Sanitize()+` WHERE updated_at >= $1`, since)
	if err != nil {
		return nil, fmt.Errorf("read watermarks: %w", Wrap(err))
	}
	marks := make(event.Watermarks)
	if err := collectMarks(rows, marks); err != nil {
		return nil, fmt.Errorf("read watermarks: %w", Wrap(err))
	}
	return marks, nil
}

// collectMarks reads rows of producer_id, epoch, watermark.
func collectMarks(rows pgx.Rows, into event.Watermarks) error {
	var (
		life event.Life
		mark int64
	)
	_, err := pgx.ForEachRow(rows, []any{&life.ProducerID, &life.Epoch, &mark}, func() error {
		into[life] = mark
		return nil
	})
	return err
}
