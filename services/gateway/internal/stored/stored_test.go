package stored_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"pgregory.net/rapid"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/testkit"
	"loom.internal/services/gateway/internal/stored"
)

const patience = 20 * time.Second

var azure = stored.Ref{Provider: "azure-se", Model: "prod-4o"}

// replica is the store of one gateway.
type replica struct {
	*stored.Store
	nc   *nats.Conn
	reg  *prometheus.Registry
	stop func() // ends Run, if it was started
}

func newReplica(t *testing.T, b *testkit.Broker, queue int) *replica {
	t.Helper()
	nc, err := bus.Connect(b.URL, "test", testkit.Log(t), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	r := &replica{nc: nc, reg: prometheus.NewRegistry(), stop: func() {}}
	r.Store, err = stored.New(stored.Options{NATS: nc, Log: testkit.Log(t), Metrics: r.reg, Cache: 1000, Queue: queue})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// run starts the writer.
func (r *replica) run(t *testing.T) *replica {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(r.stop)
	return r
}

func (r *replica) dropped(t *testing.T) float64 {
	t.Helper()
	families, err := r.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if n := testutil.CollectAndCount(r.reg); n != 1 {
		t.Fatalf("%d metrics, want 1", n)
	}
	return families[0].GetMetric()[0].GetCounter().GetValue()
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick, deadline := time.NewTicker(10*time.Millisecond), time.After(patience)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

// finds waits until a replica finds a response that another has put.
func (r *replica) finds(t *testing.T, tenant, id string, want stored.Ref) {
	t.Helper()
	eventually(t, fmt.Sprintf("response %.40q found", id), func() bool {
		got, err := r.Get(t.Context(), tenant, id)
		if err == nil && got != want {
			t.Fatalf("%.40q: got %v, want %v", id, got, want)
		}
		return err == nil
	})
}

func (r *replica) get(t *testing.T, tenant, id string, want error) {
	t.Helper()
	if got, err := r.Get(t.Context(), tenant, id); !errors.Is(err, want) || err == nil || got != (stored.Ref{}) {
		t.Errorf("%.40q of %s: got %v, %v; want %v", id, tenant, got, err, want)
	}
}

func TestPutHereGetThere(t *testing.T) {
	t.Parallel()
	b := testkit.NATS(t)
	b.Stream(t)
	here, there := newReplica(t, b, 100).run(t), newReplica(t, b, 100).run(t)
	ids := []string{
		"resp_67ccd2bed1ec8190b14f964abc0542670bb6a6b452d3795b", "a.b.c", "..", ">", "*", "a b", "a/b/../c", "", "\x00", "\xff\xfe", "é\n",
		strings.Repeat("x", 10<<10), strings.Repeat("x", 10<<10) + "y",
	}
	ref := func(i int) stored.Ref { return stored.Ref{Provider: "p", Model: fmt.Sprint("m", i)} }
	for i, id := range ids {
		here.Put("acme", id, ref(i))
		if got, err := here.Get(t.Context(), "acme", id); err != nil || got != ref(i) {
			t.Errorf("%.40q at once: got %v, %v", id, got, err)
		}
	}
	for i, id := range ids {
		there.finds(t, "acme", id, ref(i))
		there.get(t, "rival", id, stored.ErrUnknown)
		here.get(t, "rival", id, stored.ErrUnknown)
	}
	there.get(t, "acme", "resp_other", stored.ErrUnknown)

	there.Delete("acme", ids[0])
	there.get(t, "acme", ids[0], stored.ErrUnknown)
	eventually(t, "deleted for a third", func() bool {
		_, err := newReplica(t, b, 1).Get(t.Context(), "acme", ids[0])
		return errors.Is(err, stored.ErrUnknown)
	})
	there.get(t, "acme", ids[0], stored.ErrUnknown)
	newReplica(t, b, 1).finds(t, "acme", ids[1], ref(1))
	if n := here.dropped(t) + there.dropped(t); n != 0 {
		t.Errorf("%v dropped", n)
	}
}

func TestBrokerAwayAndBack(t *testing.T) {
	t.Parallel()
	b := testkit.NATS(t)
	b.Stream(t)
	here, there := newReplica(t, b, 5000).run(t), newReplica(t, b, 1)
	here.Put("acme", "before", azure)
	there.finds(t, "acme", "before", azure)
	b.Stop()
	eventually(t, "noticed", func() bool { return bus.Ready(here.nc) != nil && bus.Ready(there.nc) != nil })

	const many = 1000 // more than a batch
	for i := range many {
		here.Put("acme", fmt.Sprint("during ", i), azure)
	}
	here.Put("acme", "short", azure)
	here.Delete("acme", "short")
	last := fmt.Sprint("during ", many-1)
	if got, err := here.Get(t.Context(), "acme", last); err != nil || got != azure {
		t.Errorf("where it was put: got %v, %v", got, err)
	}
	if got, err := there.Get(t.Context(), "acme", "before"); err != nil || got != azure {
		t.Errorf("where it was read before: got %v, %v", got, err)
	}
	there.get(t, "acme", last, stored.ErrUnavailable)

	b.Start(t)
	eventually(t, "back", func() bool { return bus.Ready(there.nc) == nil })
	there.finds(t, "acme", last, azure)
	there.finds(t, "acme", "during 0", azure)
	here.Put("acme", "after", azure)
	there.finds(t, "acme", "after", azure)
	there.get(t, "acme", "short", stored.ErrUnknown)
	if n := here.dropped(t); n != 0 {
		t.Errorf("%v dropped", n)
	}
}

// A broker that has no bucket, as after it lost its disk, is told when it has one.
func TestBucketThatComesLater(t *testing.T) {
	t.Parallel()
	b := testkit.NATS(t)
	here := newReplica(t, b, 10).run(t)
	here.get(t, "acme", "r", stored.ErrUnavailable)
	here.Put("acme", "r", azure)
	js := b.Stream(t)
	there := newReplica(t, b, 10)
	there.finds(t, "acme", "r", azure)

	if err := js.DeleteStream(t.Context(), "KV_"+bus.BucketResponses); err != nil {
		t.Fatal(err)
	}
	here.Put("acme", "s", azure)
	b.Stream(t)
	there.finds(t, "acme", "s", azure)
}

func TestFullQueueDropsAndCounts(t *testing.T) {
	t.Parallel()
	b := testkit.NATS(t)
	b.Stream(t)
	here, there := newReplica(t, b, 3), newReplica(t, b, 3)
	for i := range 5 {
		here.Put("acme", fmt.Sprint(i), azure)
	}
	here.Put("acme", "large", stored.Ref{Provider: "p", Model: strings.Repeat("m", 4<<10)})
	if n := here.dropped(t); n != 3 {
		t.Errorf("%v dropped, want 3", n)
	}
	if got, err := here.Get(t.Context(), "acme", "4"); err != nil || got != azure {
		t.Errorf("dropped for others: got %v, %v", got, err)
	}
	here.get(t, "acme", "large", stored.ErrUnknown)
	here.run(t)
	here.stop() // writes what is left
	for i := range 5 {
		if i < 3 {
			there.finds(t, "acme", fmt.Sprint(i), azure)
		} else {
			there.get(t, "acme", fmt.Sprint(i), stored.ErrUnknown)
		}
	}
}

func TestEndWhileTheBrokerIsAway(t *testing.T) {
	t.Parallel()
	b := testkit.NATS(t)
	b.Stream(t)
	here := newReplica(t, b, 10).run(t)
	b.Stop()
	eventually(t, "noticed", func() bool { return bus.Ready(here.nc) != nil })
	for i := range 4 {
		here.Put("acme", fmt.Sprint(i), azure)
	}
	here.stop()
	if n := here.dropped(t); n != 4 {
		t.Errorf("%v dropped, want 4", n)
	}
}

// What the broker will never take does not hold up what comes behind it.
func TestWriteThatIsRefused(t *testing.T) {
	t.Parallel()
	b := testkit.NATS(t)
	js := b.Stream(t)
	stream, err := js.Stream(t.Context(), "KV_"+bus.BucketResponses)
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	config.MaxMsgSize = 200
	if _, err := js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	here, there := newReplica(t, b, 10).run(t), newReplica(t, b, 10)
	here.Put("acme", "large", stored.Ref{Provider: "p", Model: strings.Repeat("m", 300)})
	here.Put("acme", "small", azure)
	there.finds(t, "acme", "small", azure)
	eventually(t, "counted", func() bool { return here.dropped(t) == 1 })
}

func TestBucketIsBounded(t *testing.T) {
	t.Parallel()
	b := testkit.NATS(t)
	kv, err := b.Stream(t).KeyValue(t.Context(), bus.BucketResponses)
	if err != nil {
		t.Fatal(err)
	}
	status, err := kv.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := status.(*jetstream.KeyValueBucketStatus).StreamInfo().Config
	if c.MaxAge != 31*24*time.Hour || c.MaxBytes <= 0 || c.MaxMsgSize <= 0 || c.Discard != jetstream.DiscardOld || c.MaxMsgsPerSubject != 1 {
		t.Errorf("got %+v", c)
	}
}

// Whatever is put and deleted in whatever order, the bucket ends with the last of it.
func TestLastWriteStays(t *testing.T) {
	t.Parallel()
	b := testkit.NATS(t)
	b.Stream(t)
	here, there := newReplica(t, b, 1000).run(t), newReplica(t, b, 1)
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		tenant := fmt.Sprint("tenant", round)
		want := map[string]stored.Ref{}
		ops := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) stored.Ref {
			return stored.Ref{Provider: rapid.StringN(0, 3, -1).Draw(rt, "provider"), Model: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "id")}
		}), 1, 60).Draw(rt, "ops")
		for _, op := range ops {
			if op.Provider == "" {
				here.Delete(tenant, op.Model)
				want[op.Model] = stored.Ref{}
				continue
			}
			here.Put(tenant, op.Model, op)
			want[op.Model] = op
		}
		here.Put(tenant, "end", azure)
		there.finds(t, tenant, "end", azure) // a batch behind it may still be on its way
		for id, ref := range want {
			eventually(t, "the last write", func() bool {
				// Of a store that remembers nothing.
				fresh, err := stored.New(stored.Options{NATS: there.nc, Log: testkit.Log(t), Metrics: prometheus.NewRegistry(), Cache: 1, Queue: 1})
				if err != nil {
					rt.Fatal(err)
				}
				got, err := fresh.Get(t.Context(), tenant, id)
				return got == ref && (err == nil) == (ref != stored.Ref{})
			})
		}
	})
}
