package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	looms "loom.internal/cmd/loom/internal/up"
)

// database opens a connection of the owner to the database of a running instance.
func (in *instance) database(t *testing.T) *pgx.Conn {
	t.Helper()
	doors, err := looms.ReadDoors(in.dir)
	if err != nil {
		t.Fatal(err)
	}
	db, err := pgx.Connect(t.Context(), doors.Database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close(context.Background()) })
	return db
}

// requests asks again and again until stop, which says how many were answered and what
// went wrong.
func (in *instance) requests(key string) (stop func() (answered int, faults []string)) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	answered, faults := 0, []string(nil)
	go func() {
		defer close(done)
		pace := time.NewTicker(10 * time.Millisecond)
		defer pace.Stop()
		for ctx.Err() == nil {
			<-pace.C
			status, err := in.complete(key, "loom-demo", "hello")
			if err != nil || status != http.StatusOK {
				faults = append(faults, fmt.Sprintf("status %d, %v", status, err))
				continue
			}
			answered++
		}
	}()
	return func() (int, []string) {
		cancel()
		<-done
		return answered, faults
	}
}

// Clients do not notice that all projections are gone and are made again.
func TestReplayUnderRequests(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	in := up(t, dir, nil, "--log-level", "error")
	db := in.database(t)
	seeded, _ := in.tenant(t, "seeded")
	live, _ := in.tenant(t, "live")
	count := func(sql string) (n int) {
		t.Helper()
		if err := db.QueryRow(t.Context(), sql).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	sums := func() string {
		t.Helper()
		var all []string
		for _, table := range []string{"traces", "trace_bodies", "usage_facts", "rollups", "tag_rollups"} {
			var sum string
			err := db.QueryRow(t.Context(), `
				SELECT count(*) || ' rows ' || coalesce(sum(hashtextextended((to_jsonb(t) - 'recorded_at' - 'accounted_at')::text, 0)), 0)
				FROM `+table+` AS t WHERE tenant_id = 'seeded'`).Scan(&sum)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, table+": "+sum)
		}
		return strings.Join(all, "\n")
	}
	for range 20 {
		if got := in.ask(t, seeded, "loom-demo", "hello"); got != http.StatusOK {
			t.Fatalf("status %d", got)
		}
	}
	eventually(t, 30*time.Second, func() error {
		if traces, facts := count(`SELECT count(*) FROM traces`), count(`SELECT count(*) FROM usage_facts`); traces != 20 || facts != 20 {
			return fmt.Errorf("%d traces, %d facts", traces, facts)
		}
		return nil
	})
	before := sums()

	stop := in.requests(live)
	defer stop()
	eventually(t, 30*time.Second, func() error {
		if n := count(`SELECT count(*) FROM traces WHERE tenant_id = 'live'`); n < 10 {
			return fmt.Errorf("%d traces of the traffic", n)
		}
		return nil
	})
	if _, err := db.Exec(t.Context(), `DROP TABLE traces, trace_bodies, usage_facts, rollups, tag_rollups`); err != nil {
		t.Fatal(err)
	}
	var report struct{ Rebuilt, Swapped bool }
	if err := json.Unmarshal([]byte(in.cli(t, "replay", "--projection", "all", "--json")), &report); err != nil || !report.Rebuilt || !report.Swapped {
		t.Errorf("replay: got %+v, %v", report, err)
	}
	swapped := count(`SELECT count(*) FROM traces WHERE tenant_id = 'live'`)
	eventually(t, 30*time.Second, func() error {
		if n := count(`SELECT count(*) FROM traces WHERE tenant_id = 'live'`); n < swapped+10 {
			return fmt.Errorf("%d traces of the traffic, %d at the swap", n, swapped)
		}
		return nil
	})
	answered, faults := stop()
	if len(faults) > 0 {
		t.Errorf("%d of %d requests failed, the first: %s", len(faults), answered+len(faults), faults[0])
	}
	eventually(t, 30*time.Second, func() error {
		var report struct {
			State     string
			Producers []struct{ Sent, Recorded int }
			Days      []struct{ Traces, Facts int }
		}
		if err := json.Unmarshal([]byte(in.cli(t, "verify", "--json", "--days", "2")), &report); err != nil {
			return err
		}
		traces, facts := report.Days[0].Traces+report.Days[1].Traces, report.Days[0].Facts+report.Days[1].Facts
		if want := 20 + answered; report.State != "complete" || traces != want || facts != want || report.Producers[0].Sent != want {
			return fmt.Errorf("got %+v, want %d traces and facts", report, want)
		}
		return nil
	})
	if after := sums(); after != before {
		t.Errorf("checksums: before\n%s\nafter\n%s", before, after)
	}
	t.Logf("%d requests answered, of them %d before the swap", answered, swapped)
}
