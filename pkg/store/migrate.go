package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib" // the database/sql driver goose needs
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// ErrNewerSchema means that the database was migrated by a newer release.
var ErrNewerSchema = errors.New("the database is newer than this program")

// Locks of the database, taken by processes that do the same work at once.
const (
	migrateLock = 0x6c6f6f6d01 // "loom", 1
	rolesLock   = 0x6c6f6f6d02
)

// Migrate applies the migrations of fsys (NNNN_what.sql, at its root) that the
// database does not have, in order, each in its own transaction. Processes that
// migrate at the same time wait for each other. It never goes back, and refuses
// with [ErrNewerSchema] a database that has migrations fsys lacks.
func Migrate(ctx context.Context, dsn string, fsys fs.FS, log *slog.Logger) (err error) {
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	// Asks for the lock every second, for ten minutes.
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockID(migrateLock), lock.WithLockTimeout(1, 600))
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	p, err := goose.NewProvider(goose.DialectPostgres, db, fsys,
		goose.WithSessionLocker(locker), goose.WithDisableGlobalRegistry(true), goose.WithSlog(slog.New(slog.DiscardHandler)))
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	sources := p.ListSources()
	newest := sources[len(sources)-1].Version // goose refuses an empty fsys
	if err := notNewer(ctx, dsn, newest); err != nil {
		return err
	}
	applied, err := p.Up(ctx)
	for _, m := range applied {
		log.InfoContext(ctx, "migration applied", slog.Int64("version", m.Source.Version), slog.Duration("took", m.Duration))
	}
	if err != nil {
		return fmt.Errorf("migrate: %w", Wrap(err))
	}
	if err := publishVersion(ctx, dsn); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	// Once more: a newer program may have migrated while this one waited.
	return notNewer(ctx, dsn, newest)
}

func notNewer(ctx context.Context, dsn string, newest int64) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return fmt.Errorf("migrate: %w", Wrap(err))
	}
	defer func() { _ = conn.Close(ctx) }()
	have, err := Version(ctx, conn)
	if err != nil {
		return err
	}
	if have > newest {
		return fmt.Errorf("%w: its schema is version %d, this program knows %d at most: run a newer release", ErrNewerSchema, have, newest)
	}
	return nil
}

// Querier runs a query of one row: a pool, a connection or a transaction.
type Querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Version returns the number of the last migration applied to the database, 0
// when there was none. It changes nothing.
func Version(ctx context.Context, db Querier) (int64, error) {
	var exists bool
	err := db.QueryRow(ctx, `SELECT to_regclass('goose_db_version') IS NOT NULL`).Scan(&exists)
	if err != nil {
		return 0, fmt.Errorf("schema version: %w", Wrap(err))
	}
	if !exists {
		return 0, nil
	}
	var v int64
	err = db.QueryRow(ctx, `SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied`).Scan(&v)
	if err != nil {
		return 0, fmt.Errorf("schema version: %w", Wrap(err))
	}
	return v, nil
}
