package pool_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"loom.internal/services/gateway/internal/pool"
	"loom.internal/services/gateway/internal/spool"
)

// beyond stands for broker and Postgres: it publishes spools, and says of all it got that
// it has it, unless it is stuck with a producer.
type beyond struct {
	tb    testing.TB
	stuck sync.Map // producers of which nothing is confirmed

	mu      sync.Mutex
	at      map[string][16]byte // by producer and position
	times   map[[16]byte]int    // places of an id
	active  map[string]int      // publishers of a producer now
	order   []string            // producers, as their first publisher came
	highest int                 // publishers at once
}

func newBeyond(tb testing.TB) *beyond {
	tb.Helper()
	return &beyond{tb: tb, at: map[string][16]byte{}, times: map[[16]byte]int{}, active: map[string]int{}}
}

func (b *beyond) enter(producer string, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.active[producer] += n; b.active[producer] > 1 {
		b.tb.Errorf("two have the spool of %s", producer)
	}
	if n > 0 {
		b.order = append(b.order, producer)
	}
	now := 0
	for _, n := range b.active {
		now += n
	}
	b.highest = max(b.highest, now)
}

func (b *beyond) publish(ctx context.Context, s *spool.Spool) error {
	ctx = context.WithoutCancel(ctx) // it ends with the spool
	b.enter(s.Producer(), 1)
	defer b.enter(s.Producer(), -1)
	var after spool.Position
	for {
		entries, err := s.Next(ctx, after, 7, 1<<20)
		if errors.Is(err, spool.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		b.take(s.Producer(), entries)
		after = entries[len(entries)-1].Position
		if _, stuck := b.stuck.Load(s.Producer()); !stuck {
			s.Confirm(after.Epoch, after.Seq)
		}
	}
}

func (b *beyond) take(producer string, entries []spool.Entry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range entries {
		at := fmt.Sprint(producer, e.Position)
		if was, ok := b.at[at]; ok && was != e.ID || e.Lost {
			b.tb.Errorf("%s was %x, is %x, lost %v", at, was, e.ID, e.Lost)
		} else if !ok {
			b.times[e.ID]++
		}
		b.at[at] = e.ID
	}
}

// has checks that the ids from 1 to n are there, each in one place.
func (b *beyond) has(n uint64) {
	b.tb.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := uint64(1); i <= n; i++ {
		if b.times[newID(i)] != 1 {
			b.tb.Errorf("request %d is in %d places, want 1", i, b.times[newID(i)])
		}
	}
}

// replica is a gateway as far as its spools go.
type replica struct {
	pool *pool.Pool
	own  *spool.Spool
	reg  *prometheus.Registry
	log  bytes.Buffer
	stop func()
}

const every = 10 * time.Second

// startReplica is for a bubble.
func startReplica(tb testing.TB, place pool.Place, b *beyond) *replica {
	tb.Helper()
	r := &replica{reg: prometheus.NewRegistry()}
	r.pool = pool.New(pool.Options{Place: place, Every: every, Log: slog.New(slog.NewTextHandler(&r.log, nil)), Metrics: r.reg})
	var err error
	if r.own, err = r.pool.Take(spool.Options{SegmentBytes: 2000, Metrics: r.reg}); err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	check := func(err error) {
		if err != nil {
			tb.Error(err)
		}
	}
	parts.Go(func() { check(r.own.Run(ctx)) })
	parts.Go(func() { check(b.publish(ctx, r.own)) })
	parts.Go(func() { check(r.pool.Run(ctx, b.publish)) })
	r.stop = sync.OnceFunc(func() {
		cancel()
		parts.Wait()
		check(r.own.Close())
	})
	synctest.Wait() // it has looked once
	return r
}

func (r *replica) metric(tb testing.TB, name string) float64 {
	tb.Helper()
	families, err := r.reg.Gather()
	if err != nil {
		tb.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "loom_gateway_"+name {
			return f.GetMetric()[0].GetCounter().GetValue() + f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	tb.Fatalf("no metric %s", name)
	return 0
}

func left(tb testing.TB, dir string) int {
	tb.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	if err != nil {
		tb.Fatal(err)
	}
	return len(names)
}

func equal[T comparable](tb testing.TB, what string, got, want T) {
	tb.Helper()
	if got != want {
		tb.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// pass lets time pass in a bubble.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestAdopt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := newBeyond(t)
		r := startReplica(t, pool.Dir(dir), b)
		defer r.stop()
		leave(t, filepath.Join(dir, "gw-001"), 1, 30, 5)
		leave(t, filepath.Join(dir, "gw-002"), 36, 4, 0)
		if err := r.own.Begin(t.Context(), newID(99), nil, 10); err != nil { // it stays open all the time
			t.Fatal(err)
		}
		pass(every)
		equal(t, "orphaned before anything is done", r.metric(t, "spools_orphaned"), 2)
		equal(t, "events in them", r.metric(t, "spools_orphaned_events"), 39)
		pass(every + time.Second)
		pass(every)
		b.has(39)
		equal(t, "adopted", r.metric(t, "spools_adopted_total"), 2)
		equal(t, "orphaned", r.metric(t, "spools_orphaned"), 0)
		equal(t, "orphaned events", r.metric(t, "spools_orphaned_events"), 0)
		equal(t, "adopting", r.metric(t, "spools_adopting_events"), 0)
		equal(t, "interrupted", r.metric(t, "spool_interrupted_total"), 5)
		equal(t, "own spool, open", r.own.Stats().Open, 1)
		equal(t, "publishers at once", b.highest, 2) // the own one, and one after the other
		equal(t, "segments left", left(t, filepath.Join(dir, "gw-001"))+left(t, filepath.Join(dir, "gw-002")), 0)
		for range 3 {
			pass(every)
		}
		equal(t, "adopted once", r.metric(t, "spools_adopted_total"), 2)
		// A new gateway has one of them as if it were new.
		other := startReplica(t, pool.Dir(dir), b)
		defer other.stop()
		if names, err := os.ReadDir(dir); err != nil || len(names) != 3 {
			t.Errorf("%d directories, %v", len(names), err)
		}
	})
}

// A gateway that is back before the others have looked twice finds its spool as it left it.
func TestRestartedGatewayHasItsOwnBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := newBeyond(t)
		r := startReplica(t, pool.Dir(dir), b)
		defer r.stop()
		leave(t, filepath.Join(dir, "gw-001"), 1, 3, 1)
		pass(every + every/2)
		other := startReplica(t, pool.Dir(dir), b)
		defer other.stop()
		pass(3 * every)
		b.has(4)
		equal(t, "adopted", r.metric(t, "spools_adopted_total"), 0)
		equal(t, "orphaned", r.metric(t, "spools_orphaned"), 0)
	})
}

// A gateway that stops while it adopts leaves what is not confirmed to the next.
func TestStopWhileAdopting(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := newBeyond(t)
		r := startReplica(t, pool.Dir(dir), b)
		leave(t, filepath.Join(dir, "gw-001"), 1, 10, 3)
		id, err := os.ReadFile(filepath.Join(dir, "gw-001", "state"))
		if err != nil {
			t.Fatal(err)
		}
		producer := strings.Fields(string(id))[2]
		b.stuck.Store(producer, nil)
		pass(2*every + time.Second)
		equal(t, "adopting", r.metric(t, "spools_adopting_events"), 13)
		other := startReplica(t, pool.Dir(dir), b)
		equal(t, "spool of one that starts meanwhile is another", other.own.Stats().Events, 0)
		r.stop()
		equal(t, "adopted", r.metric(t, "spools_adopted_total"), 0)
		b.stuck.Delete(producer)
		pass(3 * every)
		equal(t, "adopted by the other", other.metric(t, "spools_adopted_total"), 1)
		equal(t, "segments left", left(t, filepath.Join(dir, "gw-001")), 0)
		b.has(13)
		other.stop()
	})
}

// One that cannot be emptied, or not even opened, does not hold up the others for good.
func TestStuckSpoolsGiveWay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := newBeyond(t)
		r := startReplica(t, pool.Dir(dir), b)
		defer r.stop()
		leave(t, filepath.Join(dir, "gw-001"), 1, 3, 0)
		if err := os.WriteFile(filepath.Join(dir, "gw-001", "state"), []byte("loom-spool 2 something new e70e207f\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		leave(t, filepath.Join(dir, "gw-002"), 4, 1, 0)
		s, err := spool.Open(filepath.Join(dir, "gw-002"), spool.Options{})
		if err != nil {
			t.Fatal(err)
		}
		b.stuck.Store(s.Producer(), nil)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		leave(t, filepath.Join(dir, "gw-003"), 5, 1, 0)
		pass(time.Minute)
		equal(t, "unreadable", r.metric(t, "spools_unreadable"), 1)
		equal(t, "waiting", r.metric(t, "spools_orphaned"), 2)
		equal(t, "adopted", r.metric(t, "spools_adopted_total"), 0)
		pass(11 * time.Minute)
		equal(t, "adopted the third", r.metric(t, "spools_adopted_total"), 1)
		equal(t, "segments of the third", left(t, filepath.Join(dir, "gw-003")), 0)
		b.stuck.Delete(s.Producer())
		pass(25 * time.Minute)
		equal(t, "adopted the stuck one", r.metric(t, "spools_adopted_total"), 2)
		equal(t, "still unreadable", r.metric(t, "spools_unreadable"), 1)
		if n := strings.Count(r.log.String(), "cannot be opened"); n == 0 || n > 45 {
			t.Errorf("%d lines about the unreadable one in 37 minutes", n)
		}
	})
}

// Several replicas never have the same one, whatever comes and goes.
func TestReplicasNeverShare(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := newBeyond(t)
		const orphans, replicas = 9, 4
		for i := range uint64(orphans) {
			leave(t, filepath.Join(dir, fmt.Sprintf("gw-%03d", i)), 1+i*10, 7, 3)
		}
		var all []*replica
		for range replicas {
			all = append(all, startReplica(t, pool.Dir(dir), b))
		}
		// One goes, and another comes, while they adopt.
		pass(2 * every)
		all[0].stop()
		all = append(all, startReplica(t, pool.Dir(dir), b))
		for range 12 {
			pass(every)
		}
		b.has(orphans * 10)
		var adopted float64
		for _, r := range all {
			adopted += r.metric(t, "spools_adopted_total")
			equal(t, "orphaned at the end", r.metric(t, "spools_orphaned"), 0)
			r.stop()
		}
		if adopted < orphans-replicas {
			t.Errorf("adopted: got %v, want at least %d", adopted, orphans-replicas)
		}
		names, err := os.ReadDir(dir)
		equal(t, "directories", len(names), orphans)
		equal(t, "error", err, nil)
	})
}

// A place that cannot be read for a while is looked at again; nothing is forgotten.
func TestPlaceAwayForAWhile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := newBeyond(t)
		place := &flaky{Place: pool.Dir(dir)}
		r := startReplica(t, place, b)
		defer r.stop()
		leave(t, filepath.Join(dir, "gw-001"), 1, 2, 0)
		place.away.Store(true)
		pass(5 * every)
		equal(t, "adopted", r.metric(t, "spools_adopted_total"), 0)
		place.away.Store(false)
		pass(3 * every)
		equal(t, "adopted", r.metric(t, "spools_adopted_total"), 1)
		b.has(2)
	})
}

type flaky struct {
	pool.Place
	away atomic.Bool
}

func (f *flaky) Names() ([]string, error) {
	if f.away.Load() {
		return nil, errors.New("stale file handle")
	}
	return f.Place.Names()
}
