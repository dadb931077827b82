package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strconv"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"

	"loom.internal/migrations"
)

// ErrOlderSchema means that the database was not yet migrated to what this program needs.
var ErrOlderSchema = errors.New("the database is older than this program")

// Check returns what a service asks to know whether its database can be worked with: that
// it answers, and has at least the schema of this release. A database that is newer is
// fine, since a schema only grows from one release to the next, and is said once.
func Check(db Querier, log *slog.Logger) func(context.Context) error {
	need := schemaVersion(migrations.FS)
	var newer sync.Once
	return func(ctx context.Context) error {
		have, err := Version(ctx, db)
		switch {
		case sqlState(err) == "42501":
			// Releases before this check did not let services read it.
			return fmt.Errorf("%w, which needs version %d: run loom migrate of this release", ErrOlderSchema, need)
		case err != nil:
			return err
		case have < need:
			return fmt.Errorf("%w: its schema is version %d, this program needs %d: run loom migrate of this release", ErrOlderSchema, have, need)
		case have > need:
			newer.Do(func() {
				log.WarnContext(ctx, "the database is newer than this program: let this release's successor take over soon",
					slog.Int64("schema", have), slog.Int64("known", need))
			})
		}
		return nil
	}
}

// schemaVersion is the number of the last of fsys's NNNN_what.sql.
func schemaVersion(fsys fs.FS) int64 {
	names, err := fs.Glob(fsys, "*.sql")
	if err != nil || len(names) == 0 {
		panic("store: no migrations") // they are part of the program
	}
	number, _, _ := strings.Cut(names[len(names)-1], "_")
	version, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		panic("store: a migration without a number: " + names[len(names)-1])
	}
	return version
}

// publishVersion lets every role of the database read which version its schema is.
func publishVersion(ctx context.Context, dsn string) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return Wrap(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	return InTx(ctx, conn, func(tx pgx.Tx) error {
		// Two at once would trip over each other's change of the catalogue.
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(rolesLock)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `GRANT SELECT ON goose_db_version TO PUBLIC`)
		return err
	})
}
