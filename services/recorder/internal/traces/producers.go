package traces

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"loom.internal/pkg/event"
	"loom.internal/pkg/store"
)

// Producer is one life of a gateway process.
type Producer struct {
	ID    string
	Epoch int64
}

// Watermarks are, by producer, the highest sequence number with none missing in
// Postgres below it.
type Watermarks map[Producer]int64

// progress is what a batch brought of one producer: its numbers, as a multirange.
type progress struct {
	Producer
	numbers string
}

var progressRows = store.NewRows(
	store.Col("producer_id", "text", func(p progress) string { return p.ID }),
	store.Col("epoch", "bigint", func(p progress) int64 { return p.Epoch }),
	store.TextCol("recorded", "int8multirange", func(p progress) string { return p.numbers }),
)

var addProgress = progressRows.Insert("producers") + `
	ON CONFLICT (producer_id, epoch) DO UPDATE SET recorded = producers.recorded + EXCLUDED.recorded, updated_at = now(),
		watermark_at = CASE
			WHEN loom_watermark(producers.recorded) < upper(producers.recorded) - 1
			 AND loom_watermark(producers.recorded) = loom_watermark(producers.recorded + EXCLUDED.recorded)
			THEN producers.watermark_at ELSE now() END
	RETURNING producer_id, epoch, loom_watermark(recorded)`

// queueProgress adds to batch that the numbers of these events are in Postgres, and
// puts the watermarks that follow into marks. An event set aside counts: it is there.
func queueProgress(batch *pgx.Batch, events []*event.TraceEvent, dead []event.Dead, marks Watermarks) {
	numbers := make(map[Producer][]int64)
	add := func(p event.Place) {
		if p.Seq > 0 {
			producer := Producer{p.ProducerID, p.Epoch}
			numbers[producer] = append(numbers[producer], p.Seq)
		}
	}
	for _, e := range events {
		add(e.Place())
	}
	for _, d := range dead {
		add(d.Place)
	}
	if len(numbers) == 0 {
		return
	}
	rows := make([]progress, 0, len(numbers))
	// In one order everywhere, so that no two writers wait for each other in a circle.
	for _, p := range slices.SortedFunc(maps.Keys(numbers), func(a, b Producer) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Epoch, b.Epoch))
	}) {
		rows = append(rows, progress{p, multirange(numbers[p])})
	}
	batch.Queue(addProgress, progressRows.Args(rows)...).Query(func(rows pgx.Rows) error {
		return collect(rows, marks)
	})
}

// Recorded reads the watermarks of the producers that have had events recorded since.
func (w Writer) Recorded(ctx context.Context, since time.Time) (Watermarks, error) {
	rows, err := w.DB.Query(ctx, `SELECT producer_id, epoch, loom_watermark(recorded) FROM producers WHERE updated_at >= $1`, since)
	if err != nil {
		return nil, fmt.Errorf("read watermarks: %w", store.Wrap(err))
	}
	marks := make(Watermarks)
	if err := collect(rows, marks); err != nil {
		return nil, fmt.Errorf("read watermarks: %w", store.Wrap(err))
	}
	return marks, nil
}

// collect reads rows of producer_id, epoch, watermark.
func collect(rows pgx.Rows, into Watermarks) error {
	var (
		p    Producer
		mark int64
	)
	_, err := pgx.ForEachRow(rows, []any{&p.ID, &p.Epoch, &mark}, func() error {
		into[p] = mark
		return nil
	})
	return err
}
