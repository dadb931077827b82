package replay_test

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"loom.internal/cmd/loom/internal/replay"
	"loom.internal/migrations"
	"loom.internal/pkg/bus"
	"loom.internal/pkg/store"
	"loom.internal/pkg/testkit"
)

// owned is a database whose owner is not a superuser: the connection strings of the owner
// and of a superuser.
func (r *rig) owned(t *testing.T) (owner, super string) {
	t.Helper()
	name := "loom_owner_" + strings.ToLower(strings.ReplaceAll(t.Name(), "/", "_"))
	at := func(dsn, database, user, password string) string {
		u, err := url.Parse(dsn)
		if err != nil {
			t.Fatal(err)
		}
		u.Path = "/" + database
		if user != "" {
			u.User = url.UserPassword(user, password)
		}
		return u.String()
	}
	r.exec(t, `DROP ROLE IF EXISTS `+name)
	r.exec(t, `CREATE ROLE `+name+` LOGIN CREATEROLE PASSWORD 'owner'`)
	r.exec(t, `CREATE DATABASE `+name+` OWNER `+name)
	t.Cleanup(func() {
		conn, err := pgx.Connect(context.Background(), at(r.DSN(""), "postgres", "", ""))
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close(context.Background())
		for _, sql := range []string{`DROP DATABASE ` + name + ` WITH (FORCE)`, `DROP ROLE ` + name} {
			if _, err := conn.Exec(context.Background(), sql); err != nil {
				t.Error(sql, err)
			}
		}
	})
	owner = at(r.DSN(""), name, name, "owner")
	if err := store.Migrate(t.Context(), owner, migrations.FS, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	return owner, at(r.DSN(""), name, "", "")
}

// The owner of the database need not be a superuser: forced row security hides nothing
// from a replay, or it would lose what it cannot see.
func TestOwnerWithoutSuperpowers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	owner, admin := r.owned(t)
	r.publish(t, mixed(200, 13)...)
	cfg := replay.Config{DatabaseURL: owner, JS: r.js, Log: testkit.Log(t)}
	if _, err := replay.Run(t.Context(), cfg, all); err != nil {
		t.Fatal(err)
	}
	stream, err := r.js.Stream(t.Context(), bus.StreamTrace)
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	config.MaxMsgs = 50
	if _, err := r.js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	report, err := replay.Run(t.Context(), cfg, all)
	if err != nil {
		t.Fatal(err)
	}
	if c := report.Compared[0]; c.Old != 200 || c.OnlyOld != 150 || c.Different != 0 {
		t.Errorf("compared: %+v, want 150 of 200 carried over", c)
	}
	super, err := pgx.Connect(t.Context(), admin)
	if err != nil {
		t.Fatal(err)
	}
	defer super.Close(t.Context())
	var traces, facts, sums int
	if err := super.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM traces), (SELECT count(*) FROM usage_facts),
		(SELECT sum(requests) FROM rollups WHERE grain = 'day')`).Scan(&traces, &facts, &sums); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{200, 200, 200}, []int{traces, facts, sums}); diff != "" {
		t.Errorf("traces, facts, requests (-want +got):\n%s", diff)
	}
	if _, err := replay.Rollups(t.Context(), cfg, replay.Options{}); err != nil {
		t.Error(err)
	}
}

// What a superuser makes that is not the owner is the owner's all the same: the services
// go on, and days get their partitions.
func TestSuperuserThatIsNotTheOwner(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	_, super := r.owned(t)
	r.publish(t, mixed(50, 15)...)
	cfg := replay.Config{DatabaseURL: super, JS: r.js, Log: testkit.Log(t)}
	conn, err := pgx.Connect(t.Context(), super)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	// foreign counts what is not the owner's; days makes the partitions of days to come.
	foreign := func() (n int) {
		t.Helper()
		err := conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace
			AND relowner <> (SELECT relowner FROM pg_class WHERE oid = 'public.producers'::regclass)`).Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	days := func(after int) {
		t.Helper()
		_, err := conn.Exec(t.Context(), `SET ROLE loom_recorder; SELECT loom_ensure_partitions(current_date + `+strconv.Itoa(after)+`, 3); RESET ROLE`)
		if err != nil {
			t.Error("days to come get no partition:", err)
		}
	}
	if _, err := replay.Run(t.Context(), cfg, all); err != nil {
		t.Fatal(err)
	}
	days(100)
	if _, err := conn.Exec(t.Context(), `DROP TABLE rollups`); err != nil {
		t.Fatal(err)
	}
	if report, err := replay.Rollups(t.Context(), cfg, replay.Options{}); err != nil || !report.Rebuilt || report.Repaired == 0 {
		t.Errorf("rollups: %+v, %v", report, err)
	}
	days(200)
	if n := foreign(); n != 0 {
		t.Errorf("%d tables are not the owner's", n)
	}
	// Where an earlier replay has left tables of another's, nothing is made.
	if _, err := conn.Exec(t.Context(), `ALTER TABLE rollups OWNER TO loom_admin`); err != nil {
		t.Fatal(err)
	}
	if _, err := replay.Run(t.Context(), cfg, all); err == nil || !strings.Contains(err.Error(), "rollups belongs to loom_admin") {
		t.Errorf("tables of two owners: got %v", err)
	}
	if _, err := conn.Exec(t.Context(), `ALTER TABLE rollups OWNER TO CURRENT_USER`); err != nil {
		t.Fatal(err)
	}
}

// Nobody else may replay.
func TestOtherRolesMayNot(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.publish(t, mixed(5, 14)...)
	var owner string
	if err := r.Pool("").QueryRow(t.Context(), `SELECT current_user`).Scan(&owner); err != nil {
		t.Fatal(err)
	}
	for _, role := range []string{"loom_recorder", "loom_analytics", "loom_dashboard", "loom_admin"} {
		cfg := r.config(t)
		cfg.DatabaseURL = r.DSN(role)
		if _, err := replay.Run(t.Context(), cfg, all); err == nil || !strings.Contains(err.Error(), "which is "+owner) {
			t.Errorf("replay as %s: got %v, want the owner's name", role, err)
		}
		if _, err := replay.Rollups(t.Context(), cfg, replay.Options{}); err == nil || !strings.Contains(err.Error(), "which is "+owner) {
			t.Errorf("rollups as %s: got %v, want the owner's name", role, err)
		}
	}
	r.noShadow(t)
	cfg := r.config(t)
	cfg.DatabaseURL = "postgres://nobody:hunter2@127.0.0.1:1/loom"
	if _, err := replay.Run(t.Context(), cfg, all); !errors.Is(err, store.ErrUnavailable) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("no database: got %v, want %v without the password", err, store.ErrUnavailable)
	}
}
