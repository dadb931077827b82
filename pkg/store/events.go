package store

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"loom.internal/pkg/event"
)

// Tables of events are partitioned by the UTC day an event started. A day outside
// these bounds is not an event's but a broken clock's, and gets no partition.
const (
	MaxEventAge   = 400 * day
	MaxEventAhead = 2 * day
	day           = 24 * time.Hour
)

// CheckDay refuses an event whose day, seen from now, is out of bounds.
func CheckDay(e *event.TraceEvent, now time.Time) error {
	switch at := e.StartedAt(); {
	case at.Before(now.Add(-MaxEventAge)):
		return fmt.Errorf("started_at %s is more than %d days ago", at.Format(time.RFC3339), MaxEventAge/day)
	case at.After(now.Add(MaxEventAhead)):
		return fmt.Errorf("started_at %s is more than %d days ahead", at.Format(time.RFC3339), MaxEventAhead/day)
	}
	return nil
}

// Execer runs a statement: a pool, a connection or a transaction.
type Execer interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// EnsurePartitions makes the partitions of yesterday, today and the seven days after,
// seen from now, that are not there yet.
func EnsurePartitions(ctx context.Context, db Execer, now time.Time) error {
	if _, err := db.Exec(ctx, `SELECT loom_ensure_partitions($1::date, 9)`, now.UTC().Add(-day)); err != nil {
		return fmt.Errorf("make partitions: %w", Wrap(err))
	}
	return nil
}

// KeepPartitions makes the coming days' partitions ahead of the events, until ctx ends.
// Those of other days are made when an event of theirs comes.
func KeepPartitions(ctx context.Context, db Execer, log *slog.Logger) {
	for {
		wait := time.Hour
		if err := EnsurePartitions(ctx, db, time.Now()); err != nil {
			if ctx.Err() != nil {
				return
			}
			wait = 5 * time.Second
			log.LogAttrs(ctx, slog.LevelWarn, "partitions not ready, trying again", slog.Any("error", err), slog.Duration("next_try", wait))
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// DropPartitions drops the traces and bodies of every day before the given one, in UTC,
// for good, and says how many partitions that were. What it cannot lock at once is left
// for the next call, with an error.
func DropPartitions(ctx context.Context, db Querier, before time.Time) (dropped int, err error) {
	for {
		var n int
		if err := db.QueryRow(ctx, `SELECT loom_drop_partitions($1::date)`, before.UTC()).Scan(&n); err != nil {
			return dropped, fmt.Errorf("drop partitions: %w", Wrap(err))
		}
		if n == 0 {
			return dropped, nil
		}
		dropped += n
	}
}

// QueuePartitions adds to batch the making of the partitions events need, for those
// days nobody foresaw. It asks every time, which is cheap, because a partition may
// also be dropped.
func QueuePartitions(batch *pgx.Batch, events []*event.TraceEvent) {
	var days []time.Time
	for _, e := range events {
		if d := e.StartedAt().Truncate(day); !slices.Contains(days, d) {
			days = append(days, d)
		}
	}
	slices.SortFunc(days, time.Time.Compare)
	batch.Queue(`SELECT loom_ensure_partitions(day, 1) FROM unnest($1::date[]) AS day`, days)
}

type deadRow struct {
	consumer string
	event.Dead
}

var deadRows = NewRows(
	Col("consumer", "text", func(d deadRow) string { return d.consumer }),
	Col("stream_seq", "bigint", func(d deadRow) int64 { return d.StreamSeq }),
	Col("subject", "text", func(d deadRow) string { return d.Subject }),
	Col("msg_id", "text", func(d deadRow) string { return d.MsgID }),
	Col("data", "bytea", func(d deadRow) []byte { return d.Data }),
	Col("reason", "text", func(d deadRow) string { return d.Reason }),
	Col("producer_id", "text", func(d deadRow) *string { return placed(d, d.Place.ProducerID) }),
	Col("producer_epoch", "bigint", func(d deadRow) *int64 { return placed(d, d.Place.Epoch) }),
	Col("producer_seq", "bigint", func(d deadRow) *int64 { return placed(d, d.Place.Seq) }),
	TextCol("awaits", "uuid", func(d deadRow) *string {
		if d.Awaits == "" {
			return nil
		}
		return &d.Awaits
	}),
)

// placed is a part of d's place; nil if d has none.
func placed[V any](d deadRow, part V) *V {
	if d.Place.Seq == 0 {
		return nil
	}
	return &part
}

// QueueDead adds to batch that consumer sets dead aside in dead_events.
func QueueDead(batch *pgx.Batch, consumer string, dead []event.Dead) {
	rows := make([]deadRow, len(dead))
	for i, d := range dead {
		rows[i] = deadRow{consumer, d}
	}
	batch.Queue(deadRows.Insert("dead_events")+"ON CONFLICT DO NOTHING", deadRows.Args(rows)...)
}
