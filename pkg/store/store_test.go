package store_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"loom.internal/pkg/local"
	"loom.internal/pkg/store"
)

var server *local.Postgres // of this test binary

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "loom-store-")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	ctx := context.Background()
	if server, err = local.StartPostgres(ctx, local.PostgresOptions{Dir: dir}); err != nil {
		panic(err)
	}
	code := m.Run()
	if err := server.Stop(ctx); err != nil {
		panic(err)
	}
	if err := goleak.Find(); err != nil {
		println(err.Error())
		return 1
	}
	return code
}

// database makes an empty database named for the test and returns its URL.
func database(t *testing.T) string {
	t.Helper()
	name := strings.ToLower(strings.ReplaceAll(t.Name(), "/", "_"))
	if err := server.EnsureDatabase(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	return server.SuperDSN(name)
}

func open(t *testing.T, dsn string) *pgxpool.Pool {
	t.Helper()
	pool, err := store.Open(t.Context(), dsn, store.Options{MaxConns: 4, Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func migrationFiles() fs.FS { return os.DirFS(filepath.Join("testdata", "migrations")) }

func migrated(t *testing.T) *pgxpool.Pool {
	t.Helper()
	dsn := database(t)
	if err := store.Migrate(t.Context(), dsn, migrationFiles(), slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	return open(t, dsn)
}

func TestOpen(t *testing.T) {
	t.Parallel()
	pool := open(t, database(t))
	var name string
	if err := pool.QueryRow(t.Context(), `SHOW application_name`).Scan(&name); err != nil || name != "test" {
		t.Errorf("application_name: got %q, %v", name, err)
	}
	if got := pool.Config().MaxConns; got != 4 {
		t.Errorf("MaxConns: got %d, want 4", got)
	}
	_, err := store.Open(t.Context(), "postgres://u:hunter2@h:port/d", store.Options{})
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("bad URL: got %v, want an error without the password", err)
	}
}

// TestOpenWaitsForDatabase has nothing listen first, then puts a way to the
// server there.
func TestOpenWaitsForDatabase(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	_ = ln.Close()
	target, err := pgx.ParseConfig(server.SuperDSN("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	dsn := "postgres://loom:" + target.Password + "@" + addr + "/postgres?sslmode=disable"

	var log strings.Builder
	var outcomes []error
	var wg sync.WaitGroup
	defer wg.Wait()
	var front net.Listener
	pool, err := store.Open(t.Context(), dsn, store.Options{
		Log: slog.New(slog.NewTextHandler(&log, nil)),
		Report: func(err error) {
			outcomes = append(outcomes, err)
			if len(outcomes) != 2 {
				return
			}
			if front, err = net.Listen("tcp", addr); err != nil {
				t.Error(err)
				return
			}
			wg.Go(func() { forward(front, target.Host) })
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { pool.Close(); _ = front.Close() }()
	if len(outcomes) != 3 || !errors.Is(outcomes[0], store.ErrUnavailable) || outcomes[2] != nil {
		t.Errorf("outcomes: got %v, want two failures and a success", outcomes)
	}
	if got := strings.Count(log.String(), "level=WARN msg=\"database not reachable, will try again\""); got != 2 {
		t.Errorf("log lines: got %d, want 2:\n%s", got, log.String())
	}
	if strings.Contains(log.String(), target.Password) {
		t.Error("the log holds the password")
	}
}

// forward carries connections of ln to the server's Unix socket, until ln closes.
func forward(ln net.Listener, dir string) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		in, err := ln.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("unix", filepath.Join(dir, ".s.PGSQL.5432"))
		if err != nil {
			_ = in.Close()
			continue
		}
		for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
			wg.Go(func() {
				_, _ = io.Copy(pair[0], pair[1])
				_ = pair[0].Close()
				_ = pair[1].Close()
			})
		}
	}
}

func TestOpenGivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	from := time.Now()
	_, err := store.Open(ctx, "postgres://u:p@127.0.0.1:1/d", store.Options{})
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got %v, want the deadline and the reason", err)
	}
	if took := time.Since(from); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

// A server that hangs while time runs out does not hide why it was not reached before.
func TestOpenNamesTheReasonBeforeTheEnd(t *testing.T) {
	t.Parallel()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(all.Wait)
	t.Cleanup(func() { _ = ln.Close() })
	all.Go(func() {
		for n := 0; ; n++ {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			if n == 0 {
				_ = conn.Close()
				continue
			}
			defer func() { _ = conn.Close() }()
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	_, err = store.Open(ctx, "postgres://u:p@"+ln.Addr().String()+"/d?sslmode=disable", store.Options{})
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got %v, want the deadline and the reason", err)
	}
}

func TestMigrate(t *testing.T) {
	t.Parallel()
	dsn := database(t)
	pool := open(t, dsn)
	check := func(want int64) {
		t.Helper()
		if got, err := store.Version(t.Context(), pool); err != nil || got != want {
			t.Errorf("version: got %d, %v, want %d", got, err, want)
		}
	}
	check(0)
	first := fstest.MapFS{}
	b, err := fs.ReadFile(migrationFiles(), "0001_init.sql")
	if err != nil {
		t.Fatal(err)
	}
	first["0001_init.sql"] = &fstest.MapFile{Data: b}

	// Several at once: each migration is applied once.
	var mu sync.Mutex
	var log strings.Builder
	logger := slog.New(slog.NewTextHandler(lockedWriter{&mu, &log}, nil))
	errs := make(chan error, 4)
	for range 4 {
		go func() { errs <- store.Migrate(context.Background(), dsn, first, logger) }()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	check(1)
	if got := strings.Count(log.String(), "migration applied"); got != 1 {
		t.Errorf("applied %d times:\n%s", got, log.String())
	}
	quiet := slog.New(slog.DiscardHandler)
	if err := store.Migrate(t.Context(), dsn, migrationFiles(), quiet); err != nil {
		t.Fatal(err)
	}
	check(2)

	err = store.Migrate(t.Context(), dsn, first, quiet)
	if !errors.Is(err, store.ErrNewerSchema) || !strings.Contains(err.Error(), "version 2, this program knows 1 at most: run a newer release") {
		t.Errorf("older program: got %v, want ErrNewerSchema", err)
	}
	bad := fstest.MapFS{"0001_init.sql": first["0001_init.sql"], "0002_note.sql": {Data: []byte("-- +goose Up\n")}, "0003_bad.sql": {Data: []byte("-- +goose Up\nCREATE TABLE half ();\nSELECT nonsense;\n")}}
	if err := store.Migrate(t.Context(), dsn, bad, quiet); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("bad migration: got %v", err)
	}
	check(2)
	if _, err := pool.Exec(t.Context(), `SELECT FROM half`); err == nil {
		t.Error("half of a failed migration stays")
	}
	if err := store.Migrate(t.Context(), dsn, fstest.MapFS{}, quiet); err == nil {
		t.Error("no migrations: got no error")
	}
	if err := store.Migrate(t.Context(), "postgres://u@127.0.0.1:1/d", first, quiet); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("no server: got %v, want ErrUnavailable", err)
	}
}

type lockedWriter struct {
	mu *sync.Mutex
	b  *strings.Builder
}

func (w lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}
