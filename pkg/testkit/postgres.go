package testkit

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"loom.internal/migrations"
	"loom.internal/pkg/store"
)

const (
	rolePassword = "loom-test"
	templateLock = 0x6c6f6f6d03 // advisory lock of the database postgres
	dropLimit    = 30 * time.Second
)

// DB is a database of a test's own, with Loom's schema and nothing in it. It is
// dropped when the test ends.
type DB struct {
	tb   testing.TB
	name string

	mu    sync.Mutex
	pools map[string]*pgxpool.Pool
}

// template is a migrated database to copy, made once for each set of migrations.
type template struct {
	once sync.Once
	name string
	copy string // what CREATE DATABASE is told of how to copy
	err  error
}

// Postgres returns a new database with Loom's schema. Where no Postgres can be
// had the test fails and says what to do; it is never skipped.
func Postgres(tb testing.TB) *DB {
	tb.Helper()
	return newDB(tb, migrations.FS)
}

func newDB(tb testing.TB, fsys fs.FS) *DB {
	tb.Helper()
	if err := shared.start(); err != nil {
		tb.Fatal(err)
	}
	text, err := readAll(fsys)
	if err != nil {
		tb.Fatal("read migrations:", err)
	}
	tpl := shared.template(fmt.Sprintf("loom_tpl_%x", sha256.Sum256([]byte(text)))[:32])
	tpl.once.Do(func() { tpl.err = tpl.build(fsys) })
	if tpl.err != nil {
		tb.Fatal("make the template database:", tpl.err)
	}
	db := &DB{tb: tb, name: "loom_test_" + strings.ToLower(rand.Text()[:16]), pools: map[string]*pgxpool.Pool{}}
	if err := onServer(tb.Context(), "CREATE DATABASE "+db.name+" TEMPLATE "+tpl.name+tpl.copy); err != nil {
		tb.Fatal("make a test database:", err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), dropLimit) // the test's own has ended
		defer cancel()
		if err := onServer(ctx, "DROP DATABASE "+db.name+" WITH (FORCE)"); err != nil {
			tb.Error("drop the test database:", err)
		}
	})
	return db
}

// DSN is the database's URL for a role: one of loom_recorder, loom_analytics,
// loom_dashboard and loom_admin, or "" for the owner of everything in it.
func (db *DB) DSN(role string) string { return withDatabase(shared.dsn, db.name, role) }

// Pool is a pool of connections as a role (see DSN), the same at every call. It
// is closed when the test ends.
func (db *DB) Pool(role string) *pgxpool.Pool {
	db.tb.Helper()
	db.mu.Lock()
	defer db.mu.Unlock()
	if p := db.pools[role]; p != nil {
		return p
	}
	ctx, cancel := context.WithTimeout(db.tb.Context(), dropLimit)
	defer cancel()
	p, err := store.New(context.WithoutCancel(ctx), db.DSN(role), store.Options{MaxConns: 8, Name: "testkit"})
	if err != nil {
		db.tb.Fatal(err)
	}
	db.tb.Cleanup(p.Close)
	if err := p.Ping(ctx); err != nil {
		db.tb.Fatalf("connect as %q: %v", role, err)
	}
	db.pools[role] = p
	return p
}

func (s *pgServer) template(name string) *template {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.templates == nil {
		s.templates = map[string]*template{}
	}
	if s.templates[name] == nil {
		s.templates[name] = &template{name: name}
	}
	return s.templates[name]
}

// build migrates the template, under a lock: other test binaries may share the
// server and want the same. It gets its name only when it is whole.
func (tpl *template) build(fsys fs.FS) error {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	conn, err := pgx.Connect(ctx, shared.dsn)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // and the lock goes with it
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock($1)`, int64(templateLock)); err != nil {
		return err
	}
	var exists, old bool
	err = conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1), current_setting('server_version_num')::int < 150000`,
		tpl.name).Scan(&exists, &old)
	if err != nil {
		return err
	}
	if !old {
		tpl.copy = " STRATEGY file_copy" // the only way up to 14, and the fast one for small databases
	}
	if !exists {
		tmp := tpl.name + "_new"
		for _, sql := range []string{"DROP DATABASE IF EXISTS " + tmp + " WITH (FORCE)", "CREATE DATABASE " + tmp} {
			if _, err := conn.Exec(ctx, sql); err != nil {
				return err
			}
		}
		if err := store.Migrate(ctx, withDatabase(shared.dsn, tmp, ""), fsys, slog.New(slog.DiscardHandler)); err != nil {
			return err
		}
		if _, err := conn.Exec(ctx, "ALTER DATABASE "+tmp+" RENAME TO "+tpl.name); err != nil {
			return err
		}
	}
	return givePasswords(ctx, conn)
}

// givePasswords lets tests log in as the roles that the migrations have made.
func givePasswords(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, `SELECT rolname FROM pg_roles WHERE rolname = ANY($1)`,
		[]string{"loom_recorder", "loom_analytics", "loom_dashboard", "loom_admin"})
	if err != nil {
		return err
	}
	roles, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	passwords := map[string]string{}
	for _, role := range roles {
		passwords[role] = rolePassword
	}
	return store.SetRolePasswords(ctx, conn, passwords)
}

// onServer runs one statement in the database postgres.
func onServer(ctx context.Context, sql string) (err error) {
	conn, err := pgx.Connect(ctx, shared.dsn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	_, err = conn.Exec(ctx, sql)
	return err
}

// withDatabase changes the database of a URL or of key=value pairs, and the
// user when a role is given.
func withDatabase(dsn, db, role string) string {
	u, err := url.Parse(dsn)
	if err != nil || u.Scheme == "" { // of two pairs with one key the last counts
		dsn += " dbname=" + db
		if role != "" {
			dsn += " user=" + role + " password=" + rolePassword
		}
		return dsn
	}
	u.Path = "/" + db
	if role != "" {
		u.User = url.UserPassword(role, rolePassword)
	}
	return u.String()
}

// readAll puts a set of migrations into one text, names and lengths included.
func readAll(fsys fs.FS) (string, error) {
	var b strings.Builder
	err := fs.WalkDir(fsys, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(fsys, path)
		fmt.Fprintf(&b, "%s\x00%d\x00%s", path, len(text), text)
		return err
	})
	return b.String(), err
}
