package schema_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"loom.internal/pkg/store"
	"loom.internal/pkg/testkit"
)

const oneDay = 24 * time.Hour

// partitions are the days of a table that have one, as YYYYMMDD.
func partitions(t *testing.T, db *pgxpool.Pool, table string) []string {
	t.Helper()
	return collect(t, db, "", `SELECT right(inhrelid::regclass::text, 8) FROM pg_inherits WHERE inhparent = $1::text::regclass ORDER BY 1`, table)
}

func ensure(t *testing.T, db *pgxpool.Pool, from time.Time, days int) {
	t.Helper()
	if _, err := db.Exec(t.Context(), `SELECT loom_ensure_partitions($1::date, $2)`, from, days); err != nil {
		t.Fatal(err)
	}
}

// Traces and bodies go, the ledger stays, and what has gone is not made again.
func TestDropPartitions(t *testing.T) {
	t.Parallel()
	db := testkit.Postgres(t)
	owner, recorder := db.Pool(""), db.Pool("loom_recorder")
	today := time.Now().UTC().Truncate(oneDay)
	ensure(t, recorder, today.Add(-10*oneDay), 11)
	all := partitions(t, owner, "traces")
	if n, err := store.DropPartitions(t.Context(), recorder, today.Add(-4*oneDay)); err != nil || n != 12 {
		t.Errorf("dropped %d partitions, %v, want 12", n, err)
	}
	again := func(what string) {
		t.Helper()
		for table, want := range map[string][]string{"traces": all[6:], "trace_bodies": all[6:], "usage_facts": all} {
			if got := partitions(t, owner, table); !slices.Equal(got, want) {
				t.Errorf("%s: %s: got %v, want %v", what, table, got, want)
			}
		}
	}
	again("dropped")
	// A shorter look back changes nothing, and nobody makes the days again.
	if n, err := store.DropPartitions(t.Context(), recorder, today.Add(-8*oneDay)); err != nil || n != 0 {
		t.Errorf("dropped %d partitions, %v, want none", n, err)
	}
	ensure(t, db.Pool("loom_analytics"), today.Add(-10*oneDay), 11)
	again("asked for again")
}

func TestDropPartitionsHasBounds(t *testing.T) {
	t.Parallel()
	db := testkit.Postgres(t).Pool("loom_recorder")
	today := time.Now().UTC().Truncate(oneDay)
	ensure(t, db, today.Add(-3*oneDay), 4)
	for _, before := range []time.Time{today, today.Add(400 * oneDay)} {
		if n, err := store.DropPartitions(t.Context(), db, before); err == nil || n != 0 {
			t.Errorf("before %s: %d partitions dropped, %v, want a refusal", before, n, err)
		}
	}
	if _, err := db.Exec(t.Context(), `SELECT loom_drop_partitions(NULL)`); err == nil {
		t.Error("nothing was asked for, and not refused")
	}
}

// Replicas drop at once, beside those who make partitions: all of it once.
func TestDropPartitionsByManyAtOnce(t *testing.T) {
	t.Parallel()
	db := testkit.Postgres(t)
	today := time.Now().UTC().Truncate(oneDay)
	ensure(t, db.Pool("loom_recorder"), today.Add(-20*oneDay), 21)
	total := make([]int, 3)
	var g errgroup.Group
	for i := range total {
		g.Go(func() (err error) {
			total[i], err = store.DropPartitions(t.Context(), db.Pool("loom_recorder"), today.Add(-oneDay))
			return err
		})
		g.Go(func() error {
			return store.EnsurePartitions(t.Context(), db.Pool("loom_analytics"), today)
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if n := total[0] + total[1] + total[2]; n != 38 {
		t.Errorf("%d partitions dropped, want 38", n)
	}
}

// A reader in the way is not waited for long, and is not cut off.
func TestDropPartitionsGivesWay(t *testing.T) {
	t.Parallel()
	db := testkit.Postgres(t)
	today := time.Now().UTC().Truncate(oneDay)
	recorder := db.Pool("loom_recorder")
	ensure(t, recorder, today.Add(-5*oneDay), 6)
	tx, err := db.Pool("").Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), fmt.Sprintf(`SELECT 1 FROM traces_%s`, today.Add(-5*oneDay).Format("20060102"))); err != nil {
		t.Fatal(err)
	}
	if n, err := store.DropPartitions(t.Context(), recorder, today.Add(-oneDay)); err == nil || n != 0 {
		t.Errorf("dropped %d, %v beside a reader, want an error", n, err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := store.DropPartitions(t.Context(), recorder, today.Add(-oneDay)); err != nil || n != 8 {
		t.Errorf("dropped %d, %v when it has gone, want 8", n, err)
	}
}
