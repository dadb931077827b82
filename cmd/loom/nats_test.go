package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"loom.internal/pkg/bus"
)

// TestMigrateLogsIn: the address of NATS holds a password, comes out of a file, and shows
// nowhere.
func TestMigrateLogsIn(t *testing.T) {
	t.Parallel()
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true,
		Users: []*server.User{{Username: "migrate", Password: "hunter2", Permissions: &server.Permissions{
			Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX_migrate.>"}},
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(10 * time.Second) {
		t.Fatal("the broker does not start")
	}
	addr := srv.Addr().String()
	run := func(url string) result {
		t.Helper()
		file := filepath.Join(t.TempDir(), "url")
		if err := os.WriteFile(file, []byte(url+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		r := loom(t, []string{"LOOM_MIGRATE_NATS_URL_FILE=" + file, "LOOM_MIGRATE_PATIENCE=3s", "LOOM_MIGRATE_LOG_LEVEL=debug"}, "migrate")
		if strings.Contains(r.stdout+r.stderr, "hunter") {
			t.Errorf("shows the password:\n%s%s", r.stdout, r.stderr)
		}
		return r
	}
	if r := run("nats://migrate:hunter2@" + addr); r.code != 0 || !strings.Contains(r.stderr, "the streams are at this version") {
		t.Fatalf("exit code %d:\n%s", r.code, r.stderr)
	}
	if r := run("nats://migrate:hunter3@" + addr); r.code != 1 || !strings.Contains(r.stderr, "NATS refuses the login") {
		t.Errorf("a wrong password: exit code %d:\n%s", r.code, r.stderr)
	}
	if r := run("nats://migrate:1/hunter4@" + addr); r.code != 1 || !strings.Contains(r.stderr, "not an address such as nats://user:password@host:4222") {
		t.Errorf("no address: exit code %d:\n%s", r.code, r.stderr)
	}
	nc, err := nats.Connect(addr, nats.UserInfo("migrate", "hunter2"), nats.CustomInboxPrefix(bus.InboxPrefix("migrate")))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.Stream(t.Context(), bus.StreamTrace); err != nil {
		t.Error(err)
	}
}
