package recorder_test

import (
	"context"
	"strconv"
	"testing"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/event"
	"loom.internal/pkg/testkit"
)

// forget makes of the database one that has lost its last commits.
func (r *rig) forget(t *testing.T, from int64) {
	t.Helper()
	for _, sql := range []string{
		`DELETE FROM trace_bodies WHERE trace_id IN (SELECT trace_id FROM traces WHERE producer_seq >= $1)`,
		`DELETE FROM traces WHERE producer_seq >= $1`,
		`UPDATE producers SET recorded = recorded - int8multirange(int8range($1, NULL)), given_up = '{}'`,
	} {
		if _, err := r.Pool("").Exec(t.Context(), sql, from); err != nil {
			t.Fatal(err)
		}
	}
}

func (r *rig) awaitTraces(t *testing.T, want int) {
	t.Helper()
	testkit.Await(t, "traces", func(ctx context.Context) bool {
		var n int
		err := r.Pool("").QueryRow(ctx, `SELECT count(*) FROM traces`).Scan(&n)
		return err == nil && n == want
	})
}

// What a database has lost after gateways were told that it is there comes back from the
// stream, whose consumer has had it acknowledged long ago.
func TestLostCommitsComeBackFromTheStream(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	stop := r.replica(t).start(t)
	for seq := range uint64(5) {
		testkit.Publish(t, r.js, from("gw-a", 1, seq+1))
	}
	r.awaitWatermark(t, "gw-a", 1, 5)
	stop()
	r.forget(t, 3)
	r.replica(t).start(t)
	r.awaitTraces(t, 5)
	if r.gaps(t) != 0 || r.watermark(t.Context(), "gw-a", 1) != "5" {
		t.Errorf("%d gaps, watermark %s", r.gaps(t), r.watermark(t.Context(), "gw-a", 1))
	}
}

// What the stream has not is asked of the gateway: the watermark goes back. What that has
// not either is given up, and named; what comes later is not held up by it.
func TestWhatNobodyHasIsGivenUp(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	stop := r.replica(t).start(t)
	for seq := range uint64(5) {
		testkit.Publish(t, r.js, from("gw-a", 1, seq+1))
	}
	r.awaitWatermark(t, "gw-a", 1, 5)
	stop()
	r.forget(t, 3)
	for seq := uint64(1); seq <= 5; seq++ {
		stream, err := r.js.Stream(t.Context(), bus.StreamTrace)
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.DeleteMsg(t.Context(), seq); err != nil {
			t.Fatal(err)
		}
	}
	stop = r.replica(t).start(t)
	r.awaitWatermark(t, "gw-a", 1, 2)
	testkit.Publish(t, r.js, from("gw-a", 1, 5)) // which the gateway still had
	r.awaitTraces(t, 3)
	stop()

	kv, err := r.js.KeyValue(t.Context(), bus.BucketWatermark)
	if err != nil {
		t.Fatal(err)
	}
	life := event.Life{ProducerID: "gw-a", Epoch: 1}
	if _, err := kv.PutString(t.Context(), bus.GoneKey(life), strconv.Itoa(4)); err != nil {
		t.Fatal(err)
	}
	p := r.replica(t)
	p.start(t)
	r.awaitWatermark(t, "gw-a", 1, 5)
	if got := r.count(t, `SELECT count(*) FROM producer_gaps WHERE (from_seq, to_seq) = (3, 4)`); got != 1 || r.gaps(t) != 1 {
		t.Errorf("the gap is not named: %d of %d", got, r.gaps(t))
	}
	if got := p.metric(t, "loom_projection_given_up_events_total", "consumer", bus.ConsumerRecorder); got != 2 {
		t.Errorf("%v events are given up, want 2", got)
	}
}
