package testkit

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Away takes the database away from everyone, as an outage would: connections are
// cut and new ones refused, until back is called.
func (db *DB) Away(tb testing.TB) (back func()) {
	tb.Helper()
	conn, err := pgx.Connect(tb.Context(), shared.dsn)
	if err != nil {
		tb.Fatal(err)
	}
	exec := func(sql string, args ...any) {
		tb.Helper()
		if _, err := conn.Exec(context.WithoutCancel(tb.Context()), sql, args...); err != nil {
			tb.Fatal(err)
		}
	}
	exec("ALTER DATABASE " + db.name + " ALLOW_CONNECTIONS false")
	exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1`, db.name)
	return func() {
		tb.Helper()
		exec("ALTER DATABASE " + db.name + " ALLOW_CONNECTIONS true")
		_ = conn.Close(context.WithoutCancel(tb.Context()))
	}
}
