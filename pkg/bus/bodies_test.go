package bus_test

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/event"
	"loom.internal/pkg/testkit"
)

const bodiesStream = "OBJ_LOOM_BODIES"

// large is an event with a request of n bytes.
func large(n int) *event.TraceEvent {
	return testkit.Event("acme", time.Now(), func(e *event.TraceEvent) { e.RequestBody = testkit.Body(n) })
}

// bucket is a broker's bucket of bodies.
type bucket struct {
	*bus.Bodies
	js jetstream.JetStream
	b  *testkit.Broker
}

func newBucket(t *testing.T, maxBytes int64) *bucket {
	t.Helper()
	b := testkit.NATS(t)
	nc, js := ready(t, b)
	layout := bus.DefaultLayout()
	layout.MaxBodies = maxBytes
	if err := bus.Ensure(t.Context(), js, layout); err != nil {
		t.Fatal(err)
	}
	bodies, err := bus.NewBodies(nc)
	if err != nil {
		t.Fatal(err)
	}
	return &bucket{bodies, js, b}
}

// put stores the request of e and takes it out of e.
func (b *bucket) put(t *testing.T, e *event.TraceEvent) (ciphertext []byte) {
	t.Helper()
	body := e.Bodies()[0]
	if err := b.Put(t.Context(), body); err != nil {
		t.Fatal(err)
	}
	ciphertext = body.GetCiphertext()
	body.Detach()
	return ciphertext
}

// messages is how many the bucket's stream has ever taken, and has now.
func (b *bucket) messages(t *testing.T) (ever, now uint64) {
	t.Helper()
	stream, err := b.js.Stream(t.Context(), bodiesStream)
	if err != nil {
		t.Fatal(err)
	}
	state := stream.CachedInfo().State
	return state.LastSeq, state.Msgs
}

func TestBodiesOfAllSizes(t *testing.T) {
	t.Parallel()
	b := newBucket(t, 1<<30)
	for _, n := range []int{16, 256<<10 - 1, 256 << 10, 256<<10 + 1, event.MaxBody + 16} {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			t.Parallel()
			e := large(n)
			want := b.put(t, e)
			if err := b.Attach(t.Context(), e); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(e.GetRequestBody().GetCiphertext(), want) || e.GetRequestBody().GetDetached() {
				t.Error("another body came back")
			}
		})
	}
}

// What is put is an object for any client of the object store, and the other way round.
func TestBodiesAreObjects(t *testing.T) {
	t.Parallel()
	b := newBucket(t, 1<<30)
	store, err := b.js.ObjectStore(t.Context(), bus.BucketBodies)
	if err != nil {
		t.Fatal(err)
	}
	e := large(1 << 20)
	want := b.put(t, e)
	name := e.Bodies()[0].Object
	got, err := store.GetBytes(t.Context(), name)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v; want the %d of the body", len(got), err, len(want))
	}
	if list, err := store.List(t.Context()); err != nil || len(list) != 1 || list[0].Name != name {
		t.Errorf("list: %v, %v", list, err)
	}
	if err := store.Delete(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	if err := b.Attach(t.Context(), e); !errors.Is(err, bus.ErrNoBody) {
		t.Errorf("deleted: %v, want ErrNoBody", err)
	}
	// Only an event of this stream can be at fault for it.
	if err := b.Fetch(t.Context(), e, time.Now()); !errors.Is(err, bus.ErrNoBody) {
		t.Errorf("deleted, of this stream: %v, want ErrNoBody", err)
	}
	if err := b.Fetch(t.Context(), e, time.Now().Add(-time.Hour)); err == nil || errors.Is(err, bus.ErrNoBody) {
		t.Errorf("deleted, of a stream before: %v, want an error that is not ErrNoBody", err)
	}
	if _, err := store.PutBytes(t.Context(), name, want); err != nil {
		t.Fatal(err)
	}
	if err := b.Attach(t.Context(), e); err != nil || !bytes.Equal(e.GetRequestBody().GetCiphertext(), want) {
		t.Errorf("put back by another client: %v", err)
	}
}

func TestBodyIsPutOnce(t *testing.T) {
	t.Parallel()
	b := newBucket(t, 1<<30)
	e := large(1 << 20)
	want := b.put(t, e)
	ever, _ := b.messages(t)
	e.RequestBody.Attach(want)
	b.put(t, e)
	if again, now := b.messages(t); again != ever+1 || now != ever {
		t.Errorf("%d messages more for an object that was there, want what describes it, and %d instead of %d", again-ever, now, ever)
	}
	// One that has lost a piece is put anew, without what is left of it.
	stream, err := b.js.Stream(t.Context(), bodiesStream)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.DeleteMsg(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	if err := b.Attach(t.Context(), e); !errors.Is(err, bus.ErrNoBody) || !strings.Contains(err.Error(), "lacks chunk") {
		t.Errorf("an object with a hole: %v, want ErrNoBody", err)
	}
	e.RequestBody.Attach(want)
	b.put(t, e)
	if err := b.Attach(t.Context(), e); err != nil {
		t.Error(err)
	}
	if _, now := b.messages(t); now != ever {
		t.Errorf("%d messages for one object, want %d", now, ever)
	}
}

func TestBodyThatIsAnother(t *testing.T) {
	t.Parallel()
	b := newBucket(t, 1<<30)
	e := large(1 << 20)
	want := b.put(t, e)
	store, err := b.js.ObjectStore(t.Context(), bus.BucketBodies)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"digest": make([]byte, len(want)), "at most": make([]byte, 2<<20)} {
		if _, err := store.PutBytes(t.Context(), e.Bodies()[0].Object, content); err != nil {
			t.Fatal(err)
		}
		if err := b.Attach(t.Context(), e); !errors.Is(err, bus.ErrNoBody) || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want ErrNoBody for its %s", err, name)
		}
	}
	// The gateway, asked to put it again, puts the right one.
	e.RequestBody.Attach(want)
	b.put(t, e)
	if err := b.Attach(t.Context(), e); err != nil {
		t.Error(err)
	}
}

// A full bucket takes the next body and lets the oldest go.
func TestFullBucketLetsTheOldestGo(t *testing.T) {
	t.Parallel()
	b := newBucket(t, 8<<20)
	var events []*event.TraceEvent
	for range 12 {
		e := large(1 << 20)
		b.put(t, e)
		events = append(events, e)
	}
	if err := b.Attach(t.Context(), events[len(events)-1]); err != nil {
		t.Errorf("the newest: %v", err)
	}
	if err := b.Attach(t.Context(), events[0]); !errors.Is(err, bus.ErrNoBody) {
		t.Errorf("the oldest: %v, want ErrNoBody", err)
	}
}

func TestBodyThatCanNeverBeTaken(t *testing.T) {
	t.Parallel()
	b := newBucket(t, 1<<20)
	if err := b.Put(t.Context(), large(1 << 20).Bodies()[0]); !errors.Is(err, bus.ErrBodyTooLarge) {
		t.Errorf("larger than the bucket: %v, want ErrBodyTooLarge", err)
	}
	stream, err := b.js.Stream(t.Context(), bodiesStream)
	if err != nil {
		t.Fatal(err)
	}
	c := stream.CachedInfo().Config
	c.MaxMsgSize = 100 << 10
	if _, err := b.js.UpdateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if err := b.Put(t.Context(), large(300 << 10).Bodies()[0]); !errors.Is(err, bus.ErrBodyTooLarge) {
		t.Errorf("chunks larger than a message: %v, want ErrBodyTooLarge", err)
	}
}

// A broker that does not answer is no missing body, nor is one without the bucket.
func TestBodiesWhileTheBrokerIsAway(t *testing.T) {
	t.Parallel()
	b := newBucket(t, 1<<30)
	e := large(1 << 20)
	want := b.put(t, e)
	b.b.Stop()
	again := large(1 << 20)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if err := b.Attach(ctx, e); err == nil || errors.Is(err, bus.ErrNoBody) {
		t.Errorf("get: %v, want an error that is not ErrNoBody", err)
	}
	if err := b.Put(ctx, again.Bodies()[0]); err == nil || errors.Is(err, bus.ErrBodyTooLarge) {
		t.Errorf("put: %v, want an error that is not ErrBodyTooLarge", err)
	}
	b.b.Start(t)
	testkit.Await(t, "the body after an outage", func(ctx context.Context) bool { return b.Attach(ctx, e) == nil })
	if !bytes.Equal(e.GetRequestBody().GetCiphertext(), want) {
		t.Error("another body came back")
	}
	if err := b.js.DeleteStream(t.Context(), bodiesStream); err != nil {
		t.Fatal(err)
	}
	e.RequestBody.Detach()
	if err := b.Attach(t.Context(), e); err == nil || errors.Is(err, bus.ErrNoBody) {
		t.Errorf("without the bucket: %v, want an error that is not ErrNoBody", err)
	}
}
