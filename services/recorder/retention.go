package recorder

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"loom.internal/pkg/event"
	"loom.internal/pkg/store"
	"loom.internal/services/recorder/internal/traces"
)

const (
	dropEvery = time.Hour
	dropAgain = time.Minute // after what could not be locked
)

// retention is how long traces and their bodies are kept, by whole UTC days: a day goes
// when all of it is older. 0 keeps them for ever.
type retention time.Duration

// cutoff is the start of the first day that is kept, seen from now.
func (r retention) cutoff(now time.Time) time.Time {
	return now.UTC().Add(-time.Duration(r)).Truncate(24 * time.Hour)
}

// accept refuses what decodes but has no place in the tables.
func (r retention) accept(e *event.TraceEvent) error {
	now := time.Now()
	return errors.Join(store.CheckDay(e, now), r.check(e, now), traces.Check(e))
}

// check refuses an event of a day that is not kept: it would make the day again, for
// one trace.
func (r retention) check(e *event.TraceEvent, now time.Time) error {
	if r == 0 || !e.StartedAt().Before(r.cutoff(now)) {
		return nil
	}
	return fmt.Errorf("started_at %s is of a day that is no longer kept (%s_RETENTION is %s)",
		e.StartedAt().Format(time.RFC3339), Prefix, time.Duration(r))
}

// keep drops what is too old, now and every hour, until ctx ends.
func (r retention) keep(ctx context.Context, db store.Querier, log *slog.Logger) {
	for r > 0 {
		wait, cutoff := dropEvery, r.cutoff(time.Now())
		dropped, err := store.DropPartitions(ctx, db, cutoff)
		if ctx.Err() != nil {
			return
		}
		if dropped > 0 {
			log.LogAttrs(ctx, slog.LevelInfo, "traces older than the retention dropped",
				slog.Int("partitions", dropped), slog.String("kept_from", cutoff.Format(time.DateOnly)))
		}
		if err != nil {
			wait = dropAgain
			log.LogAttrs(ctx, slog.LevelWarn, "old traces not dropped, trying again", slog.Any("error", err), slog.Duration("next_try", wait))
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
