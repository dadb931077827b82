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
// the consumer has committed: they go into the transaction of the events themselves. A
// watermark is the number below which none is missing but those that are given up.
type Progress struct{ table, add, missing, giveUp string }

// The tables of the two consumers, which have the same columns.
var (
	ProgressRecorder  = newProgress("producers")
	ProgressAnalytics = newProgress("producers_accounted")
)

func newProgress(table string) Progress {
	table = pgx.Identifier{table}.Sanitize()
	return Progress{
		table: table,
		add: lifeRows.Insert(table) + fmt.Sprintf(`
	ON CONFLICT (producer_id, epoch) DO UPDATE SET recorded = %[1]s.recorded + EXCLUDED.recorded, updated_at = now(),
		watermark_at = CASE
			WHEN loom_watermark(%[1]s.recorded + %[1]s.given_up) < upper(%[1]s.recorded) - 1
			 AND loom_watermark(%[1]s.recorded + %[1]s.given_up) = loom_watermark(%[1]s.recorded + %[1]s.given_up + EXCLUDED.recorded)
			THEN %[1]s.watermark_at ELSE now() END
	RETURNING producer_id, epoch, loom_watermark(recorded + given_up)`, table),
		missing: fmt.Sprintf(`
	SELECT producer_id, epoch, lower(gap), upper(gap) - 1
	FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS asked (producer_id, epoch, up_to)
	LEFT JOIN %[1]s AS p USING (producer_id, epoch)
	CROSS JOIN LATERAL unnest(int8multirange(int8range(1, up_to, '[]')) - coalesce(p.recorded + p.given_up, '{}')) AS gap
	ORDER BY producer_id, epoch, 3`, table),
		giveUp: fmt.Sprintf(`
	INSERT INTO %[1]s (producer_id, epoch, recorded, given_up)
	SELECT producer_id, epoch, '{}', range_agg(int8range(from_seq, to_seq, '[]'))
	FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[]) AS gaps (producer_id, epoch, from_seq, to_seq)
	GROUP BY producer_id, epoch ORDER BY producer_id, epoch
	ON CONFLICT (producer_id, epoch) DO UPDATE SET given_up = %[1]s.given_up + (EXCLUDED.given_up - %[1]s.recorded),
		updated_at = now(), watermark_at = now()`, table),
	}
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

// Numbers is what a consumer's store tells of numbers, apart from the batches it stores.
// It is a [bus.Numbers].
type Numbers struct {
	progress Progress
	db       *pgxpool.Pool
}

// In tells what is in a database.
func (p Progress) In(db *pgxpool.Pool) Numbers { return Numbers{p, db} }

// Watermarks reads those of the lives that have had numbers committed since.
func (n Numbers) Watermarks(ctx context.Context, since time.Time) (event.Watermarks, error) {
	rows, err := n.db.Query(ctx, `SELECT producer_id, epoch, loom_watermark(recorded + given_up) FROM `+n.progress.table+` WHERE updated_at >= $1`, since)
	if err != nil {
		return nil, fmt.Errorf("read watermarks: %w", Wrap(err))
	}
	marks := make(event.Watermarks)
	if err := collectMarks(rows, marks); err != nil {
		return nil, fmt.Errorf("read watermarks: %w", Wrap(err))
	}
	return marks, nil
}

// Missing reads which numbers of these lives, from 1 up to the mark of each, are neither
// there nor given up.
func (n Numbers) Missing(ctx context.Context, upTo event.Watermarks) (event.Gaps, error) {
	var (
		producers     []string
		epochs, upTos []int64
	)
	for life, mark := range upTo {
		producers, epochs, upTos = append(producers, life.ProducerID), append(epochs, life.Epoch), append(upTos, mark)
	}
	rows, err := n.db.Query(ctx, n.progress.missing, producers, epochs, upTos)
	if err != nil {
		return nil, fmt.Errorf("read missing numbers: %w", Wrap(err))
	}
	var (
		gaps = make(event.Gaps)
		life event.Life
		gap  event.Gap
	)
	_, err = pgx.ForEachRow(rows, []any{&life.ProducerID, &life.Epoch, &gap.From, &gap.To}, func() error {
		gaps[life] = append(gaps[life], gap)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read missing numbers: %w", Wrap(err))
	}
	return gaps, nil
}

// GiveUp notes that numbers will never come: watermarks pass them.
func (n Numbers) GiveUp(ctx context.Context, gaps event.Gaps) error {
	var (
		producers          []string
		epochs, from, upTo []int64
	)
	for life, of := range gaps {
		for _, gap := range of {
			producers, epochs = append(producers, life.ProducerID), append(epochs, life.Epoch)
			from, upTo = append(from, gap.From), append(upTo, gap.To)
		}
	}
	if _, err := n.db.Exec(ctx, n.progress.giveUp, producers, epochs, from, upTo); err != nil {
		return fmt.Errorf("give up missing numbers: %w", Wrap(err))
	}
	return nil
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
