package replay

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"loom.internal/pkg/store"
)

// errNotOwner is of who may neither be nor become the owner of the tables.
var errNotOwner = errors.New("only the owner of the tables can replay")

// becomeOwner makes a session one of the role that owns the function that makes
// partitions, and so the tables. What another role makes, a superuser too, that function
// could not add a partition to when the swap has put it in its place: from the next day
// on no event could be stored.
func becomeOwner(ctx context.Context, conn *pgx.Conn) (owner string, err error) {
	err = conn.QueryRow(ctx, `SELECT proowner::regrole::text FROM pg_proc WHERE oid = to_regprocedure('public.loom_ensure_partitions(date, integer)')`).Scan(&owner)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", errors.New("this database has no tables of Loom's: run `loom migrate`")
	}
	if err != nil {
		return "", fmt.Errorf("look for the owner of the tables: %w", store.Wrap(err))
	}
	if err := setRole(ctx, conn, owner); err != nil {
		return "", err
	}
	rows, err := conn.Query(ctx, `SELECT t || ' belongs to ' || relowner::regrole::text FROM unnest($1::text[]) AS t JOIN pg_class ON oid = to_regclass('public.' || t)
		WHERE relowner::regrole::text <> $2 ORDER BY t`, Options{Traces: true, Usage: true}.tables(), owner)
	if err != nil {
		return "", fmt.Errorf("look for the owner of the tables: %w", store.Wrap(err))
	}
	others, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return "", fmt.Errorf("look for the owner of the tables: %w", store.Wrap(err))
	}
	if len(others) > 0 {
		return "", fmt.Errorf("the function that makes their partitions belongs to %s, but %s: give them to it with ALTER TABLE … OWNER TO, each partition too", owner, strings.Join(others, ", "))
	}
	return owner, nil
}

// setRole takes a role as the catalogue writes it, quoted where it has to be.
func setRole(ctx context.Context, conn *pgx.Conn, role string) error {
	if _, err := conn.Exec(ctx, `SET ROLE `+role); err != nil {
		return fmt.Errorf("%w, which is %s: connect as that role: %w", errNotOwner, role, store.Wrap(err))
	}
	return nil
}
