package verify

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	maxProducers = 1000
	maxGaps      = 20 // of one producer
)

// Producer is one life of a gateway process: its id and its epoch.
type Producer struct {
	ID        string    `json:"producer_id"`
	Epoch     int64     `json:"epoch"`
	Recorded  int64     `json:"recorded"`  // numbers in Postgres, as traces or as dead events
	Highest   int64     `json:"highest"`   // the highest of them
	Watermark int64     `json:"watermark"` // none is missing up to here
	Missing   int64     `json:"missing"`   // below the highest
	UpdatedAt time.Time `json:"updated_at"`
	State     State     `json:"state"`
	Gaps      []Gap     `json:"gaps"` // the first 20, without those acknowledged

	Acknowledged int64 `json:"acknowledged"` // not there, and not missing: somebody has said that they will never come
}

// Gap is a run of numbers that have not come, both ends included.
type Gap struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// producers reads those that have been heard of in the last days, and all with gaps.
func (r *Report) producers(ctx context.Context, tx pgx.Tx, days int) error {
	rows, err := tx.Query(ctx, `
		SELECT p.producer_id, p.epoch, recorded, highest, loom_watermark(p.recorded_ranges) AS watermark, highest - recorded AS missing,
		       updated_at, CASE WHEN highest = recorded THEN @complete WHEN watermark_at >= @patience THEN @pending ELSE @missing END AS state,
		       coalesce((SELECT jsonb_agg(jsonb_build_object('from', from_seq, 'to', to_seq) ORDER BY from_seq) FROM (
		           SELECT from_seq, to_seq FROM producer_gaps g WHERE g.producer_id = p.producer_id AND g.epoch = p.epoch
		           ORDER BY from_seq LIMIT @gaps) first), '[]') AS gaps
		FROM (
		    SELECT producer_id, epoch, recorded AS recorded_ranges, updated_at, watermark_at, upper(recorded) - 1 AS highest,
		           (SELECT sum(upper(r) - lower(r)) FROM unnest(recorded) AS r)::bigint AS recorded
		    FROM producers WHERE NOT isempty(recorded)
		) p
		WHERE highest > recorded OR updated_at >= @since
		ORDER BY highest > recorded DESC, updated_at DESC, p.producer_id, p.epoch LIMIT @limit`,
		pgx.NamedArgs{
			"complete": Complete, "pending": Pending, "missing": Missing, "patience": r.At.Add(-gapPatience),
			"since": r.At.AddDate(0, 0, -days), "gaps": maxGaps, "limit": maxProducers,
		})
	if err != nil {
		return fmt.Errorf("read producers: %w", err)
	}
	r.Producers, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (p Producer, err error) {
		err = row.Scan(&p.ID, &p.Epoch, &p.Recorded, &p.Highest, &p.Watermark, &p.Missing, &p.UpdatedAt, &p.State, &p.Gaps)
		p.UpdatedAt = p.UpdatedAt.UTC()
		return p, err
	})
	if err != nil {
		return fmt.Errorf("read producers: %w", err)
	}
	return nil
}
