package schema_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"loom.internal/pkg/store"
	"loom.internal/pkg/testkit"
)

var roles = []string{"loom_recorder", "loom_analytics", "loom_dashboard", "loom_admin"}

func collect(t *testing.T, db store.Beginner, tenant, sql string, args ...any) []string {
	t.Helper()
	var all []string
	read := func(tx pgx.Tx) error {
		rows, err := tx.Query(t.Context(), sql, args...)
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	}
	var err error
	if tenant == "" {
		err = store.InTx(t.Context(), db, read)
	} else {
		err = store.InTenant(t.Context(), db, tenant, read)
	}
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Whatever has a tenant_id, partitions too, keeps tenants apart even from its owner.
func TestTenantTablesForceRowSecurity(t *testing.T) {
	t.Parallel()
	db := testkit.Postgres(t).Pool("")
	if err := store.EnsurePartitions(t.Context(), db, time.Now()); err != nil {
		t.Fatal(err)
	}
	const tables = `FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
		WHERE a.attname = 'tenant_id' AND c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace`
	if n := len(collect(t, db, "", `SELECT relname `+tables)); n < 6+3*9 {
		t.Errorf("tables with a tenant_id: found %d, want the six and the partitions of nine days", n)
	}
	if n := len(collect(t, db, "", `SELECT relname `+tables+` AND relname IN ('tenant_keys', 'trace_bodies', 'access_log')`)); n != 3 {
		t.Errorf("found %d of three tables that are sure to have one", n)
	}
	if open := collect(t, db, "", `SELECT relname `+tables+` AND NOT (relrowsecurity AND relforcerowsecurity)`); len(open) > 0 {
		t.Errorf("tables with a tenant_id and no forced row security: %v", open)
	}
}

func TestRolesAreWeak(t *testing.T) {
	t.Parallel()
	db := testkit.Postgres(t).Pool("")
	strong := collect(t, db, "", `SELECT rolname FROM pg_roles WHERE rolname = ANY($1)
		AND (rolsuper OR rolbypassrls OR rolcreatedb OR rolcreaterole OR rolreplication)`, roles)
	owners := collect(t, db, "", `SELECT relname FROM pg_class WHERE relowner IN (SELECT oid FROM pg_roles WHERE rolname = ANY($1))`, roles)
	members := collect(t, db, "", `SELECT r.rolname FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member WHERE r.rolname = ANY($1)`, roles)
	if len(strong)+len(owners)+len(members) > 0 {
		t.Errorf("roles with powers %v, tables they own %v, roles within others %v: want none", strong, owners, members)
	}
}

// Every right of every role on every table; a new one belongs here. The letters are
// r(ead), i(nsert), u(pdate) and d(elete).
func TestRights(t *testing.T) {
	t.Parallel()
	want := strings.TrimSpace(`
loom_admin access_log ri
loom_admin admin_keys riud
loom_admin api_keys riud
loom_admin dead_events rd
loom_admin goose_db_version r
loom_admin prices riud
loom_admin producer_gaps r
loom_admin producer_gaps_acknowledged ri
loom_admin producers r
loom_admin producers_accounted r
loom_admin providers riud
loom_admin retention r
loom_admin rollups r
loom_admin routes riud
loom_admin sessions riud
loom_admin system_keys riu
loom_admin tag_rollups r
loom_admin tenant_keys riu
loom_admin tenants riud
loom_admin trace_bodies r
loom_admin usage_facts r
loom_analytics dead_events i
loom_analytics goose_db_version r
loom_analytics prices r
loom_analytics producers_accounted riu
loom_analytics rollups riu
loom_analytics tag_rollups riu
loom_analytics usage_facts ri
loom_dashboard access_log ri
loom_dashboard api_keys r
loom_dashboard goose_db_version r
loom_dashboard prices r
loom_dashboard rollups r
loom_dashboard tag_rollups r
loom_dashboard tenant_keys r
loom_dashboard tenants r
loom_dashboard trace_bodies r
loom_dashboard traces r
loom_dashboard usage_facts r
loom_recorder dead_events i
loom_recorder goose_db_version r
loom_recorder producers riu
loom_recorder trace_bodies i
loom_recorder traces i`)
	db := testkit.Postgres(t).Pool("")
	if err := store.EnsurePartitions(t.Context(), db, time.Now()); err != nil {
		t.Fatal(err)
	}
	got := collect(t, db, "", `
		SELECT role || ' ' || relname || ' ' || rights
		FROM unnest($1::text[]) AS role CROSS JOIN pg_class CROSS JOIN LATERAL (SELECT string_agg(left(replace(p, 'SELECT', 'read'), 1), '' ORDER BY n) AS rights
			FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) WITH ORDINALITY AS all_rights (p, n)
			WHERE has_table_privilege(role, pg_class.oid, p)) AS has
		WHERE relkind IN ('r', 'p', 'v', 'm') AND relnamespace = 'public'::regnamespace AND rights IS NOT NULL
		ORDER BY role, relname`, roles)
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(strings.ToLower(strings.Join(got, "\n")), "\n")); diff != "" {
		t.Errorf("rights (-want +got):\n%s", diff)
	}
}

// Rights on single columns, where a role has none on the table: administration may know
// which traces there are, to compare them with the ledger, and nothing else of them; and it
// may seal their bodies anew.
func TestColumnRights(t *testing.T) {
	t.Parallel()
	db := testkit.Postgres(t).Pool("")
	if err := store.EnsurePartitions(t.Context(), db, time.Now()); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"loom_admin trace_bodies.encryption_key_version UPDATE", "loom_admin trace_bodies.encryption_suite UPDATE",
		"loom_admin trace_bodies.request_body UPDATE", "loom_admin trace_bodies.request_codec UPDATE",
		"loom_admin trace_bodies.request_iv UPDATE", "loom_admin trace_bodies.request_sha256 UPDATE",
		"loom_admin trace_bodies.response_body UPDATE", "loom_admin trace_bodies.response_codec UPDATE",
		"loom_admin trace_bodies.response_iv UPDATE", "loom_admin trace_bodies.response_sha256 UPDATE",
		"loom_admin traces.recorded_at SELECT", "loom_admin traces.started_at SELECT",
		"loom_admin traces.tenant_id SELECT", "loom_admin traces.trace_id SELECT",
	}
	got := collect(t, db, "", `
		SELECT format('%s %s.%s %s', role, relname, attname, p)
		FROM unnest($1::text[]) AS role CROSS JOIN pg_class JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
		CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'REFERENCES']) AS p
		WHERE relkind IN ('r', 'p', 'v', 'm') AND relnamespace = 'public'::regnamespace
		  AND has_column_privilege(role, pg_class.oid, attnum, p) AND NOT has_table_privilege(role, pg_class.oid, p)
		ORDER BY 1`, roles)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rights on columns (-want +got):\n%s", diff)
	}
}

// The rights above, tried: a refusal is a refusal of the server.
func TestRefusals(t *testing.T) {
	t.Parallel()
	db := testkit.Postgres(t)
	if err := store.EnsurePartitions(t.Context(), db.Pool("loom_recorder"), time.Now()); err != nil {
		t.Fatal(err)
	}
	today := time.Now().UTC().Format("20060102")
	for role, statements := range map[string][]string{
		"loom_recorder": {
			`SELECT trace_id FROM traces`, `SELECT 1 FROM trace_bodies`, `SELECT 1 FROM traces_` + today, `UPDATE traces SET outcome = 'failed'`,
			`DELETE FROM traces`, `SELECT 1 FROM dead_events`, `SELECT 1 FROM usage_facts`, `SELECT 1 FROM providers`, `CREATE TABLE mine ()`, `DROP TABLE traces`,
			`SELECT 1 FROM retention`, `SELECT 1 FROM tenant_keys`, `SELECT 1 FROM system_keys`,
		},
		"loom_analytics": {
			`SELECT 1 FROM trace_bodies`, `SELECT 1 FROM traces`, `SELECT 1 FROM tenant_keys`, `SELECT 1 FROM system_keys`, `DELETE FROM usage_facts`, `UPDATE usage_facts SET cost = 0`, `DELETE FROM rollups`, `DELETE FROM tag_rollups`,
			`UPDATE prices SET input = 0`, `SELECT 1 FROM api_keys`, `SELECT 1 FROM dead_events`, `SELECT 1 FROM usage_facts_` + today,
			`SELECT loom_drop_partitions('2020-01-01')`,
		},
		"loom_dashboard": {
			`INSERT INTO rollups SELECT * FROM rollups`, `INSERT INTO tag_rollups SELECT * FROM tag_rollups`, `DELETE FROM access_log`, `UPDATE access_log SET actor = 'nobody'`, `SELECT 1 FROM providers`,
			`SELECT 1 FROM admin_keys`, `SELECT 1 FROM system_keys`, `UPDATE trace_bodies SET request_body = NULL`, `UPDATE tenant_keys SET state = 'retired'`, `SELECT 1 FROM trace_bodies_` + today, `SELECT loom_ensure_partitions(current_date, 1)`,
			`SELECT loom_drop_partitions('2020-01-01')`, `SELECT 1 FROM retention`,
			`ALTER TABLE traces DISABLE ROW LEVEL SECURITY`, `SET ROLE loom_admin`,
		},
		"loom_admin": {
			`SELECT model_requested FROM traces`, `SELECT * FROM traces`, `DELETE FROM trace_bodies`, `UPDATE trace_bodies SET tenant_id = 'other'`,
			`DELETE FROM tenant_keys`, `DELETE FROM system_keys`, `SELECT trace_id FROM traces_` + today,
			`DELETE FROM usage_facts`, `UPDATE rollups SET cost = 0`, `UPDATE tag_rollups SET cost = 0`, `UPDATE dead_events SET reason = ''`, `DELETE FROM access_log`,
			`UPDATE retention SET kept_from = now()`, `SELECT loom_drop_partitions('2020-01-01')`,
		},
	} {
		for _, sql := range statements {
			_, err := db.Pool(role).Exec(t.Context(), sql)
			var pg *pgconn.PgError
			if !errors.As(err, &pg) || pg.Code != "42501" {
				t.Errorf("%s: %s: got %v, want insufficient privilege", role, sql, err)
			}
		}
	}
}

func TestDashboardSeesOneTenant(t *testing.T) {
	t.Parallel()
	db := testkit.Postgres(t)
	owner, dashboard := db.Pool(""), db.Pool("loom_dashboard")
	if err := store.EnsurePartitions(t.Context(), owner, time.Now()); err != nil {
		t.Fatal(err)
	}
	for i, tenant := range []string{"acme", "bolt"} {
		for _, sql := range []string{
			`INSERT INTO tenants (id, name, revision) VALUES ($1, $1, $2)`,
			`INSERT INTO api_keys (id, tenant_id, name, hash, last4, scopes, created_by, revision) VALUES (lpad($1, 8, '0'), $1, 'ci', sha256($1::bytea), 'last', '{}', 'test', $2)`,
			`INSERT INTO access_log (tenant_id, actor, action, detail) VALUES ($1, 'test', 'test', jsonb_build_object('n', $2::int))`,
			`INSERT INTO traces VALUES ($1, now(), gen_random_uuid(), '', '', '', '', '', '', '', '', false, 'completed', $2, '', 0, NULL, NULL, NULL, 0, 0, 0, '{}', '{}', NULL, 'none', '', '', '{}', '', '', 'none', '[]', '', 0, 0)`,
			`INSERT INTO trace_bodies (tenant_id, started_at, trace_id, encryption_suite, encryption_key_version) VALUES ($1, now(), gen_random_uuid(), 1, $2)`,
			`INSERT INTO tenant_keys (tenant_id, epoch, master_version, iv, wrapped) VALUES ($1, $2, 1, repeat('i', 12)::bytea, 'w')`,
			`INSERT INTO usage_facts VALUES ($1, now(), gen_random_uuid(), '', '', '', '', '', '', 'completed', $2, false, 0, NULL, 'none', 0, 0, 0, 0, 0, 0, NULL, 'no_usage', '', '')`,
			`INSERT INTO rollups VALUES ($1, 'day', date_trunc('day', now(), 'UTC'), '', '', '', '', 'completed', $2, 0, 0, 0, 0, 0, 0, 0, 0, 0, '{}', '{}')`,
			`INSERT INTO tag_rollups VALUES ($1, 'day', 'team', date_trunc('day', now(), 'UTC'), '', '', '', '', '', 'completed', $2, 0, 0, 0, 0, 0, 0, 0, 0, 0, '{}', '{}')`,
		} {
			if _, err := owner.Exec(t.Context(), sql, tenant, 200+i); err != nil {
				t.Fatal(sql, err)
			}
		}
	}
	for table, column := range map[string]string{
		"tenants": "id", "api_keys": "tenant_id", "access_log": "tenant_id", "traces": "tenant_id",
		"trace_bodies": "tenant_id", "usage_facts": "tenant_id", "rollups": "tenant_id", "tag_rollups": "tenant_id", "tenant_keys": "tenant_id",
	} {
		sql := fmt.Sprintf(`SELECT %s FROM %s`, column, table)
		if n := len(collect(t, owner, "", sql)); n != 2 {
			t.Fatalf("%s: %d rows to hide, want 2", table, n)
		}
		for _, tenant := range []string{"acme", "bolt"} {
			if diff := cmp.Diff([]string{tenant}, collect(t, dashboard, tenant, sql)); diff != "" {
				t.Errorf("%s as %s (-want +got):\n%s", table, tenant, diff)
			}
		}
		// On the connections the tenants used: the setting ended with the transaction.
		for range 4 {
			if got := collect(t, dashboard, "", sql); len(got) != 0 {
				t.Errorf("%s without a tenant: got %v, want nothing", table, got)
			}
		}
	}
	// Administration, which sees all of most tables, comes to bodies in the same way only.
	admin := db.Pool("loom_admin")
	if diff := cmp.Diff([]string{"bolt"}, collect(t, admin, "bolt", `UPDATE trace_bodies SET request_codec = 0 RETURNING tenant_id`)); diff != "" {
		t.Errorf("bodies changed by administration as bolt (-want +got):\n%s", diff)
	}
	if got := collect(t, admin, "", `UPDATE trace_bodies SET request_codec = 0 RETURNING tenant_id`); len(got) != 0 {
		t.Errorf("bodies changed by administration without a tenant: %v", got)
	}
	err := store.InTenant(t.Context(), dashboard, "acme", func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), `INSERT INTO access_log (tenant_id, actor, action) VALUES ('bolt', 'acme', 'forged')`)
		return err
	})
	if err == nil {
		t.Error("a tenant wrote into another's access log")
	}
}
