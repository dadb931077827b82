package recorder_test

import (
	"context"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/event"
	"loom.internal/pkg/testkit"
)

// from is an event of a producer, at a place of its sequence.
func from(producer string, epoch, seq uint64) *event.TraceEvent {
	return testkit.Event("acme", time.Now(), func(e *event.TraceEvent) {
		e.Producer = &event.Producer{Id: producer, Epoch: epoch, Seq: seq}
	})
}

// watermark is what gateways are told of a producer; "" when they are told nothing.
func (r *rig) watermark(ctx context.Context, producer string, epoch int64) string {
	kv, err := r.js.KeyValue(ctx, bus.BucketWatermark)
	if err != nil {
		return ""
	}
	entry, err := kv.Get(ctx, bus.WatermarkKey(bus.ConsumerRecorder, event.Life{ProducerID: producer, Epoch: epoch}))
	if err != nil {
		return ""
	}
	return string(entry.Value())
}

func (r *rig) awaitWatermark(t *testing.T, producer string, epoch, want int64) {
	t.Helper()
	testkit.Await(t, "watermark "+strconv.FormatInt(want, 10)+" of "+producer, func(ctx context.Context) bool {
		return r.watermark(ctx, producer, epoch) == strconv.FormatInt(want, 10)
	})
}

func (r *rig) gaps(t *testing.T) int {
	t.Helper()
	return r.count(t, `SELECT count(*) FROM producer_gaps`)
}

func TestWatermarkStopsAtAGap(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.replica(t).start(t)
	testkit.Publish(t, r.js, from("gw-a", 1, 1), from("gw-a", 1, 2), from("gw-a", 1, 4), from("gw-a", 2, 1), from("gw-b", 1, 2))
	r.settled(t)
	r.awaitWatermark(t, "gw-a", 1, 2)
	r.awaitWatermark(t, "gw-a", 2, 1)
	r.awaitWatermark(t, "gw-b", 1, 0) // its first event is missing, and its gateway is to know
	if got := r.count(t, `SELECT count(*) FROM producer_gaps WHERE (producer_id, epoch, from_seq, to_seq) IN (('gw-a', 1, 3, 3), ('gw-b', 1, 1, 1))`); got != 2 || r.gaps(t) != 2 {
		t.Errorf("%d of the 2 gaps, %d in all", got, r.gaps(t))
	}
	// Late, and another one twice.
	testkit.Publish(t, r.js, from("gw-a", 1, 3), from("gw-a", 1, 4), from("gw-b", 1, 1))
	r.awaitWatermark(t, "gw-a", 1, 4)
	r.awaitWatermark(t, "gw-b", 1, 2)
	if got := r.gaps(t); got != 0 {
		t.Errorf("%d gaps left", got)
	}
}

// An event set aside is in Postgres too: its producer need not keep it.
func TestWatermarkPassesADeadEvent(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.replica(t).start(t)
	good := from("gw-a", 1, 1)
	testkit.Publish(t, r.js, good)
	poison := &nats.Msg{Subject: event.Subject(good), Data: []byte("junk"), Header: nats.Header(event.Headers(from("gw-a", 1, 2)))}
	if _, err := r.js.PublishMsg(t.Context(), poison); err != nil {
		t.Fatal(err)
	}
	r.awaitWatermark(t, "gw-a", 1, 2)
	if got := r.count(t, `SELECT count(*) FROM dead_events`); got != 1 {
		t.Errorf("%d dead events, want 1", got)
	}
}

// Whatever the order, and whoever records: in the end nothing is missing.
func TestWatermarkOfTwoReplicas(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.replica(t).start(t)
	r.replica(t).start(t)
	const n = 600
	for _, i := range rand.Perm(n) {
		testkit.Publish(t, r.js, from("gw-a", 7, uint64(i+1)))
	}
	r.awaitWatermark(t, "gw-a", 7, n)
	if got := r.count(t, `SELECT count(*) FROM producers WHERE recorded = int8multirange(int8range(1, $1))`, n+1); got != 1 {
		t.Error("the producer's numbers are not one range")
	}
}

// A broker that lost its disk is told again, by a recorder that has nothing to record.
func TestWatermarkIsToldAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	stop := r.replica(t).start(t)
	testkit.Publish(t, r.js, from("gw-a", 1, 1))
	r.awaitWatermark(t, "gw-a", 1, 1)
	stop()
	kv, err := r.js.KeyValue(t.Context(), bus.BucketWatermark)
	if err != nil {
		t.Fatal(err)
	}
	if err := kv.Purge(t.Context(), bus.WatermarkKey(bus.ConsumerRecorder, event.Life{ProducerID: "gw-a", Epoch: 1})); err != nil {
		t.Fatal(err)
	}
	r.replica(t).start(t)
	r.awaitWatermark(t, "gw-a", 1, 1)
}
