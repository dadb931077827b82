package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"loom.internal/pkg/event"
	"loom.internal/pkg/store"
)

// ErrNotMissing means that there is nothing to acknowledge.
var ErrNotMissing = errors.New("none of these numbers is missing")

// Acknowledged is what an operator has said will never come.
type Acknowledged struct {
	ProducerID string `json:"producer_id"`
	Epoch      int64  `json:"epoch"`
	Gap
	Numbers int64 `json:"numbers"` // that were missing among them
}

// Acknowledge notes down that the missing ones of these numbers will never come, and why:
// they no longer count as missing. One that comes all the same is recorded. It leaves its
// line in the access log. The error is ErrNotMissing where none of them is missing: what
// has not been given yet cannot be acknowledged ahead.
func (v *Verifier) Acknowledge(ctx context.Context, actor string, life event.Life, gap Gap, reason string) (Acknowledged, error) {
	out := Acknowledged{ProducerID: life.ProducerID, Epoch: life.Epoch, Gap: gap}
	words, err := v.words(ctx)
	if err != nil {
		return out, err
	}
	sent := int64(0) // by its gateway's own word, which may be more than has come
	for _, w := range words {
		if w.Life == life {
			sent = w.Highest
		}
	}
	err = store.InTx(ctx, v.db, func(tx pgx.Tx) error {
		// Two at once are not to count the same numbers.
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtext('producer_gaps_acknowledged'))`); err != nil {
			return fmt.Errorf("lock: %w", err)
		}
		err := tx.QueryRow(ctx, `
			WITH added AS (
			    INSERT INTO producer_gaps_acknowledged (producer_id, epoch, numbers, reason, actor)
			    SELECT $1::text, $2::bigint, int8range(greatest(from_seq, $3), least(to_seq, $4), '[]'), $5, $6
			    FROM (
			        SELECT from_seq, to_seq FROM producer_gaps WHERE producer_id = $1 AND epoch = $2
			        UNION ALL
			        SELECT lower(gap), upper(gap) - 1
			        FROM (SELECT coalesce((SELECT greatest(upper(recorded), upper(given_up)) FROM producers WHERE producer_id = $1 AND epoch = $2), 1)) AS come (next),
			             unnest(int8multirange(int8range(next, greatest(next, $7 + 1))) - coalesce((
			                 SELECT range_agg(a.numbers) FROM producer_gaps_acknowledged a WHERE a.producer_id = $1 AND a.epoch = $2), '{}')) AS gap
			    ) AS gaps
			    WHERE from_seq <= $4 AND to_seq >= $3
			    RETURNING numbers)
			SELECT coalesce(sum(upper(numbers) - lower(numbers)), 0)::bigint FROM added`,
			life.ProducerID, life.Epoch, gap.From, gap.To, reason, actor, sent).Scan(&out.Numbers)
		if err != nil {
			return err
		}
		if out.Numbers == 0 {
			return ErrNotMissing
		}
		detail, err := json.Marshal(map[string]any{
			"producer_id": life.ProducerID, "epoch": life.Epoch, "from": gap.From, "to": gap.To, "numbers": out.Numbers, "reason": reason,
		})
		if err != nil {
			return fmt.Errorf("audit: %w", err)
		}
		if _, err := tx.Exec(ctx, `INSERT INTO access_log (tenant_id, actor, action, detail) VALUES ('', $1, 'gap.acknowledge', $2)`, actor, detail); err != nil {
			return fmt.Errorf("audit: %w", err)
		}
		return nil
	})
	if err != nil {
		return Acknowledged{}, fmt.Errorf("acknowledge %d to %d of %s/%d: %w", gap.From, gap.To, life.ProducerID, life.Epoch, err)
	}
	return out, nil
}

// acknowledged takes from what is missing of the producers what somebody has said will
// not come.
func (r *Report) acknowledged(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, `
		SELECT producer_id, epoch, lower(gap), upper(gap) - 1
		FROM (SELECT producer_id, epoch, range_agg(numbers) AS numbers FROM producer_gaps_acknowledged GROUP BY producer_id, epoch) a
		LEFT JOIN producers p USING (producer_id, epoch)
		CROSS JOIN LATERAL unnest(a.numbers - coalesce(p.recorded, '{}')) AS gap
		ORDER BY producer_id, epoch, lower(gap)`)
	if err != nil {
		return fmt.Errorf("read what is acknowledged: %w", err)
	}
	var (
		life  event.Life
		gap   Gap
		given = make(map[event.Life][]Gap)
	)
	_, err = pgx.ForEachRow(rows, []any{&life.ProducerID, &life.Epoch, &gap.From, &gap.To}, func() error {
		given[life] = append(given[life], gap)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read what is acknowledged: %w", err)
	}
	for i := range r.Producers {
		p := &r.Producers[i]
		for _, g := range given[event.Life{ProducerID: p.ID, Epoch: p.Epoch}] {
			p.Acknowledged += g.To - g.From + 1
		}
		if p.Missing -= p.Acknowledged; p.Missing <= 0 {
			p.Missing, p.State = 0, Complete
		}
	}
	return nil
}
