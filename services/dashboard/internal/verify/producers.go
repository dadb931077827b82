package verify

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"loom.internal/pkg/bus"
)

const (
	maxProducers = 1000
	maxGaps      = 20 // of one producer
)

// Producer is one life of a gateway process: its id and its epoch.
type Producer struct {
	ID        string    `json:"producer_id"`
	Epoch     int64     `json:"epoch"`
	Sent      int64     `json:"sent"`       // numbers it has given, for all that is known
	Recorded  int64     `json:"recorded"`   // numbers in Postgres, as traces or as dead events
	Highest   int64     `json:"highest"`    // the highest of them
	Watermark int64     `json:"watermark"`  // none is missing up to here
	Missing   int64     `json:"missing"`    // of those sent
	Held      int64     `json:"held"`       // of those missing, at most so many were in its spool when it last told
	UpdatedAt time.Time `json:"updated_at"` // when it was last heard of
	State     State     `json:"state"`
	Gaps      []Gap     `json:"gaps"` // the first 20, without those acknowledged

	Acknowledged int64 `json:"acknowledged"` // not there, and not missing: somebody has said that they will never come
}

// Gap is a run of numbers that have not come, both ends included.
type Gap struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// producers reads those that have been heard of in the last days, and all that lack
// something: numbers below the highest that has come, or, by the gateways' own words,
// above it. Of the latter the spool has those it holds, and others have to have come
// some time after they were told of, when the recorder has seen all of that time.
func (r *Report) producers(ctx context.Context, tx pgx.Tx, days int, words []bus.Word, settled time.Time) error {
	told := columns(words)
	rows, err := tx.Query(ctx, `
		SELECT p.producer_id, p.epoch, sent, recorded, highest, loom_watermark(p.recorded_ranges) AS watermark, sent - recorded AS missing,
		       least(held, sent - recorded) AS held, updated_at,
		       CASE WHEN sent = recorded THEN @complete
		            WHEN highest > recorded AND watermark_at < @patience THEN @missing
		            WHEN sent > highest AND held = 0 AND greatest(told_at, watermark_at) < @settled THEN @missing
		            ELSE @pending END AS state,
		       coalesce((SELECT jsonb_agg(jsonb_build_object('from', from_seq, 'to', to_seq) ORDER BY from_seq) FROM (
		           SELECT from_seq, to_seq FROM producer_gaps g WHERE g.producer_id = p.producer_id AND g.epoch = p.epoch
		           ORDER BY from_seq LIMIT @gaps) first), '[]') AS gaps
		FROM (
		    SELECT producer_id, epoch, coalesce(recorded, '{}') AS recorded_ranges, greatest(updated_at, told_at) AS updated_at, watermark_at, told_at,
		           coalesce(upper(recorded) - 1, 0) AS highest, greatest(upper(recorded) - 1, told.highest) AS sent, coalesce(held, 0) AS held,
		           (SELECT coalesce(sum(upper(r) - lower(r)), 0) FROM unnest(recorded) AS r)::bigint AS recorded
		    FROM (SELECT * FROM producers WHERE NOT isempty(recorded)) here
		    FULL JOIN unnest(@ids::text[], @epochs::bigint[], @highest::bigint[], @held::bigint[], @told::timestamptz[])
		         AS told (producer_id, epoch, highest, held, told_at) USING (producer_id, epoch)
		) p
		WHERE sent > recorded OR updated_at >= @since
		ORDER BY sent > recorded DESC, updated_at DESC, p.producer_id, p.epoch LIMIT @limit`,
		pgx.NamedArgs{
			"ids": told.ids, "epochs": told.epochs, "highest": told.highest, "held": told.held, "told": told.at,
			"complete": Complete, "pending": Pending, "missing": Missing, "patience": r.At.Add(-gapPatience), "settled": settled.Add(-gapPatience),
			"since": r.At.AddDate(0, 0, -days), "gaps": maxGaps, "limit": maxProducers,
		})
	if err != nil {
		return fmt.Errorf("read producers: %w", err)
	}
	r.Producers, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (p Producer, err error) {
		err = row.Scan(&p.ID, &p.Epoch, &p.Sent, &p.Recorded, &p.Highest, &p.Watermark, &p.Missing, &p.Held, &p.UpdatedAt, &p.State, &p.Gaps)
		p.UpdatedAt = p.UpdatedAt.UTC()
		if p.Sent > p.Highest && len(p.Gaps) < maxGaps {
			p.Gaps = append(p.Gaps, Gap{p.Highest + 1, p.Sent})
		}
		return p, err
	})
	if err != nil {
		return fmt.Errorf("read producers: %w", err)
	}
	return nil
}

// told is words, a column each.
type told struct {
	ids                   []string
	epochs, highest, held []int64
	at                    []time.Time
}

func columns(words []bus.Word) (t told) {
	for _, w := range words {
		t.ids, t.epochs, t.at = append(t.ids, w.ProducerID), append(t.epochs, w.Epoch), append(t.at, w.At)
		t.highest, t.held = append(t.highest, w.Highest), append(t.held, w.Held)
	}
	return t
}
