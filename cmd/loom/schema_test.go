package main_test

import (
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"loom.internal/pkg/testkit"
)

// TestSchemaTooOld: a service on a database that was not migrated says what to do, does not
// call itself ready, and is there when someone has.
func TestSchemaTooOld(t *testing.T) {
	t.Parallel()
	broker := testkit.NATS(t)
	for _, service := range []string{"recorder", "analytics", "dashboard"} {
		t.Run(service, func(t *testing.T) {
			t.Parallel()
			db := testkit.Postgres(t)
			owner := db.Pool("")
			if _, err := owner.Exec(t.Context(), `DELETE FROM goose_db_version WHERE version_id > 5`); err != nil {
				t.Fatal(err)
			}
			prefix, ops := "LOOM_"+strings.ToUpper(service), freeAddr(t)
			cmd := exec.Command(binary, service)
			var stderr output
			cmd.Stderr = &stderr
			cmd.Env = environment("ENCRYPTION_MASTER_KEY=000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
				prefix+"_OPS_ADDR="+ops, prefix+"_ADDR=127.0.0.1:0", prefix+"_NATS_URL="+broker.URL,
				prefix+"_DATABASE_URL="+db.DSN("loom_"+service), prefix+"_ADMIN_DATABASE_URL="+db.DSN("loom_admin"))
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
			eventually(t, 20*time.Second, func() error {
				return says(&stderr, "its schema is version 5, this program needs", "run loom migrate of this release")
			})
			if got := ready(t, ops); got {
				t.Error("it calls itself ready")
			}
			if _, err := owner.Exec(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, true)`); err != nil {
				t.Fatal(err)
			}
			eventually(t, 20*time.Second, func() error { return says(&stderr, "the database is newer than this program") })
		})
	}
}

func says(log *output, texts ...string) error {
	for _, text := range texts {
		if s := log.String(); !strings.Contains(s, text) {
			return fmt.Errorf("the log lacks %q:\n%s", text, s)
		}
	}
	return nil
}

func ready(t *testing.T, ops string) bool {
	t.Helper()
	resp, err := http.Get("http://" + ops + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}
