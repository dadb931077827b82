package gateway_test

import (
	"context"
	"encoding/base64"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/envelope"
	"loom.internal/pkg/event"
	"loom.internal/services/gateway"
)

// wordy is a request of about n bytes.
func wordy(n int) string {
	return `{"model":"gpt-4o","messages":[{"role":"user","content":"` + noise(n, 1) + `"}]}`
}

// long is a whole answer of about n bytes.
func long(n int) string { return strings.Replace(whole, "hello", noise(n, 2), 1) }

// noise is text of n letters and digits that compression shortens by a quarter only.
func noise(n int, seed uint64) string {
	b := make([]byte, n/4*3+3)
	r := rand.New(rand.NewPCG(seed, 0))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return base64.RawURLEncoding.EncodeToString(b)[:n]
}

// objects is the number of the first message in the bucket of bodies, and how many there are.
func (w *world) objects() [2]uint64 {
	w.tb.Helper()
	stream, err := w.js.Stream(context.Background(), "OBJ_"+bus.BucketBodies)
	w.must(err)
	state := stream.CachedInfo().State
	return [2]uint64{state.FirstSeq, state.Msgs} // a body that is put anew takes its first piece along
}

// What is too large for an event goes beside it, the largest body first, and is whole.
func TestLargeBodiesGoBesideTheEvent(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		request, response                 int
		requestDetached, responseDetached bool
	}{
		"both small":          {100 << 10, 300 << 10, false, false},
		"a large answer":      {100 << 10, 5 << 20, false, true},
		"a large request":     {3 << 20, 100 << 10, true, false},
		"together too large":  {300 << 10, 500 << 10, false, true},
		"both large":          {2 << 20, 1 << 20, true, true},
		"both of the largest": {16<<20 - 100, 16<<20 - 1<<10, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			request, response := wordy(c.request), long(c.response)
			w := start(t, setup{upstream: respond(t, 200, "application/json", response).URL})
			if a := w.chat(request); a.status != 200 || a.body != response {
				t.Fatalf("answer: %d with %d bytes, want %d", a.status, len(a.body), len(response))
			}
			e := w.trace()
			equal(t, "request detached", e.GetRequestBody().GetDetached(), c.requestDetached)
			equal(t, "response detached", e.GetResponseBody().GetDetached(), c.responseDetached)
			if n := proto.Size(e); n > event.MaxSize/2 {
				t.Errorf("the event has %d bytes", n)
			}
			if w.open(e, envelope.FieldRequest) != request || w.open(e, envelope.FieldResponse) != response {
				t.Error("the bodies are others than were sent")
			}
			equal(t, "truncated", e.GetRequestBody().GetTruncated() || e.GetResponseBody().GetTruncated(), false)
		})
	}
}

func TestLargeStreamIsRecordedWhole(t *testing.T) {
	t.Parallel()
	var chunks []string
	text := noise(4<<20, 3)
	for piece := range slices.Chunk([]byte(text), 7<<10) {
		chunks = append(chunks, chunk(string(piece)))
	}
	w := start(t, setup{upstream: play(t, append(chunks, last, done)...).URL})
	a := w.chat(askedStream)
	equal(t, "status", a.status, 200)
	equal(t, "answer", strings.Count(a.body, "\n\n"), len(chunks)+2)
	e := w.trace()
	equal(t, "detached", e.GetResponseBody().GetDetached(), true)
	equal(t, "truncated", e.GetResponseBody().GetTruncated(), false)
	equal(t, "recorded", strings.Contains(w.open(e, envelope.FieldResponse), text), true)
}

// However often a trace is sent, its body is one object and it is one trace.
func TestBodyIsPutOnceHoweverOftenItIsSent(t *testing.T) {
	t.Parallel()
	response := long(2 << 20)
	w := start(t, setup{
		upstream: respond(t, 200, "application/json", response).URL,
		change:   func(c *gateway.Config) { c.ResendAfter = time.Second },
	})
	equal(t, "status", w.chat(asked).status, 200)
	first := w.trace()
	put := w.objects()
	// By a gateway that does not know what the one before it has done.
	w.must(w.stop())
	w.start(func(c *gateway.Config) { c.ResendAfter = time.Second })
	w.eventually("sent again", func() bool { return w.metric("loom_gateway_publish_resends_total") > 0 })
	equal(t, "trace", w.trace().GetTraceId(), first.GetTraceId())
	equal(t, "first message in the bucket, and how many", w.objects(), put)
	// And to a broker that has lost the events.
	w.must(w.js.DeleteStream(t.Context(), bus.StreamTrace))
	w.must(bus.Ensure(t.Context(), w.js, bus.DefaultLayout()))
	again := w.trace()
	equal(t, "sent again", again.GetTraceId(), first.GetTraceId())
	equal(t, "first message in the bucket, and how many", w.objects(), put)
	equal(t, "recorded", w.open(again, envelope.FieldResponse), response)
	// And to one that has lost the body too.
	w.must(w.js.DeleteStream(t.Context(), bus.StreamTrace))
	w.must(w.js.DeleteStream(t.Context(), "OBJ_"+bus.BucketBodies))
	w.must(bus.Ensure(t.Context(), w.js, bus.DefaultLayout()))
	equal(t, "recorded", w.open(w.trace(), envelope.FieldResponse), response)
	equal(t, "first message in the bucket, and how many", w.objects(), put)
}

// While a body cannot be put its trace waits, and those behind it, in their order; the
// requests do not.
func TestTracesWaitForTheirBodies(t *testing.T) {
	t.Parallel()
	up := respond(t, 200, "application/json", long(1<<20))
	w := start(t, setup{upstream: up.URL})
	w.must(w.js.DeleteStream(t.Context(), "OBJ_"+bus.BucketBodies))
	for _, body := range []string{asked, demoChat, demoChat} {
		equal(t, "status", w.chat(body).status, 200)
	}
	w.eventually("tried", func() bool { return w.metric("loom_gateway_publish_retries_total") > 1 })
	stream, err := w.js.Stream(t.Context(), bus.StreamTrace)
	w.must(err)
	equal(t, "events before the body", stream.CachedInfo().State.Msgs, 0)
	w.broker.Stop()
	equal(t, "status", w.chat(demoChat).status, 200)
	w.broker.Start(t)
	w.eventually("the bucket", func() bool { return bus.Ensure(t.Context(), w.js, bus.DefaultLayout()) == nil })
	events := w.traces(4)
	equal(t, "recorded", w.open(events[0], envelope.FieldResponse), long(1<<20))
	msg, err := stream.GetMsg(t.Context(), 1)
	w.must(err)
	equal(t, "first in the stream", msg.Header.Get(jetstream.MsgIDHeader), events[0].GetTraceId())
}

// What the bucket can never hold holds up nobody: the trace goes without it, and this is
// counted.
func TestBodyLargerThanTheBucket(t *testing.T) {
	t.Parallel()
	w := start(t, setup{upstream: respond(t, 200, "application/json", long(3<<20)).URL})
	layout := bus.DefaultLayout()
	layout.MaxBodies = 2 << 20
	w.must(bus.Ensure(t.Context(), w.js, layout))
	equal(t, "status", w.chat(wordy(700<<10)).status, 200)
	equal(t, "status", w.chat(demoChat).status, 200)
	events := w.traces(2)
	if events[0].GetResponseBody() != nil || !events[0].GetRequestBody().GetDetached() {
		t.Errorf("response %v, request detached %v", events[0].GetResponseBody() != nil, events[0].GetRequestBody().GetDetached())
	}
	equal(t, "dropped", w.metric("loom_gateway_publish_bodies_dropped_total"), 1)
	equal(t, "put", w.metric("loom_gateway_publish_bodies_total"), 1)
}
