package schema_test

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"loom.internal/pkg/event"
	"loom.internal/pkg/store"
	"loom.internal/pkg/testkit"
)

func TestPartitionsMadeByManyAtOnce(t *testing.T) {
	t.Parallel()
	db := testkit.Postgres(t)
	now := time.Date(2026, 2, 27, 23, 59, 0, 0, time.UTC)
	var g errgroup.Group
	for i := range 8 {
		role := []string{"loom_recorder", "loom_analytics"}[i%2]
		g.Go(func() error { return store.EnsurePartitions(t.Context(), db.Pool(role), now) })
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"traces", "trace_bodies", "usage_facts"} {
		got := collect(t, db.Pool(""), "", `SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = $1::text::regclass ORDER BY 1`, table)
		if len(got) != 9 || got[0] != table+"_20260226" || got[8] != table+"_20260306" {
			t.Errorf("partitions of %s: got %v, want those of 26 February to 6 March", table, got)
		}
	}
}

func TestPartitionsHaveBounds(t *testing.T) {
	t.Parallel()
	db := testkit.Postgres(t).Pool("loom_recorder")
	for _, days := range []int{-1, 0, 401} {
		if _, err := db.Exec(t.Context(), `SELECT loom_ensure_partitions(current_date, $1)`, days); err == nil {
			t.Errorf("%d days of partitions were made", days)
		}
	}
}

func TestCheckDay(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	for offset, want := range map[time.Duration]string{
		0:                                      "",
		-store.MaxEventAge:                     "",
		-store.MaxEventAge - time.Microsecond:  "more than 400 days ago",
		store.MaxEventAhead:                    "",
		store.MaxEventAhead + time.Microsecond: "more than 2 days ahead",
	} {
		err := store.CheckDay(testkit.Event("acme", now.Add(offset)), now)
		if (err == nil) != (want == "") || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("event at %v: got %v, want %q", offset, err, want)
		}
	}
}

func TestRowsRoundTrip(t *testing.T) {
	t.Parallel()
	type row struct {
		name string
		n    *int64
		json string
		list string
	}
	rows := store.NewRows(
		store.Col("name", "text", func(r row) string { return r.name }),
		store.Col("n", "bigint", func(r row) *int64 { return r.n }),
		store.TextCol("doc", "jsonb", func(r row) string { return r.json }),
		store.TextCol("list", "text[]", func(r row) string { return r.list }),
	)
	err := store.InTx(t.Context(), testkit.Postgres(t).Pool(""), func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), `CREATE TEMP TABLE things (at serial, name text, n bigint, doc jsonb, list text[])`); err != nil {
			return err
		}
		in := []row{{"b", new(int64(7)), `{"a":[1]}`, `{x,"y z"}`}, {"a", nil, `null`, `{}`}}
		if _, err := tx.Exec(t.Context(), rows.Insert("things"), rows.Args(in)...); err != nil {
			return err
		}
		var got string
		err := tx.QueryRow(t.Context(), `SELECT string_agg(format('%s %s %s %s', name, n, doc, list[2]), ';' ORDER BY at) FROM things`).Scan(&got)
		if want := `b 7 {"a": [1]} y z;a  null `; got != want {
			t.Errorf("rows: got %q, want %q", got, want)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestDeadEventsAreKeptOnce(t *testing.T) {
	t.Parallel()
	db := testkit.Postgres(t)
	dead := []event.Dead{{StreamSeq: 1, MsgID: "a", Data: []byte{0xff, 0}, Reason: "r"}, {StreamSeq: 2, Data: []byte{}}}
	for _, role := range []string{"loom_recorder", "loom_recorder", "loom_analytics"} {
		var batch pgx.Batch
		store.QueueDead(&batch, role, dead)
		if err := db.Pool(role).SendBatch(t.Context(), &batch).Close(); err != nil {
			t.Fatal(err)
		}
	}
	got := collect(t, db.Pool(""), "", `SELECT consumer || stream_seq || encode(data, 'hex') FROM dead_events ORDER BY 1`)
	if want := "loom_analytics1ff00 loom_analytics2 loom_recorder1ff00 loom_recorder2"; strings.Join(got, " ") != want {
		t.Errorf("dead events: got %v, want %s", got, want)
	}
}
