package keyring_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"loom.internal/pkg/envelope"
	"loom.internal/pkg/store"
	"loom.internal/pkg/testkit"
	"loom.internal/services/dashboard/internal/keyring"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

const master = "5e1f9c7b3a8d2064e1b7c5a9f3d08e6421b9a7c3d5e8f0126b4a8c9d7e3f5012"

// open makes a keyring over the database, as one process has it.
func open(t *testing.T, db *testkit.DB, edit ...func(*keyring.Options)) *keyring.Keyring {
	t.Helper()
	ring, err := envelope.NewRing(map[uint32]string{1: master})
	if err != nil {
		t.Fatal(err)
	}
	o := keyring.Options{
		DB: db.Pool("loom_admin"), Wrapper: ring, Log: testkit.Log(t), Now: time.Now, MaxAge: keyring.MaxAge, MaxSeals: keyring.MaxSeals,
	}
	for _, f := range edit {
		f(&o)
	}
	return keyring.New(o)
}

func exec(t *testing.T, db *pgxpool.Pool, sql string, args ...any) {
	t.Helper()
	if _, err := db.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%v in %s", err, sql)
	}
}

func addTenants(t *testing.T, db *testkit.DB, ids ...string) {
	t.Helper()
	for _, id := range ids {
		exec(t, db.Pool(""), `INSERT INTO tenants (id, name, revision) VALUES ($1, $1, nextval('config_revision'))`, id)
	}
}

// epoch is that of the tenant's active data key.
func epoch(t *testing.T, db *testkit.DB, tenantID string) (n int) {
	t.Helper()
	err := db.Pool("").QueryRow(t.Context(), `SELECT coalesce(max(epoch) FILTER (WHERE state = 'active'), 0) FROM tenant_keys WHERE tenant_id = $1`, tenantID).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// keep runs KeepOnce, which must look after n tenants.
func keep(t *testing.T, k *keyring.Keyring, n int) {
	t.Helper()
	if got, err := k.KeepOnce(t.Context()); got != n || err != nil {
		t.Errorf("looked after %d tenants, %v, want %d", got, err, n)
	}
}

func TestKeepByAge(t *testing.T) {
	t.Parallel()
	db := testkit.Postgres(t)
	now := time.Now()
	k := open(t, db, func(o *keyring.Options) { o.Now, o.MaxAge = func() time.Time { return now }, time.Hour })
	addTenants(t, db, "a", "b")
	exec(t, db.Pool(""), `INSERT INTO tenants (id, name, status, revision) VALUES ('asleep', '', 'inactive', 1)`)
	keep(t, k, 2)
	now = now.Add(30 * time.Minute)
	addTenants(t, db, "c")
	keep(t, k, 1)
	now = now.Add(31 * time.Minute)
	keep(t, k, 2)
	keep(t, k, 0)
	for id, want := range map[string]int{"a": 2, "b": 2, "c": 1, "asleep": 0} {
		if got := epoch(t, db, id); got != want {
			t.Errorf("%s: data key %d, want %d", id, got, want)
		}
	}
}

// count adds requests of a tenant to a grain of the rollups.
func count(t *testing.T, db *testkit.DB, tenantID, grain string, at time.Time, requests int) {
	t.Helper()
	exec(t, db.Pool(""), `INSERT INTO rollups VALUES ($1, $2, date_trunc($2, $3::timestamptz, 'UTC'), '', '', '', '', 'completed', $4, 0, 0, 0, 0, 0, 0, 0, 0, 0, '{}', '{}')`,
		tenantID, grain, at, requests)
}

// A key ends when it may have sealed as many bodies as it should, and the next one begins
// at none, however many there were earlier that day.
func TestKeepByCount(t *testing.T) {
	t.Parallel()
	db := testkit.Postgres(t)
	now := time.Date(2026, 3, 10, 12, 30, 20, 0, time.UTC)
	k := open(t, db, func(o *keyring.Options) { o.Now, o.MaxSeals = func() time.Time { return now }, 1000 })
	addTenants(t, db, "a", "b")
	keep(t, k, 2)
	count(t, db, "b", "minute", now, 1) // another's are not counted
	count(t, db, "a", "minute", now.Add(-time.Minute), 5000)
	count(t, db, "a", "minute", now, 200)
	count(t, db, "a", "minute", now.Add(11*time.Hour), 150)
	count(t, db, "a", "day", now, 5350)
	count(t, db, "a", "hour", now, 5200)
	count(t, db, "a", "day", now.Add(24*time.Hour), 149)
	count(t, db, "a", "minute", now.Add(24*time.Hour), 149)
	now = now.Add(36 * time.Hour) // half past midnight, two days later
	keep(t, k, 0)
	count(t, db, "a", "day", now, 1) // 500 requests now
	count(t, db, "a", "minute", now.Add(-time.Minute), 1)
	keep(t, k, 1)
	keep(t, k, 0)
	if a, b := epoch(t, db, "a"), epoch(t, db, "b"); a != 2 || b != 1 {
		t.Errorf("data keys %d and %d, want 2 and 1", a, b)
	}
}

// Processes that look at the same time make one key, not one each.
func TestKeepTogether(t *testing.T) {
	t.Parallel()
	db := testkit.Postgres(t)
	ids := []string{"a", "b", "c", "d", "e"}
	addTenants(t, db, ids...)
	now := time.Now()
	for round := 1; round <= 3; round++ {
		type result struct {
			n   int
			err error
		}
		results := make(chan result)
		const processes = 4
		for range processes {
			k := open(t, db, func(o *keyring.Options) { o.Now, o.MaxAge = func() time.Time { return now }, time.Hour })
			go func() {
				n, err := k.KeepOnce(context.WithoutCancel(t.Context()))
				results <- result{n, err}
			}()
		}
		total := 0
		for range processes {
			r := <-results
			if r.err != nil {
				t.Error(r.err)
			}
			total += r.n
		}
		if total != len(ids) {
			t.Errorf("round %d: %d data keys were made, want %d", round, total, len(ids))
		}
		for _, id := range ids {
			if got := epoch(t, db, id); got != round {
				t.Errorf("round %d: %s has data key %d", round, id, got)
			}
		}
		now = now.Add(2 * time.Hour)
	}
}

// So do those that need the pepper first.
func TestOnePepper(t *testing.T) {
	t.Parallel()
	db := testkit.Postgres(t)
	const processes = 4
	keys, errs := make(chan string, processes), make(chan error, processes)
	for range processes {
		k := open(t, db)
		go func() {
			key, err := k.CursorKey(context.WithoutCancel(t.Context()))
			keys <- string(key)
			errs <- err
		}()
	}
	first := <-keys
	for range processes - 1 {
		if <-keys != first {
			t.Error("processes have different peppers")
		}
	}
	for range processes {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	db := testkit.Postgres(t)
	k := open(t, db)
	addTenants(t, db, "a", "b")
	keep(t, k, 2)
	if _, err := k.Shred(t.Context(), "test", "a", "test", false); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		tenant string
		epoch  int32
		want   error
	}{{"b", 1, nil}, {"a", 1, keyring.ErrShredded}, {"b", 2, keyring.ErrNoKey}, {"b", 0, keyring.ErrNoKey}, {"b", -1, keyring.ErrNoKey}, {"c", 1, keyring.ErrNoKey}} {
		if _, err := k.Open(t.Context(), db.Pool("loom_admin"), c.tenant, c.epoch); !errors.Is(err, c.want) {
			t.Errorf("%s %d: got %v, want %v", c.tenant, c.epoch, err, c.want)
		}
	}
	if _, err := k.Rotate(t.Context(), "test", "a"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("rotate an inactive tenant's: got %v, want %v", err, store.ErrNotFound)
	}
}

// A step that has too little time does what it can, and says where to go on.
func TestReencryptEndsInTime(t *testing.T) {
	t.Parallel()
	db := testkit.Postgres(t)
	k := open(t, db)
	addTenants(t, db, "a")
	keep(t, k, 1)
	at := time.Now().UTC().Truncate(time.Second)
	if err := store.EnsurePartitions(t.Context(), db.Pool(""), at); err != nil {
		t.Fatal(err)
	}
	old, err := k.Open(t.Context(), db.Pool("loom_admin"), "a", 1)
	if err != nil {
		t.Fatal(err)
	}
	const traces = 3
	for range traces {
		id := uuid.Must(uuid.NewV7())
		key, err := old.Trace(id.String())
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := key.Seal(envelope.FieldRequest, []byte("q"), envelope.Identity)
		if err != nil {
			t.Fatal(err)
		}
		exec(t, db.Pool(""), `INSERT INTO trace_bodies (tenant_id, started_at, trace_id, encryption_suite, encryption_key_version, request_body, request_iv, request_codec, request_length)
			VALUES ('a', $1, $2, 1, 1, $3, $4, 0, 1)`, at, id, sealed.Ciphertext, sealed.IV)
	}
	if _, err := k.Rotate(t.Context(), "test", "a"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 9*time.Second) // it keeps ten for itself
	defer cancel()
	from := ""
	for step := 1; step <= traces; step++ {
		r, err := k.Reencrypt(ctx, "test", "a", 0, from, 10, false)
		if err != nil || r.Looked != 1 || r.Sealed != 1 || (r.Next == "") != (step == traces) {
			t.Fatalf("step %d: got %+v, %v", step, r, err)
		}
		from = r.Next
	}
	r, err := k.Reencrypt(t.Context(), "test", "a", 0, "", 10, false)
	if err != nil || r.Looked != 0 || r.Next != "" {
		t.Errorf("afterwards: got %+v, %v", r, err)
	}
}
