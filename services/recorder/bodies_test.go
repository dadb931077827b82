package recorder_test

import (
	"bytes"
	"context"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/event"
	"loom.internal/pkg/testkit"
)

// big is an event with a request and an answer of so many bytes; 0 for none.
func big(request, response int) *event.TraceEvent {
	return testkit.Event("acme", time.Now(), func(e *event.TraceEvent) {
		e.RequestBody, e.ResponseBody = nil, nil
		if request > 0 {
			e.RequestBody = testkit.Body(request)
		}
		if response > 0 {
			e.ResponseBody = testkit.Body(response)
		}
	})
}

// publishDetached publishes e as a gateway does, its bodies in the object store, and
// returns them as they were.
func (r *rig) publishDetached(t *testing.T, e *event.TraceEvent) (request, response []byte) {
	t.Helper()
	request, response = e.GetRequestBody().GetCiphertext(), e.GetResponseBody().GetCiphertext()
	testkit.Detach(t, r.js.Conn(), e)
	testkit.Publish(t, r.js, e)
	return request, response
}

// stored reads the bodies of a trace.
func (r *rig) stored(t *testing.T, e *event.TraceEvent) (request, response []byte) {
	t.Helper()
	err := r.Pool("").QueryRow(t.Context(), `SELECT request_body, response_body FROM trace_bodies WHERE trace_id = $1::text::uuid`, e.GetTraceId()).Scan(&request, &response)
	if err != nil {
		t.Fatal(err)
	}
	return request, response
}

func (r *rig) dead(t *testing.T) int {
	t.Helper()
	return r.count(t, `SELECT count(*) FROM dead_events`)
}

func TestBigBodiesArriveByteForByte(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.replica(t).start(t)
	for name, e := range map[string]*event.TraceEvent{
		"both of the largest": big(event.MaxBody+16, event.MaxBody+16),
		"the request only":    big(600<<10, 0),
		"the answer only":     big(0, 3<<20),
		"small ones too":      big(16, 40),
	} {
		request, response := r.publishDetached(t, e)
		r.settled(t)
		gotRequest, gotResponse := r.stored(t, e)
		if !bytes.Equal(gotRequest, request) || !bytes.Equal(gotResponse, response) {
			t.Errorf("%s: %d and %d bytes are not the %d and %d that were sealed", name, len(gotRequest), len(gotResponse), len(request), len(response))
		}
	}
	// One detached and one in the event.
	e := big(20, 1<<20)
	small, whole := e.RequestBody, e.GetResponseBody().GetCiphertext()
	e.RequestBody = nil
	testkit.Detach(t, r.js.Conn(), e)
	e.RequestBody = small
	testkit.Publish(t, r.js, e)
	r.settled(t)
	if gotRequest, gotResponse := r.stored(t, e); !bytes.Equal(gotRequest, small.GetCiphertext()) || !bytes.Equal(gotResponse, whole) {
		t.Errorf("one of two detached: %d and %d bytes", len(gotRequest), len(gotResponse))
	}
	if n := r.dead(t); n != 0 {
		t.Errorf("%d dead events", n)
	}
}

// An event whose body is gone is set aside alone, and comes back once it is there again.
func TestMissingBodyIsSetAside(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	store, err := r.js.ObjectStore(t.Context(), bus.BucketBodies)
	if err != nil {
		t.Fatal(err)
	}
	good := []*event.TraceEvent{big(1<<20, 0), big(0, 1<<20)}
	gone, other := big(1<<20, 0), big(0, 1<<20)
	r.publishDetached(t, good[0])
	lost, _ := r.publishDetached(t, gone)
	r.publishDetached(t, other)
	r.publishDetached(t, good[1])
	if err := store.Delete(t.Context(), gone.Bodies()[0].Object); err != nil {
		t.Fatal(err)
	}
	if _, err := store.PutBytes(t.Context(), other.Bodies()[0].Object, make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	r.replica(t).start(t)
	r.settled(t)
	for _, e := range good {
		r.stored(t, e)
	}
	for e, reason := range map[*event.TraceEvent]string{gone: "there is no object", other: "another digest"} {
		n := r.count(t, `SELECT count(*) FROM dead_events WHERE consumer = 'recorder' AND strpos(reason, $1) > 0 AND strpos(reason, $2) > 0`, reason, e.Bodies()[0].Object)
		if n != 1 {
			t.Errorf("dead events for that %s: got %d, want 1", reason, n)
		}
	}
	if traces := r.count(t, `SELECT count(*) FROM traces`); traces != 2 || r.dead(t) != 2 {
		t.Errorf("%d traces and %d dead events, want 2 of each", traces, r.dead(t))
	}
	// As loom dead retry does it: the event as it came.
	gone.RequestBody.Attach(lost)
	r.publishDetached(t, gone)
	r.settled(t)
	if request, _ := r.stored(t, gone); !bytes.Equal(request, lost) {
		t.Error("the body that came back is another")
	}
}

// What has lost its body counts as missing, so that its gateway keeps it and sends both
// again; how often it has to do so leaves no trace.
func TestMissingBodyIsAwaited(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	store, err := r.js.ObjectStore(t.Context(), bus.BucketBodies)
	if err != nil {
		t.Fatal(err)
	}
	r.replica(t).start(t)
	e := big(1<<20, 0)
	e.Producer = &event.Producer{Id: "gw-a", Epoch: 1, Seq: 2}
	testkit.Publish(t, r.js, from("gw-a", 1, 1))
	testkit.Detach(t, r.js.Conn(), e)
	data, err := store.GetBytes(t.Context(), e.Bodies()[0].Object)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Delete(t.Context(), e.Bodies()[0].Object); err != nil {
		t.Fatal(err)
	}
	testkit.Publish(t, r.js, e, e, from("gw-a", 1, 3))
	r.settled(t)
	r.awaitWatermark(t, "gw-a", 1, 1)
	if n := r.count(t, `SELECT count(*) FROM dead_events WHERE awaits = $1::text::uuid`, e.GetTraceId()); n != 1 || r.dead(t) != 1 {
		t.Errorf("%d of %d dead events await the trace, want 1 of 1", n, r.dead(t))
	}
	if n := r.count(t, `SELECT count(*) FROM producer_gaps WHERE from_seq = 2 AND to_seq = 2`); n != 1 {
		t.Errorf("%d gaps at the number, want 1: its gateway would let go of it", n)
	}
	e.RequestBody.Attach(data)
	r.publishDetached(t, e)
	r.settled(t)
	r.awaitWatermark(t, "gw-a", 1, 3)
	if request, _ := r.stored(t, e); !bytes.Equal(request, data) || r.dead(t) != 0 || r.gaps(t) != 0 {
		t.Errorf("after it came whole: %d bytes, %d dead events, %d gaps", len(request), r.dead(t), r.gaps(t))
	}
}

// A bucket that cannot be asked kills nothing: the events wait for it.
func TestBodiesAway(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := big(1<<20, 2<<20)
	request, response := r.publishDetached(t, e)
	if err := r.js.DeleteStream(t.Context(), "OBJ_"+bus.BucketBodies); err != nil {
		t.Fatal(err)
	}
	p := r.replica(t)
	stop := p.start(t)
	testkit.Await(t, "two tries that failed", func(context.Context) bool {
		return p.metric(t, "loom_projection_batch_seconds", "result", "failed") > 1
	})
	stop()
	if n := r.dead(t); n != 0 {
		t.Fatalf("%d events died of an outage", n)
	}
	if err := bus.Ensure(t.Context(), r.js, bus.DefaultLayout()); err != nil {
		t.Fatal(err)
	}
	e.RequestBody.Attach(request)
	e.ResponseBody.Attach(response)
	testkit.Detach(t, r.js.Conn(), e)
	r.replica(t).start(t)
	r.settled(t)
	gotRequest, gotResponse := r.stored(t, e)
	if !bytes.Equal(gotRequest, request) || !bytes.Equal(gotResponse, response) {
		t.Error("the bodies are others than were put")
	}
}

// However many bodies a batch has, it is committed in parts, and acked whole.
func TestBigBodiesAreStoredInParts(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const events = 6
	for range events {
		r.publishDetached(t, big(12<<20, 0))
	}
	consumer, err := r.js.Consumer(t.Context(), bus.StreamTrace, bus.ConsumerRecorder)
	if err != nil {
		t.Fatal(err)
	}
	fetched, err := consumer.Fetch(events, jetstream.FetchMaxWait(5*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	batch := slices.Collect(chanSeq(fetched.Messages()))
	if len(batch) != events {
		t.Fatalf("a batch of %d, want %d", len(batch), events)
	}
	p := r.replica(t)
	for range 2 { // the second time it changes nothing
		if err := p.Handle(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		if n := r.count(t, `SELECT count(*) FROM trace_bodies WHERE length(request_body) = 12 << 20`); n != events {
			t.Errorf("%d bodies, want %d", n, events)
		}
		if n := r.count(t, `SELECT count(DISTINCT xmin::text) FROM trace_bodies`); n != events/2 { // two fit 32 MiB
			t.Errorf("%d transactions, want %d", n, events/2)
		}
	}
}

func TestTwoReplicasShareBigBodies(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const events = 20
	for i := range events {
		r.publishDetached(t, big(600<<10, (i%3)<<20))
	}
	r.replica(t).start(t)
	stop := r.replica(t).start(t)
	r.settled(t)
	stop()
	if n := r.count(t, `SELECT count(*) FROM trace_bodies WHERE length(request_body) = 600 << 10`); n != events || r.dead(t) != 0 {
		t.Errorf("%d bodies and %d dead events, want %d and 0", n, r.dead(t), events)
	}
}
