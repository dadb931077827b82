package replay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"loom.internal/migrations"
	"loom.internal/pkg/store"
)

// Errors to branch on.
var (
	ErrRunning    = errors.New("another replay is running")
	ErrUnfinished = errors.New("an unfinished replay with other options is there")
	ErrNoRun      = errors.New("there is no unfinished replay")
)

const (
	schema     = "loom_replay"
	replayLock = 0x6c6f6f6d10 // advisory: one replay at once
)

// Phases of a run, in their order.
const (
	phaseApply = "apply"
	phaseCarry = "carry"
	phaseSum   = "sum"
	phaseTail  = "tail"
)

// shadow is the schema of the tables being built, and the run that builds them.
type shadow struct {
	lock *pgx.Conn     // holds the advisory lock, sees the live tables, swaps
	pool *pgxpool.Pool // sees the shadow tables first
}

// openShadow connects, as the owner of the tables, and takes the lock. The caller closes.
func openShadow(ctx context.Context, dsn string) (*shadow, error) {
	cfg, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("database URL: %w", err) // pgx masks the password
	}
	params := cfg.ConnConfig.RuntimeParams
	params["application_name"], params["loom.replay"] = "loom replay", "on"
	// The shadow is worth nothing before its swap, which waits for the disk.
	params["synchronous_commit"] = "off"
	params["search_path"] = "public"
	params["statement_timeout"], params["idle_in_transaction_session_timeout"] = "0", "0"
	lock, err := pgx.ConnectConfig(ctx, cfg.ConnConfig.Copy())
	if err != nil {
		return nil, fmt.Errorf("connect to the database: %w", store.Wrap(err))
	}
	s := &shadow{lock: lock}
	owner, err := becomeOwner(ctx, lock)
	if err == nil {
		err = s.acquire(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close(ctx))
	}
	cfg.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error { return setRole(ctx, conn, owner) }
	params["search_path"] = schema + ", public"
	cfg.MaxConns = 4
	if s.pool, err = pgxpool.NewWithConfig(ctx, cfg); err != nil {
		return nil, errors.Join(fmt.Errorf("open pool: %w", err), lock.Close(ctx))
	}
	return s, nil
}

func (s *shadow) close(ctx context.Context) {
	s.pool.Close()
	_ = s.lock.Close(ctx) // and the lock goes with it
}

// acquire takes the lock. A replay that was killed a moment ago may still hold it, until
// the server sees that it is gone.
func (s *shadow) acquire(ctx context.Context) error {
	// Where the server can, it looks for a dead client even within a statement.
	_, _ = s.lock.Exec(ctx, `SET client_connection_check_interval = '1s'`)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	patience, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for {
		var got bool
		if err := s.lock.QueryRow(ctx, `SELECT pg_try_advisory_lock($1)`, int64(replayLock)).Scan(&got); err != nil {
			return fmt.Errorf("lock: %w", store.Wrap(err))
		}
		if got {
			return nil
		}
		select {
		case <-tick.C:
		case <-patience.Done():
			return fmt.Errorf("%w: wait for its end, or stop it", ErrRunning)
		}
	}
}

// state is the row of a run.
type state struct {
	Options       Options
	Schema        int64     // the last migration: others would make other tables
	StreamCreated time.Time // tells one stream from another of the same name
	Floor         uint64
	Target        uint64 // end of the stream when the run began
	Began         time.Time
	Floored       *time.Time // shadow rows from before come from events up to the floor
	Applied       uint64     // every event up to here is in the shadow, as far as it belongs there
	Jumped        bool       // the stream had let go of events before they were applied; they have to be carried over
	Phase         string
	Counts        Counts
	Compared      []Comparison
	Carried       int64
	Rebuilt       bool
}

// load reads the run that is there; ErrNoRun if there is none.
func (s *shadow) load(ctx context.Context) (*state, error) {
	var exists bool
	if err := s.lock.QueryRow(ctx, `SELECT to_regclass('loom_replay.run') IS NOT NULL`).Scan(&exists); err != nil {
		return nil, fmt.Errorf("look for a run: %w", store.Wrap(err))
	}
	if !exists {
		return nil, ErrNoRun
	}
	var data []byte
	if err := s.lock.QueryRow(ctx, `SELECT state FROM loom_replay.run`).Scan(&data); err != nil {
		return nil, fmt.Errorf("read the run: %w", store.Wrap(err))
	}
	st := new(state)
	if err := json.Unmarshal(data, st); err != nil {
		return nil, fmt.Errorf("read the run: %w: loom replay --abort gives it up", err)
	}
	return st, nil
}

// create makes the schema, its tables and the run's row, all or nothing. It sets when the
// run began, by the database's clock.
func (s *shadow) create(ctx context.Context, st *state) error {
	return store.InTx(ctx, s.lock, func(tx pgx.Tx) error {
		for _, sql := range []string{
			`CREATE SCHEMA loom_replay`,
			`CREATE TABLE loom_replay.run (one boolean PRIMARY KEY DEFAULT true CHECK (one), state jsonb NOT NULL)`,
		} {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return fmt.Errorf("make the shadow schema: %w", err)
			}
		}
		if _, err := tx.Exec(ctx, `SELECT loom_make_projections('loom_replay', $1)`, st.Options.tables()); err != nil {
			return fmt.Errorf("make the shadow tables: %w", err)
		}
		if err := tx.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&st.Began); err != nil {
			return err
		}
		return save(ctx, tx, st, `INSERT INTO loom_replay.run (state) VALUES ($1)`)
	})
}

// save keeps how far the run is.
func (s *shadow) save(ctx context.Context, st *state) error {
	return save(ctx, s.pool, st, updateRun)
}

const updateRun = `UPDATE loom_replay.run SET state = $1`

func save(ctx context.Context, db store.Execer, st *state, sql string) error {
	data, err := json.Marshal(st)
	if err != nil {
		return fmt.Errorf("keep the run: %w", err)
	}
	if _, err := db.Exec(ctx, sql, string(data)); err != nil {
		return fmt.Errorf("keep the run: %w", store.Wrap(err))
	}
	return nil
}

// drop gives the shadow up, with the rights of who has connected: it may have been made
// before all of it became the owner's.
func (s *shadow) drop(ctx context.Context) error {
	if _, err := s.lock.Exec(ctx, `RESET ROLE; DROP SCHEMA IF EXISTS loom_replay CASCADE`); err != nil {
		return fmt.Errorf("drop the shadow: %w", store.Wrap(err))
	}
	return nil
}

// version is the last migration of the database, which must be the last this program has:
// it makes the tables and writes to them.
func (s *shadow) version(ctx context.Context) (int64, error) {
	have, err := store.Version(ctx, s.lock)
	if err != nil {
		return 0, err
	}
	files, err := fs.Glob(migrations.FS, "*.sql")
	if err != nil {
		return 0, fmt.Errorf("list migrations: %w", err)
	}
	number, _, _ := strings.Cut(slices.Max(files), "_")
	if want, err := strconv.ParseInt(number, 10, 64); err != nil || have != want {
		return 0, fmt.Errorf("the schema of the database is version %d, that of this program is %s: run `loom migrate` of one release with its `loom replay`", have, number)
	}
	return have, nil
}

// live lists those of the tables that are there.
func (s *shadow) live(ctx context.Context, tables []string) ([]string, error) {
	rows, err := s.lock.Query(ctx, `SELECT t FROM unnest($1::text[]) WITH ORDINALITY AS names (t, n) WHERE to_regclass('public.' || t) IS NOT NULL ORDER BY n`, tables)
	if err != nil {
		return nil, fmt.Errorf("look for the live tables: %w", store.Wrap(err))
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("look for the live tables: %w", store.Wrap(err))
	}
	return names, nil
}

// days lists the UTC days that have a partition of a table in public or in the shadow, but
// for those of traces that retention has dropped or is about to.
func (s *shadow) days(ctx context.Context, table string) ([]time.Time, error) {
	rows, err := s.lock.Query(ctx, `
		SELECT DISTINCT day FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
		CROSS JOIN LATERAL (SELECT to_date(substring(relname FROM '_([0-9]{8})$'), 'YYYYMMDD') AS day) AS named
		WHERE inhparent IN (to_regclass('public.' || $1::text), to_regclass('loom_replay.' || $1::text))
		  AND ($1 = 'usage_facts' OR day >= coalesce((SELECT kept_from FROM retention), '-infinity'))
		ORDER BY day`, table)
	if err != nil {
		return nil, fmt.Errorf("list the days of %s: %w", table, store.Wrap(err))
	}
	days, err := pgx.CollectRows(rows, pgx.RowTo[time.Time])
	if err != nil {
		return nil, fmt.Errorf("list the days of %s: %w", table, store.Wrap(err))
	}
	return days, nil
}

// keptFrom is the first day whose traces are kept; zero if all are.
func (s *shadow) keptFrom(ctx context.Context) (time.Time, error) {
	var kept *time.Time
	if err := s.pool.QueryRow(ctx, `SELECT max(kept_from) FROM retention`).Scan(&kept); err != nil {
		return time.Time{}, fmt.Errorf("read retention: %w", store.Wrap(err))
	}
	if kept == nil {
		return time.Time{}, nil
	}
	return kept.UTC(), nil
}

// column of a table, as a comparison reads it.
type column struct{ Name, Type string }

// columns of a table, in order.
func (s *shadow) columns(ctx context.Context, table string) ([]column, error) {
	rows, err := s.lock.Query(ctx, `SELECT attname AS name, format_type(atttypid, NULL) AS type FROM pg_attribute
		WHERE attrelid = to_regclass('loom_replay.' || $1::text) AND attnum > 0 AND NOT attisdropped ORDER BY attnum`, table)
	if err != nil {
		return nil, fmt.Errorf("columns of %s: %w", table, store.Wrap(err))
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByName[column])
	if err != nil {
		return nil, fmt.Errorf("columns of %s: %w", table, store.Wrap(err))
	}
	return all, nil
}

// stamped says when a table's row came to it; none where its trace's row does.
func stamped(table string) string {
	return map[string]string{"traces": "recorded_at", "usage_facts": "accounted_at"}[table]
}

func without(all []string, some ...string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return slices.Contains(some, s) })
}
