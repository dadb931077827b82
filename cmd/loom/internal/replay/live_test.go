package replay_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"loom.internal/cmd/loom/internal/replay"
	"loom.internal/pkg/bus"
	"loom.internal/pkg/event"
	"loom.internal/pkg/testkit"
)

// traffic publishes events of the tenant live, one after the other, until stop is called,
// which says how many.
func (r *rig) traffic(t *testing.T) (stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var n atomic.Int64
	done := make(chan error, 1)
	go func() {
		pause := time.NewTicker(3 * time.Millisecond)
		defer pause.Stop()
		for {
			select {
			case <-ctx.Done():
				done <- nil
				return
			case <-pause.C:
			}
			e := testkit.Event("live", time.Now(), func(e *event.TraceEvent) { e.Tags = map[string]string{"team": "live"} })
			data, err := event.Marshal(e)
			if err == nil {
				_, err = r.js.Publish(context.WithoutCancel(ctx), event.Subject(e), data)
			}
			if err != nil {
				done <- err
				return
			}
			n.Add(1)
		}
	}()
	var stopped bool
	stop = func() int {
		cancel()
		if !stopped {
			stopped = true
			if err := <-done; err != nil {
				t.Error("publish:", err)
			}
		}
		return int(n.Load())
	}
	t.Cleanup(func() { stop() })
	return stop
}

const (
	seeded   = "tenant_id <> 'live'"
	onlyLive = "tenant_id = 'live'"
)

// complete checks that every event is there once, and that none was set aside.
func (r *rig) complete(t *testing.T, live int) {
	t.Helper()
	for _, table := range []string{"traces", "trace_bodies", "usage_facts"} {
		if n := r.count(t, `SELECT count(*) FROM `+table+` WHERE `+onlyLive); n != live {
			t.Errorf("%s: %d rows of the traffic, want %d", table, n, live)
		}
	}
	if n := r.count(t, `SELECT coalesce(sum(requests), 0) FROM rollups WHERE grain = 'day' AND `+onlyLive); n != live {
		t.Errorf("rollups: %d requests of the traffic, want %d", n, live)
	}
	if n := r.count(t, `SELECT coalesce(sum(requests), 0) FROM tag_rollups WHERE grain = 'day' AND tag = 'team' AND `+onlyLive); n != live {
		t.Errorf("tag_rollups: %d requests of the traffic, want %d", n, live)
	}
	if n := r.count(t, `SELECT count(*) FROM dead_events`); n != 0 {
		t.Errorf("%d events were set aside", n)
	}
	r.reconciled(t)
	r.clean(t)
}

// A replay under traffic changes nothing, and the live services go on over the swap: on
// connections whose statements were prepared for the old tables.
func TestUnderTraffic(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.live(t)
	r.publish(t, mixed(2000, 3)...)
	r.settled(t)
	before := r.sumsWhere(t, seeded)
	stop := r.traffic(t)
	for range 2 {
		report := r.replay(t, all)
		if !report.Swapped {
			t.Errorf("got %+v", report)
		}
		for _, c := range report.Compared {
			if c.OnlyOld+c.OnlyNew+c.Different != 0 {
				t.Errorf("compared under traffic: %+v, want no difference", c)
			}
		}
		t.Logf("locked for %d ms, attempt %d", report.LockedMs, report.Attempts)
	}
	at := r.count(t, `SELECT count(*) FROM traces WHERE `+onlyLive)
	testkit.Await(t, "traffic goes on after the swap", func(ctx context.Context) bool {
		return r.number(ctx, `SELECT count(*) FROM traces WHERE `+onlyLive) > at+20
	})
	n := stop()
	r.settled(t)
	if diff := cmp.Diff(before, r.sumsWhere(t, seeded)); diff != "" {
		t.Errorf("checksums (-before +after):\n%s", diff)
	}
	r.complete(t, n)
}

// All projection tables are dropped while everything runs. For recorder and analytics that
// is an outage of the store and no fault of an event.
func TestTablesDroppedUnderTraffic(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.live(t)
	r.publish(t, mixed(2000, 4)...)
	r.settled(t)
	before := r.sumsWhere(t, seeded)
	stop := r.traffic(t)
	testkit.Await(t, "traffic is recorded", func(ctx context.Context) bool {
		return r.number(ctx, `SELECT count(*) FROM traces WHERE `+onlyLive) > 20
	})
	r.exec(t, `DROP TABLE traces, trace_bodies, usage_facts, rollups, tag_rollups`)
	for _, durable := range bus.Consumers() {
		testkit.Await(t, durable+" keeps what it cannot store", func(ctx context.Context) bool {
			lag, err := bus.Lag(ctx, r.js, durable)
			return err == nil && lag > 50
		})
	}
	report := r.replay(t, all)
	if !report.Rebuilt || !report.Swapped {
		t.Errorf("got %+v", report)
	}
	n := stop()
	r.settled(t)
	if diff := cmp.Diff(before, r.sumsWhere(t, seeded)); diff != "" {
		t.Errorf("checksums (-before +after):\n%s", diff)
	}
	r.complete(t, n)
}

// Where a table is missing, what is out of scope could not be carried over.
func TestMissingTablesNeedTheWholeScope(t *testing.T) {
	t.Parallel()
	r := seed(t, 50)
	r.exec(t, `DROP TABLE usage_facts`)
	opt := all
	opt.Tenant = "acme"
	if _, err := replay.Run(t.Context(), r.config(t), opt); err == nil {
		t.Error("a replay of one tenant was accepted")
	}
	r.replay(t, all)
	r.reconciled(t)
}

// Long readers make the swap give way, again and again, and then it is done. Meanwhile a
// second replay is refused.
func TestSwapGivesWayAndOneRunsAtATime(t *testing.T) {
	t.Parallel()
	r := seed(t, 200)
	before := r.sums(t)
	tx, err := r.Pool("").Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `SELECT count(*) FROM trace_bodies`); err != nil {
		t.Fatal(err)
	}
	type outcome struct {
		replay.Report
		error
	}
	done := make(chan outcome, 1)
	go func() {
		report, err := replay.Run(t.Context(), r.config(t), all)
		done <- outcome{report, err}
	}()
	testkit.Await(t, "the swap waits for the reader", func(ctx context.Context) bool {
		return r.number(ctx, `SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND NOT granted`) > 0
	})
	if _, err := replay.Run(t.Context(), r.config(t), all); !errors.Is(err, replay.ErrRunning) {
		t.Errorf("a second replay: got %v, want %v", err, replay.ErrRunning)
	}
	if err := replay.Abort(t.Context(), r.DSN("")); !errors.Is(err, replay.ErrRunning) {
		t.Errorf("abort of a replay that runs: got %v, want %v", err, replay.ErrRunning)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := <-done
	if got.error != nil || got.Attempts < 2 {
		t.Errorf("got %+v, %v, want it done at a later attempt", got.Report, got.error)
	}
	if diff := cmp.Diff(before, r.sums(t)); diff != "" {
		t.Errorf("checksums (-before +after):\n%s", diff)
	}
}
