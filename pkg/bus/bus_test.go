package bus_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// ready is a connection to a broker that has Loom's streams.
func ready(t *testing.T, b *testkit.Broker) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	nc, err := bus.Connect(b.URL, "test", testkit.Log(t), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if err := bus.EnsureRetry(t.Context(), js, bus.DefaultLayout(), testkit.Log(t)); err != nil {
		t.Fatal(err)
	}
	return nc, js
}

func publish(t *testing.T, js jetstream.JetStream, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if _, err := js.Publish(t.Context(), "loom.trace.v1.acme.completed", []byte(fmt.Sprint(i)), jetstream.WithMsgID(fmt.Sprint("id-", i))); err != nil {
			t.Fatal(err)
		}
	}
}

// sink is a handler that remembers what it was given, and fails as told.
type sink struct {
	mu     sync.Mutex
	seen   map[string]int
	fail   func(batch []jetstream.Msg) error
	change chan struct{}
}

func newSink() *sink { return &sink{seen: map[string]int{}, change: make(chan struct{}, 1)} }

func (s *sink) handle(_ context.Context, batch []jetstream.Msg) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		if err := s.fail(batch); err != nil {
			return err
		}
	}
	for _, m := range batch {
		s.seen[string(m.Data())]++
	}
	select {
	case s.change <- struct{}{}:
	default:
	}
	return nil
}

// wait blocks until n different messages were handled.
func (s *sink) wait(t *testing.T, n int) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	for {
		s.mu.Lock()
		got := len(s.seen)
		s.mu.Unlock()
		if got >= n {
			return
		}
		select {
		case <-s.change:
		case <-deadline.C:
			t.Fatalf("%d of %d messages handled", got, n)
		}
	}
}

// consume runs a consumer until the test or the returned function ends it.
func consume(t *testing.T, js jetstream.JetStream, s *sink) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- bus.Consume(ctx, js, bus.ConsumerRecorder, testkit.Log(t), s.handle) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Consume: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func ackPending(t *testing.T, js jetstream.JetStream) int {
	t.Helper()
	cons, err := js.Consumer(t.Context(), bus.StreamTrace, bus.ConsumerRecorder)
	if err != nil {
		t.Fatal(err)
	}
	info, err := cons.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return info.NumAckPending
}

func TestConsumeInBatches(t *testing.T) {
	t.Parallel()
	_, js := ready(t, testkit.NATS(t))
	publish(t, js, 0, 500)
	s := newSink()
	biggest := 0
	s.fail = func(batch []jetstream.Msg) error { biggest = max(biggest, len(batch)); return nil }
	stop := consume(t, js, s)
	s.wait(t, 500)
	stop()
	for id, n := range s.seen {
		if n != 1 {
			t.Errorf("message %s handled %d times", id, n)
		}
	}
	if biggest <= 1 || biggest > bus.BatchSize {
		t.Errorf("biggest batch %d, want more than one and at most %d", biggest, bus.BatchSize)
	}
	if n := ackPending(t, js); n != 0 {
		t.Errorf("%d messages handled and not acked", n)
	}
}

// A store that fails gets the same messages until it takes them.
func TestConsumeKeepsABatchThatFails(t *testing.T) {
	t.Parallel()
	_, js := ready(t, testkit.NATS(t))
	publish(t, js, 0, 10)
	s := newSink()
	failures := 3
	s.fail = func([]jetstream.Msg) error {
		if failures > 0 {
			failures--
			return errors.New("store away")
		}
		return nil
	}
	consume(t, js, s)
	s.wait(t, 10)
}

// What was not acked when a consumer died comes to the next one.
func TestConsumeEndsWhileTheStoreIsAway(t *testing.T) {
	t.Parallel()
	_, js := ready(t, testkit.NATS(t))
	publish(t, js, 0, 5)
	s := newSink()
	tried := make(chan struct{}, 100)
	s.fail = func([]jetstream.Msg) error { tried <- struct{}{}; return errors.New("store away") }
	stop := consume(t, js, s)
	<-tried
	stop() // returns although the batch was never stored
	// The next consumer need not wait until the first one's time is up.
	next := newSink()
	consume(t, js, next)
	from := time.Now()
	next.wait(t, 5)
	if d := time.Since(from); d > 10*time.Second {
		t.Errorf("the messages came again after %s", d)
	}
}

func TestConsumeSurvivesABrokerThatComesBack(t *testing.T) {
	t.Parallel()
	b := testkit.NATS(t)
	_, js := ready(t, b)
	s := newSink()
	consume(t, js, s)
	publish(t, js, 0, 5)
	s.wait(t, 5)
	b.Stop()
	b.Start(t)
	_, again := ready(t, b)
	publish(t, again, 5, 10)
	s.wait(t, 10)
}

func TestConsumeFindsItsConsumerAgain(t *testing.T) {
	t.Parallel()
	_, js := ready(t, testkit.NATS(t))
	s := newSink()
	consume(t, js, s)
	publish(t, js, 0, 1)
	s.wait(t, 1)
	if err := js.DeleteConsumer(t.Context(), bus.StreamTrace, bus.ConsumerRecorder); err != nil {
		t.Fatal(err)
	}
	if err := bus.Ensure(t.Context(), js, bus.DefaultLayout()); err != nil {
		t.Fatal(err)
	}
	publish(t, js, 1, 3)
	s.wait(t, 3)
}

// TestNoAckForAnotherStream has a broker count anew while a batch of the old stream is in
// hand: that is not taken for the events of the same numbers, which another consumer has
// and loses.
func TestNoAckForAnotherStream(t *testing.T) {
	t.Parallel()
	b := testkit.NATS(t)
	nc, js := ready(t, b)
	_, other := ready(t, b)
	first, inHand, release := newSink(), make(chan struct{}, 100), make(chan struct{})
	first.fail = func([]jetstream.Msg) error { inHand <- struct{}{}; <-release; return nil }
	consume(t, js, first)
	publish(t, js, 0, 3)
	<-inHand

	if err := other.DeleteStream(t.Context(), bus.StreamTrace); err != nil {
		t.Fatal(err)
	}
	if err := bus.Ensure(t.Context(), other, bus.DefaultLayout()); err != nil {
		t.Fatal(err)
	}
	second, tried := newSink(), make(chan struct{}, 100)
	second.fail = func([]jetstream.Msg) error { tried <- struct{}{}; return errors.New("store away") }
	stop := consume(t, other, second)
	publish(t, other, 10, 13)
	for ackPending(t, other) < 3 {
		<-tried
	}
	if err := nc.ForceReconnect(); err != nil {
		t.Fatal(err)
	}
	tick, deadline := time.NewTicker(10*time.Millisecond), time.After(20*time.Second)
	defer tick.Stop()
	for nc.Stats().Reconnects == 0 || !nc.IsConnected() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("no new connection")
		}
	}
	close(release)
	for range 50 {
		<-tick.C
		if got := ackPending(t, other); got != 3 {
			t.Fatalf("got %d events of the new stream not acknowledged, want all 3", got)
		}
	}
	stop()
	first.wait(t, 6)
}

func TestEnsureTwiceAndDedupe(t *testing.T) {
	t.Parallel()
	_, js := ready(t, testkit.NATS(t))
	if err := bus.Ensure(t.Context(), js, bus.DefaultLayout()); err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{false, true} {
		ack, err := js.Publish(t.Context(), "loom.trace.v1.acme.completed", nil, jetstream.WithMsgID("same"))
		if err != nil || ack.Duplicate != want {
			t.Errorf("publish %d: %+v, %v; want duplicate %v", i, ack, err, want)
		}
	}
}

// The live tail sees headers only: never a byte of an event.
func TestLiveTailCarriesNoBody(t *testing.T) {
	t.Parallel()
	nc, js := ready(t, testkit.NATS(t))
	sub, err := nc.SubscribeSync(bus.LivePrefix + ">")
	if err != nil {
		t.Fatal(err)
	}
	publish(t, js, 0, 1)
	msg, err := sub.NextMsg(5 * time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if len(msg.Data) != 0 || msg.Header.Get("Nats-Msg-Id") != "id-0" || msg.Subject != bus.LivePrefix+"acme.completed" {
		t.Errorf("%s: %d bytes, headers %v", msg.Subject, len(msg.Data), msg.Header)
	}
}

func TestPutNewerKeepsTheHighestRevision(t *testing.T) {
	t.Parallel()
	_, js := ready(t, testkit.NATS(t))
	kv, err := js.KeyValue(t.Context(), bus.BucketConfig)
	if err != nil {
		t.Fatal(err)
	}
	type value struct {
		Revision int64 `json:"revision"`
	}
	var wg sync.WaitGroup
	for i := range int64(20) {
		wg.Go(func() {
			if err := bus.PutNewer(t.Context(), kv, bus.KeyCatalog, 20-i, value{20 - i}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	entry, err := kv.Get(t.Context(), bus.KeyCatalog)
	if err != nil || string(entry.Value()) != `{"revision":20}` {
		t.Errorf("%v, %v; want revision 20", entry, err)
	}
	// What cannot be read is replaced.
	if _, err := kv.Put(t.Context(), bus.KeyCatalog, []byte("junk")); err != nil {
		t.Fatal(err)
	}
	if err := bus.PutNewer(t.Context(), kv, bus.KeyCatalog, 1, value{1}); err != nil {
		t.Fatal(err)
	}
}

func TestConnectWhileTheBrokerIsAway(t *testing.T) {
	t.Parallel()
	b := testkit.NATS(t)
	b.Stop()
	var buf safeBuffer
	nc, err := bus.Connect(b.URL, "test", slog.New(slog.NewTextHandler(&buf, nil)), nats.ReconnectWait(10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := bus.Ready(nc); err == nil {
		t.Error("ready without a broker")
	}
	if !strings.Contains(buf.String(), "NATS not reachable") {
		t.Errorf("log says %q", buf.String())
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- bus.EnsureRetry(t.Context(), js, bus.DefaultLayout(), testkit.Log(t)) }()
	b.Start(t)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := bus.Ready(nc); err != nil {
		t.Error(err)
	}
}

func TestRetryEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cause := errors.New("no luck")
	err := bus.Retry(ctx, testkit.Log(t), "again", func(context.Context) error { cancel(); return cause })
	if !errors.Is(err, cause) || !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want both the last failure and why it ended", err)
	}
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
