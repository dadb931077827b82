package replay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"loom.internal/pkg/store"
)

const (
	lockWait     = 2 * time.Second  // for the live tables, at a time: whoever comes later waits behind us
	lockPause    = 3 * time.Second  // between attempts
	lockAttempts = 40               // about three minutes
	tailLimit    = 5 * time.Second  // for what came while we waited, with the live tables locked
	smallTail    = 1000             // events behind that may be applied under the lock
	settleLimit  = 30 * time.Second // for a vacuum to leave the shadow
)

// errJumped means that the stream let go of events that were not read.
var errJumped = errors.New("the stream has let go of events that were not read yet")

// tail keeps up with the stream and puts the shadow in the place of the live tables as soon
// as those can be locked.
func (r *run) tail(ctx context.Context) error {
	for attempt := 1; ; attempt++ {
		if err := r.catchUp(ctx); err != nil {
			return err
		}
		held, err := r.swap(ctx)
		r.report.Attempts = attempt
		switch {
		case err == nil:
			r.report.LockedMs = held.Milliseconds()
			return nil
		case !locked(err) && !errors.Is(err, errSlow):
			return err
		case attempt == lockAttempts:
			return fmt.Errorf("the live tables could not be locked %d times: %w: look for long transactions in pg_stat_activity, then run the same command again", attempt, err)
		}
		r.log.LogAttrs(ctx, slog.LevelInfo, "swap put off", slog.Int("attempt", attempt), slog.Any("error", err))
		if err := r.follow(ctx, lockPause); err != nil {
			return err
		}
	}
}

// catchUp returns when few events are left.
func (r *run) catchUp(ctx context.Context) error {
	for {
		info, err := r.src.info(ctx)
		if err != nil {
			return err
		}
		if err := r.sameStream(info.Created); err != nil {
			return err
		}
		left := int64(info.State.LastSeq) - int64(r.st.Applied) //nolint:gosec // counts from 1
		if r.st.Jumped {
			return errJumped
		}
		if left <= smallTail {
			return nil
		}
		if err := r.until(ctx, info.State.LastSeq); err != nil {
			return err
		}
	}
}

// follow applies what comes for a while.
func (r *run) follow(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		if r.hand != nil {
			if err := r.take(ctx, *r.hand); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case err := <-r.failed:
			return err
		case b := <-r.batches:
			if err := r.take(ctx, b); err != nil {
				return err
			}
		case <-timer.C:
			return nil
		}
	}
}

var errSlow = errors.New("too much has come meanwhile")

// swap is the one transaction. While it holds the live tables nothing can be committed to
// them; what was committed before came from events that are in the stream by now, and the
// shadow gets those first.
func (r *run) swap(ctx context.Context) (held time.Duration, err error) {
	tables := r.opt.tables()
	if err := r.settle(ctx, tables); err != nil {
		return 0, err
	}
	live, err := r.sh.live(ctx, tables)
	if err != nil {
		return 0, err
	}
	var from time.Time
	err = store.InTx(ctx, r.sh.lock, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, fmt.Sprintf(`SET LOCAL lock_timeout = '%dms'; SET LOCAL synchronous_commit = on`, lockWait.Milliseconds())); err != nil {
			return err
		}
		for i, table := range live {
			if _, err := tx.Exec(ctx, `LOCK TABLE public.`+table+` IN ACCESS EXCLUSIVE MODE`); err != nil {
				return fmt.Errorf("lock %s: %w", table, err)
			}
			if i == 0 {
				from = time.Now()
			}
		}
		if from.IsZero() {
			from = time.Now()
		}
		if err := r.lastTail(ctx); err != nil {
			return err
		}
		if now, err := store.Version(ctx, tx); err != nil || now != r.st.Schema {
			return errors.Join(errors.New("the database was migrated meanwhile: give this replay up with `loom replay --abort` and start again"), err)
		}
		if _, err := tx.Exec(ctx, `SELECT loom_swap_projections('loom_replay', $1)`, tables); err != nil {
			return fmt.Errorf("swap: %w", err)
		}
		return nil
	})
	return time.Since(from), err
}

// lastTail applies what is left while the live tables are locked.
func (r *run) lastTail(ctx context.Context) error {
	tail, cancel := context.WithTimeoutCause(ctx, tailLimit, errSlow)
	defer cancel()
	info, err := r.src.info(tail)
	if err == nil {
		err = r.sameStream(info.Created)
	}
	if err == nil {
		err = r.until(tail, info.State.LastSeq)
	}
	switch {
	case err != nil && ctx.Err() == nil && tail.Err() != nil:
		return errSlow
	case err != nil:
		return err
	case r.st.Jumped:
		return errJumped
	}
	return nil
}

// settle makes a vacuum that works on the shadow give way, before anyone waits for us.
func (r *run) settle(ctx context.Context, tables []string) error {
	return store.InTx(ctx, r.sh.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, fmt.Sprintf(`SET LOCAL lock_timeout = '%dms'`, settleLimit.Milliseconds())); err != nil {
			return err
		}
		for _, table := range tables {
			if _, err := tx.Exec(ctx, `LOCK TABLE loom_replay.`+table+` IN ACCESS EXCLUSIVE MODE`); err != nil {
				return fmt.Errorf("lock the shadow of %s: %w", table, err)
			}
		}
		return nil
	})
}

// locked reports whether err says that a lock was not to be had, or that someone who held
// one waited for ours.
func locked(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (pg.Code == "55P03" || pg.Code == "40P01")
}
