package dashboard_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"loom.internal/pkg/envelope"
	"loom.internal/pkg/telemetry"
	"loom.internal/pkg/testkit"
	"loom.internal/services/dashboard"
)

// tool is one of Postgres's programs, from beside the server's own where that is on this
// machine: only the same version is sure to read what the server has.
func (r *rig) tool(t *testing.T, name string) string {
	t.Helper()
	var bin string
	if err := r.db.Pool("").QueryRow(t.Context(), `SELECT setting FROM pg_config WHERE name = 'BINDIR'`).Scan(&bin); err == nil {
		if path, err := exec.LookPath(filepath.Join(bin, name)); err == nil {
			return path
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("this test needs %s, which is neither in %q nor in PATH: install PostgreSQL's client programs "+
			"(Debian: apt-get install postgresql-client, which is part of postgresql)", name, bin)
	}
	return path
}

// pg runs one of Postgres's programs on a database of the rig's server, as its superuser.
func (r *rig) pg(t *testing.T, database, name string, args ...string) []byte {
	t.Helper()
	c, err := pgx.ParseConfig(r.db.DSN(""))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, r.tool(t, name), args...)
	cmd.Env = append(os.Environ(), "PGHOST="+c.Host, fmt.Sprint("PGPORT=", c.Port), "PGUSER="+c.User, "PGPASSWORD="+c.Password, "PGDATABASE="+database)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, stderr.String())
	}
	return out
}

// restored is a dashboard on a database that a dump was restored into, without the data of
// the given tables.
func (r *rig) restored(t *testing.T, dump string, without ...string) *rig {
	t.Helper()
	c, err := pgxpool.ParseConfig(r.db.DSN(""))
	if err != nil {
		t.Fatal(err)
	}
	name := c.ConnConfig.Database + "_from_backup" + fmt.Sprint(len(without))
	r.exec(t, "CREATE DATABASE "+name)
	c.ConnConfig.Database = name
	db, err := pgxpool.NewWithConfig(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		db.Close()
		if _, err := r.db.Pool("").Exec(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
	var entries []string
	for line := range strings.Lines(string(r.pg(t, name, "pg_restore", "--list", dump))) {
		left := false
		for _, table := range without {
			left = left || strings.Contains(line, " TABLE DATA public "+table+" ")
		}
		if !left {
			entries = append(entries, line)
		}
	}
	list := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(list, []byte(strings.Join(entries, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	r.pg(t, name, "pg_restore", "--exit-on-error", "--use-list="+list, "--dbname="+name, dump)

	other := *r
	other.metrics = prometheus.NewRegistry()
	// The superuser, so that nothing but the keys can be why a body does not open.
	other.Service, err = dashboard.New(testConfig(t), dashboard.Deps{
		Log: testkit.Log(t), NATS: r.nats, DB: db, AdminDB: db, Metrics: other.metrics, Ready: new(telemetry.Readiness), Now: r.clock.now,
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(other.Handler())
	t.Cleanup(server.Close)
	other.base = server.URL
	return &other
}

// opened is how many of the traces show a body.
func (r *rig) opened(t *testing.T, all []*seeded) (n int) {
	t.Helper()
	for _, s := range all {
		out := r.do(t, r.payloadOf(s))
		if out.status == http.StatusOK {
			n++
		} else if strings.Contains(string(out.body), "request ") || strings.Contains(string(out.body), "response ") {
			t.Errorf("a refusal with plaintext: %s", out.body)
		}
	}
	return n
}

// Backups of bodies are noise when their tenant was shredded, whatever master keys are at
// hand. The exception is a backup that holds tenant_keys: with it, all of them open.
func TestBackupsAreShreddedToo(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const n = 60
	all := append(r.recorded(t, "acme", n/2), nil...)
	r.admins(t, "tenants/acme/data-keys", nil, nil)
	all = append(all, r.recorded(t, "acme", n/2)...)
	foreign := r.recorded(t, "other", 2)
	day := time.Now()
	figures := r.figures(t, "acme", day)
	if got := r.opened(t, all); got != n {
		t.Fatalf("before: %d of %d open", got, n)
	}

	c, err := pgx.ParseConfig(r.db.DSN(""))
	if err != nil {
		t.Fatal(err)
	}
	dump := filepath.Join(t.TempDir(), "before.dump")
	r.pg(t, c.Database, "pg_dump", "--format=custom", "--file="+dump)
	r.shred(t, shredAcme)
	if got := r.opened(t, all); got != 0 {
		t.Errorf("shredded: %d of %d open", got, n)
	}
	if diff := cmp.Diff(figures, r.figures(t, "acme", day)); diff != "" {
		t.Errorf("costs and counts after shredding:\n%s", diff)
	}

	without := r.restored(t, dump, "tenant_keys")
	if got := without.opened(t, all); got != 0 {
		t.Errorf("from a backup without tenant_keys: %d of %d open", got, n)
	}
	if diff := cmp.Diff(figures, without.figures(t, "acme", day)); diff != "" {
		t.Errorf("costs and counts of the backup:\n%s", diff)
	}
	if got := without.counted(t, "no_key"); got != n {
		t.Errorf("%v refusals counted, want %d", got, n)
	}
	// Nor with what is left today: the rows of tenant_keys as they are now, and new keys.
	for _, k := range r.storedKeys(t, "acme") {
		w := envelope.WrappedDataKey{Epoch: k.epoch, Wrapped: envelope.Wrapped{MasterVersion: 1, IV: k.iv, Ciphertext: k.wrapped}}
		if _, err := w.Unwrap(t.Context(), r.ring, "acme"); err == nil {
			t.Errorf("data key %d is still there", k.epoch)
		}
	}
	without.admins(t, "tenants/acme/data-keys", nil, nil)
	without.admins(t, "tenants/acme/data-keys", nil, nil)
	if got := without.opened(t, all); got != 0 {
		t.Errorf("from a backup with new data keys: %d of %d open", got, n)
	}

	with := r.restored(t, dump)
	if got := with.opened(t, append(all, foreign...)); got != n+len(foreign) {
		t.Errorf("from a backup with tenant_keys: %d open, want all %d", got, n+len(foreign))
	}
}
