package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"loom.internal/pkg/store"
)

func TestInTx(t *testing.T) {
	t.Parallel()
	pool := migrated(t)
	ctx := t.Context()
	insert := func(id int) error {
		return store.InTx(ctx, pool, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, `INSERT INTO items (id, tenant) VALUES ($1, 'a')`, id)
			return err
		})
	}
	if err := insert(1); err != nil {
		t.Fatal(err)
	}
	if err := insert(1); !errors.Is(err, store.ErrConflict) || !store.IsData(err) {
		t.Errorf("twice: got %v, want ErrConflict", err)
	}
	boom := errors.New("boom")
	err := store.InTx(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO items (id, tenant) VALUES (2, 'a')`); err != nil {
			return err
		}
		return boom
	})
	if !errors.Is(err, boom) {
		t.Errorf("got %v, want boom", err)
	}
	err = store.InTx(ctx, pool, func(tx pgx.Tx) error {
		var id int
		return tx.QueryRow(ctx, `SELECT id FROM items WHERE id = 2`).Scan(&id)
	})
	if !errors.Is(err, store.ErrNotFound) || !errors.Is(err, pgx.ErrNoRows) {
		t.Errorf("rolled back row: got %v, want ErrNotFound", err)
	}
}

func TestInTenant(t *testing.T) {
	t.Parallel()
	pool := migrated(t)
	ctx := t.Context()
	if _, err := pool.Exec(ctx, `INSERT INTO items (id, tenant) VALUES (1, 'a'), (2, 'b');
		CREATE ROLE tenant_reader; GRANT SELECT ON items TO tenant_reader`); err != nil {
		t.Fatal(err)
	}
	var ids []int
	err := store.InTenant(ctx, pool, "b", func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SET LOCAL ROLE tenant_reader`); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `SELECT id FROM items`)
		if err != nil {
			return err
		}
		ids, err = pgx.CollectRows(rows, pgx.RowTo[int])
		return err
	})
	if err != nil || len(ids) != 1 || ids[0] != 2 {
		t.Errorf("tenant b sees %v, %v, want [2]", ids, err)
	}
	conn, err := pool.Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	if err := store.InTenant(ctx, conn, "a", func(pgx.Tx) error { return nil }); err != nil {
		t.Fatal(err)
	}
	var left string
	if err := conn.QueryRow(ctx, `SELECT coalesce(current_setting('loom.tenant', true), '')`).Scan(&left); err != nil || left != "" {
		t.Errorf("tenant after the transaction: got %q, %v, want none", left, err)
	}
	if err := store.InTenant(ctx, pool, "", func(pgx.Tx) error { return nil }); err == nil {
		t.Error("no tenant: got no error")
	}
}

func TestWrap(t *testing.T) {
	t.Parallel()
	all := []error{store.ErrNotFound, store.ErrConflict, store.ErrRetryable, store.ErrUnavailable}
	code := func(c string) error { return fmt.Errorf("x: %w", &pgconn.PgError{Code: c}) }
	for _, c := range []struct {
		name string
		err  error
		want error
		data bool
	}{
		{"nil", nil, nil, false},
		{"no rows", pgx.ErrNoRows, store.ErrNotFound, false},
		{"unique", code("23505"), store.ErrConflict, true},
		{"foreign key", code("23503"), nil, true},
		{"bad text", code("22P02"), nil, true},
		{"serialization", code("40001"), store.ErrRetryable, false},
		{"deadlock", code("40P01"), store.ErrRetryable, false},
		{"connection", code("08006"), store.ErrUnavailable, false},
		{"shutdown", code("57P01"), store.ErrUnavailable, false},
		{"starting", code("57P03"), store.ErrUnavailable, false},
		{"full", code("53300"), store.ErrUnavailable, false},
		{"cancelled statement", code("57014"), nil, false},
		{"syntax", code("42601"), nil, false},
		{"a table that is not there", code("42P01"), nil, false}, // an outage: it may come back, as loom replay makes it
		{"a table made twice at once", code("42P07"), nil, false},
		{"a plan that no longer fits", code("0A000"), nil, false},
		{"network", &net.OpError{Op: "read", Err: errors.New("reset")}, store.ErrUnavailable, false},
		{"cut", io.ErrUnexpectedEOF, store.ErrUnavailable, false},
		{"our deadline", context.DeadlineExceeded, nil, false},
		{"our cancel", context.Canceled, nil, false},
		{"other", errors.New("other"), nil, false},
	} {
		got := store.Wrap(c.err)
		for _, s := range all {
			want := c.want != nil && errors.Is(c.want, s)
			if errors.Is(got, s) != want {
				t.Errorf("%s: %v is %v: %v", c.name, got, s, errors.Is(got, s))
			}
		}
		if c.err != nil && !errors.Is(got, c.err) {
			t.Errorf("%s: the cause is lost", c.name)
		}
		if again := store.Wrap(got); c.err != nil && again.Error() != got.Error() {
			t.Errorf("%s: wrapped twice: %v", c.name, again)
		}
		if store.IsData(got) != c.data {
			t.Errorf("%s: IsData: got %v, want %v", c.name, !c.data, c.data)
		}
	}
}

func TestWrapOfARealServer(t *testing.T) {
	t.Parallel()
	pool := migrated(t)
	err := store.InTx(t.Context(), pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), `SELECT pg_terminate_backend(pg_backend_pid())`)
		return err
	})
	if !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("ended session: got %v, want ErrUnavailable", err)
	}
	_, err = pool.Exec(t.Context(), `SELECT 'x'::text::int`)
	if !store.IsData(err) {
		t.Errorf("bad value: got %v, want IsData", err)
	}
}

func TestSetRolePasswords(t *testing.T) {
	t.Parallel()
	dsn := database(t)
	pool := open(t, dsn)
	ctx := t.Context()
	if _, err := pool.Exec(ctx, `CREATE ROLE pw_one LOGIN; CREATE ROLE "pw ""two'" LOGIN`); err != nil {
		t.Fatal(err)
	}
	db := pool.Config().ConnConfig.Database
	passwords := map[string]string{"pw_one": `p'w"; DROP ROLE x; \`, `pw "two'`: "other"}
	errs := make(chan error, 4)
	for range 4 { // services of one deployment start together
		go func() { errs <- store.SetRolePasswords(ctx, pool, passwords) }()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	for role, password := range passwords {
		conn, err := pgx.Connect(ctx, server.DSN(db, role, password))
		if err != nil {
			t.Errorf("login as %s: %v", role, err)
			continue
		}
		_ = conn.Close(ctx)
		if conn, err := pgx.Connect(ctx, server.DSN(db, role, password+"x")); err == nil {
			_ = conn.Close(ctx)
			t.Errorf("login as %s with a wrong password: got no error", role)
		}
	}
	for _, c := range [][3]string{
		{"pw_one", "", "password of role pw_one: it is empty"},
		{"pw_one", "pä", "printable ASCII only"},
		{"pw_nobody", "x", "does not exist"},
	} {
		if err := store.SetRolePasswords(ctx, pool, map[string]string{c[0]: c[1]}); err == nil || !strings.Contains(err.Error(), c[2]) {
			t.Errorf("%s with %q: got %v, want %q", c[0], c[1], err, c[2])
		}
	}
}
