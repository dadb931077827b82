package main_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"loom.internal/pkg/testkit"
)

// TestMigrateSaysWhatIsWrong with the engines it was given.
func TestMigrateSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	t.Run("no JetStream", func(t *testing.T) {
		t.Parallel()
		srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true})
		if err != nil {
			t.Fatal(err)
		}
		srv.Start()
		t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
		if !srv.ReadyForConnections(10 * time.Second) {
			t.Fatal("the broker does not start")
		}
		refused(t, "NATS answers but has no JetStream", "LOOM_MIGRATE_NATS_URL=nats://"+srv.Addr().String())
	})
	t.Run("no NATS", func(t *testing.T) {
		t.Parallel()
		refused(t, "not connected: NATS cannot be reached, or refuses the login", "LOOM_MIGRATE_NATS_URL=nats://127.0.0.1:1")
	})
	t.Run("another database's password", func(t *testing.T) {
		t.Parallel()
		u, err := url.Parse(testkit.Postgres(t).DSN("loom_admin"))
		if err != nil {
			t.Fatal(err)
		}
		u.User = url.UserPassword("loom_admin", "of-another")
		refused(t, "bring back the one it was made with", "LOOM_MIGRATE_DATABASE_URL="+u.String())
	})
	t.Run("a newer schema", func(t *testing.T) {
		t.Parallel()
		db := testkit.Postgres(t)
		if _, err := db.Pool("").Exec(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, true)`); err != nil {
			t.Fatal(err)
		}
		refused(t, "this program knows", "LOOM_MIGRATE_DATABASE_URL="+db.DSN(""))
	})
}

// refused runs loom migrate, which is to end with 1 and with want in its last lines.
func refused(t *testing.T, want string, env ...string) {
	t.Helper()
	r := loom(t, append(env, "LOOM_MIGRATE_PATIENCE=2s"), "migrate")
	_, last, _ := strings.Cut(r.stderr, "\nloom: ")
	if last == "" {
		last = strings.TrimPrefix(r.stderr, "loom: ")
	}
	if r.code != 1 || !strings.Contains(last, want) {
		t.Errorf("exit code %d, want 1 and %q at the end:\n%s", r.code, want, r.stderr)
	}
}
