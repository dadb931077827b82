package testkit

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/event"
)

const (
	pollEvery = 20 * time.Millisecond
	// More than a consumer has to acknowledge: what it lost in a burst comes again then.
	pollLimit = time.Minute
)

var published atomic.Int64

// Event is a valid event of tenant that started at at, to the microsecond: a streamed
// completion of the demo provider with usage and two bodies of noise. Each call makes
// a new trace; edit changes it.
func Event(tenant string, at time.Time, edit ...func(*event.TraceEvent)) *event.TraceEvent {
	e := &event.TraceEvent{
		TraceId: uuid.Must(uuid.NewV7()).String(), TenantId: tenant, KeyId: "key00001",
		Producer: &event.Producer{Id: "gw-test", Epoch: 1, Seq: uint64(published.Add(1))}, //nolint:gosec // counts from 1
		Endpoint: "chat.completions", Route: "loom-*", ModelRequested: "loom-demo", ModelUpstream: "loom-demo", ModelAnswered: "loom-demo",
		Provider: "demo", ProviderKind: "demo", Stream: true,
		Attempts: []*event.Attempt{{Provider: "demo", Model: "loom-demo", Status: 200, DurationUs: 41_000}},
		Outcome:  event.Outcome_OUTCOME_COMPLETED, HttpStatus: 200, StartedAtUs: at.UnixMicro(), DurationUs: 42_000,
		TtftUs: new(int64(7_000)), GapP50Us: new(int64(900)), GapP99Us: new(int64(2_000)),
		RequestBytes: 120, ResponseBytes: 480, Chunks: 9, FinishReasons: []string{"stop"},
		UsageRaw:    []byte(`{"prompt_tokens":12,"completion_tokens":7,"total_tokens":19}`),
		UsageSource: event.UsageSource_USAGE_SOURCE_PROVIDER, ContentMode: event.ContentMode_CONTENT_MODE_FULL,
		RequestBody: sealed("request", 64), ResponseBody: sealed("response", 256),
	}
	for _, f := range edit {
		f(e)
	}
	return e
}

func sealed(noise string, n int) *event.SealedBody {
	text := make([]byte, n)
	for i := range text {
		text[i] = noise[i%len(noise)] ^ byte(i)
	}
	sum := sha256.Sum256(text)
	return &event.SealedBody{
		Ciphertext: text, Iv: sum[:12], Suite: 1, KeyVersion: 1, PlainLength: int64(n) - 16, Sha256: sum[:],
	}
}

// Body is a sealed body with a ciphertext of n bytes of noise.
func Body(n int) *event.SealedBody {
	text := make([]byte, n)
	_, _ = rand.Read(text) // never fails
	sum := sha256.Sum256(text)
	return &event.SealedBody{
		Ciphertext: text, Iv: sum[:12], Suite: 1, KeyVersion: 1, PlainLength: int64(n) - 16, Sha256: sum[:],
	}
}

// Detach puts the bodies of e into the object store, as a gateway does, and leaves e
// without them.
func Detach(tb testing.TB, nc *nats.Conn, e *event.TraceEvent) {
	tb.Helper()
	bodies, err := bus.NewBodies(nc)
	if err != nil {
		tb.Fatal(err)
	}
	for _, b := range e.Bodies() {
		if err := bodies.Put(tb.Context(), b); err != nil {
			tb.Fatal(err)
		}
		b.Detach()
	}
}

// Stream makes Loom's streams and consumers on the broker.
func (b *Broker) Stream(tb testing.TB) jetstream.JetStream {
	tb.Helper()
	js, err := jetstream.New(b.Conn(tb))
	if err != nil {
		tb.Fatal(err)
	}
	layout := bus.DefaultLayout()
	layout.MaxBytes, layout.MaxBodies = 1<<30, 1<<30
	if err := bus.Ensure(tb.Context(), js, layout); err != nil {
		tb.Fatal(err)
	}
	return js
}

// Publish puts events into the stream as they are, one after the other, each under a
// dedupe id of its own: an event given twice is stored twice.
func Publish(tb testing.TB, js jetstream.JetStream, events ...*event.TraceEvent) {
	tb.Helper()
	for _, e := range events {
		data, err := event.Marshal(e)
		if err != nil {
			tb.Fatal(err)
		}
		PublishRaw(tb, js, event.Subject(e), data)
	}
}

// PublishRaw puts any bytes into the stream.
func PublishRaw(tb testing.TB, js jetstream.JetStream, subject string, data []byte) {
	tb.Helper()
	msg := nats.NewMsg(subject)
	msg.Data = data
	msg.Header.Set(nats.MsgIdHdr, "test-"+strconv.FormatInt(published.Add(1), 10))
	if _, err := js.PublishMsg(tb.Context(), msg); err != nil {
		tb.Fatal(err)
	}
}

// Settled waits until durable has acked every event the stream holds now.
func Settled(tb testing.TB, js jetstream.JetStream, durable string) {
	tb.Helper()
	stream, err := js.Stream(tb.Context(), bus.StreamTrace)
	if err != nil {
		tb.Fatal(err)
	}
	last := stream.CachedInfo().State.LastSeq
	// Not by the pending count: a consumer hears of an event only after its publisher.
	Await(tb, "every event acked", func(ctx context.Context) bool {
		consumer, err := stream.Consumer(ctx, durable)
		return err == nil && consumer.CachedInfo().AckFloor.Stream >= last
	})
}

// Await polls until done says so, and fails the test when that takes too long.
func Await(tb testing.TB, what string, done func(context.Context) bool) {
	tb.Helper()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	limit := time.NewTimer(pollLimit)
	defer limit.Stop()
	for !done(tb.Context()) {
		select {
		case <-tick.C:
		case <-limit.C:
			tb.Fatalf("waited %v in vain: %s", pollLimit, what)
		}
	}
}
