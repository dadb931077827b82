package analytics_test

import (
	"context"
	"testing"
	"time"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/event"
	"loom.internal/pkg/testkit"
)

// Analytics says for itself how far it has come: gaps hold it up, an id that comes under
// a second number does not, and a delivery that changes nothing still counts.
func TestWatermark(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.replica(t).start(t)
	at := func(seq uint64) *event.TraceEvent {
		return testkit.Event("acme", time.Now(), func(e *event.TraceEvent) { e.Producer = &event.Producer{Id: "gw-a", Epoch: 3, Seq: seq} })
	}
	await := func(want string) {
		t.Helper()
		testkit.Await(t, "watermark "+want, func(ctx context.Context) bool {
			kv, err := r.js.KeyValue(ctx, bus.BucketWatermark)
			if err != nil {
				return false
			}
			entry, err := kv.Get(ctx, bus.WatermarkKey(bus.ConsumerAnalytics, event.Life{ProducerID: "gw-a", Epoch: 3}))
			return err == nil && string(entry.Value()) == want
		})
	}
	first, again := at(1), at(2)
	again.TraceId, again.StartedAtUs = first.GetTraceId(), first.GetStartedAtUs()
	testkit.Publish(t, r.js, first, again, at(4))
	await("2")
	testkit.Publish(t, r.js, at(3), first)
	await("4")
}
