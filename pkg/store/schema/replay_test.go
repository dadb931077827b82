package schema_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"loom.internal/pkg/store"
	"loom.internal/pkg/testkit"
)

var projections = []string{"traces", "trace_bodies", "usage_facts", "rollups", "tag_rollups"}

// describe is all that the catalogue says of the projections in a schema, partitions
// too, a line each.
func describe(t *testing.T, db *pgxpool.Pool, schema string) []string {
	t.Helper()
	lines := collect(t, db, "", `
		WITH tables AS (
			SELECT c.* FROM pg_class c
			WHERE relnamespace = $1::text::regnamespace AND relkind IN ('r', 'p') AND relname ~ '^(traces|trace_bodies|usage_facts|rollups|tag_rollups)(_[0-9]{8})?$'
		)
		SELECT concat_ws(' | ', 'table', relname, relkind, relrowsecurity, relforcerowsecurity, relpersistence, reloptions, relreplident,
			pg_get_partkeydef(oid), pg_get_expr(relpartbound, oid), relowner::regrole, array_to_string(array(SELECT unnest(relacl)::text ORDER BY 1), ',')) FROM tables
		UNION ALL
		SELECT concat_ws(' | ', 'column', relname, attnum, attname, format_type(atttypid, atttypmod), attnotnull, attstorage, attcompression, attstattarget,
			attidentity, attgenerated, attcollation::regcollation, pg_get_expr(adbin, adrelid), array_to_string(array(SELECT unnest(attacl)::text ORDER BY 1), ','))
		FROM tables JOIN pg_attribute ON attrelid = tables.oid AND attnum > 0 LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
		UNION ALL
		SELECT concat_ws(' | ', 'constraint', relname, conname, contype, convalidated, pg_get_constraintdef(pg_constraint.oid)) FROM tables JOIN pg_constraint ON conrelid = tables.oid
		UNION ALL
		SELECT concat_ws(' | ', 'index', relname, pg_get_indexdef(indexrelid), indisvalid, indisreplident, indisclustered) FROM tables JOIN pg_index ON indrelid = tables.oid
		UNION ALL
		SELECT concat_ws(' | ', 'policy', relname, polname, polcmd, polpermissive, array(SELECT nullif(r, 0)::regrole::text FROM unnest(polroles) AS r ORDER BY 1),
			pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)) FROM tables JOIN pg_policy ON polrelid = tables.oid
		UNION ALL
		SELECT concat_ws(' | ', 'trigger', relname, tgname, pg_get_triggerdef(pg_trigger.oid)) FROM tables JOIN pg_trigger ON tgrelid = tables.oid
		UNION ALL
		SELECT concat_ws(' | ', 'statistics', relname, stxname) FROM tables JOIN pg_statistic_ext ON stxrelid = tables.oid`, schema)
	for i := range lines {
		lines[i] = strings.ReplaceAll(lines[i], schema+".", "")
	}
	slices.Sort(lines)
	return lines
}

// What loom replay makes is what the migrations have made: a migration that changes a
// projection has to change loom_make_projections too.
func TestMakeProjectionsKnowsEveryMigration(t *testing.T) {
	t.Parallel()
	db := testkit.Postgres(t).Pool("")
	today := time.Now().UTC().Truncate(oneDay)
	ensure(t, db, today.Add(-3*oneDay), 5)
	want := describe(t, db, "public")
	if n := len(want); n < 200 {
		t.Fatalf("%d lines describe the projections: too few", n)
	}
	for _, sql := range []string{
		`CREATE SCHEMA shadow`,
		`SELECT loom_make_projections('shadow', '{traces,trace_bodies,usage_facts,rollups,tag_rollups}')`,
		`SELECT shadow.loom_ensure_partitions((now() AT TIME ZONE 'UTC')::date - 3, 5)`,
	} {
		if _, err := db.Exec(t.Context(), sql); err != nil {
			t.Fatal(sql, err)
		}
	}
	if diff := cmp.Diff(want, describe(t, db, "shadow")); diff != "" {
		t.Errorf("public (-) and what loom_make_projections makes (+):\n%s", diff)
	}
	if _, err := db.Exec(t.Context(), `SELECT loom_swap_projections('shadow', $1)`, projections); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, describe(t, db, "public")); diff != "" {
		t.Errorf("before (-) and after the swap (+):\n%s", diff)
	}
	if n := len(collect(t, db, "", `SELECT nspname FROM pg_namespace WHERE nspname = 'shadow'`)); n != 0 {
		t.Error("the schema of the swapped tables is still there")
	}
}

// A day that only the old tables have comes along, a day that retention has dropped does
// not, and the functions that make and drop days find the new tables.
func TestSwapKeepsTheDays(t *testing.T) {
	t.Parallel()
	db := testkit.Postgres(t)
	owner, recorder := db.Pool(""), db.Pool("loom_recorder")
	today := time.Now().UTC().Truncate(oneDay)
	ensure(t, recorder, today.Add(-6*oneDay), 8)
	days := partitions(t, owner, "traces")
	for _, sql := range []string{
		`CREATE SCHEMA shadow`,
		`SELECT loom_make_projections('shadow', '{traces,trace_bodies,usage_facts,rollups,tag_rollups}')`,
		`SELECT shadow.loom_ensure_partitions((now() AT TIME ZONE 'UTC')::date - 6, 6)`,
	} {
		if _, err := owner.Exec(t.Context(), sql); err != nil {
			t.Fatal(sql, err)
		}
	}
	if n, err := store.DropPartitions(t.Context(), recorder, today.Add(-4*oneDay)); err != nil || n != 4 {
		t.Fatalf("dropped %d, %v", n, err)
	}
	if _, err := owner.Exec(t.Context(), `SELECT loom_swap_projections('shadow', $1)`, projections); err != nil {
		t.Fatal(err)
	}
	for table, want := range map[string][]string{"traces": days[2:], "trace_bodies": days[2:], "usage_facts": days} {
		if got := partitions(t, owner, table); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", table, got, want)
		}
	}
	if n, err := store.DropPartitions(t.Context(), recorder, today.Add(-3*oneDay)); err != nil || n != 2 {
		t.Errorf("after the swap: dropped %d, %v, want 2", n, err)
	}
	ensure(t, recorder, today.Add(2*oneDay), 1)
	if got := partitions(t, owner, "traces"); len(got) != len(days)-2 {
		t.Errorf("after the swap: got %v", got)
	}
}

// Nobody but the owner may touch any of it.
func TestReplayFunctionsAreTheOwners(t *testing.T) {
	t.Parallel()
	db := testkit.Postgres(t)
	for _, role := range roles {
		for _, sql := range []string{
			`SELECT loom_make_projections('public', '{rollups}')`, `SELECT loom_swap_projections('public', '{rollups}')`,
			`SELECT loom_make_partitions('public', '2026-01-01', 1)`, `CREATE SCHEMA loom_replay`,
		} {
			if _, err := db.Pool(role).Exec(t.Context(), sql); err == nil || !strings.Contains(err.Error(), "42501") {
				t.Errorf("%s: %s: got %v, want insufficient privilege", role, sql, err)
			}
		}
		// The setting is for the owner's policy and nobody else's.
		got := collect(t, db.Pool(role), "", `SELECT set_config('loom.replay', 'on', false)`)
		if len(got) != 1 {
			t.Fatal("setting not made")
		}
	}
	if n := len(collect(t, db.Pool("loom_dashboard"), "", `SELECT trace_id::text FROM traces`)); n != 0 {
		t.Errorf("the dashboard saw %d traces", n)
	}
}
