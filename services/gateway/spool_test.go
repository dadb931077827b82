package gateway_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/event"
	"loom.internal/services/gateway"
	"loom.internal/services/gateway/internal/record"
)

// metric is the value of a gauge or counter without labels.
func (w *world) metric(name string) float64 {
	w.tb.Helper()
	families, err := w.metrics.Gather()
	w.must(err)
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue() + f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	w.tb.Fatalf("no metric %s", name)
	return 0
}

// confirm says, as a recorder would, that Postgres has the events of e's producer up to e.
func (w *world) confirm(e *event.TraceEvent) {
	w.tb.Helper()
	kv, err := w.js.KeyValue(context.Background(), bus.BucketWatermark)
	w.must(err)
	p := e.Place()
	for _, consumer := range bus.Consumers() {
		_, err = kv.PutString(context.Background(), bus.WatermarkKey(consumer, p.Life()), strconv.FormatInt(p.Seq, 10))
		w.must(err)
	}
}

// What the recorder has and analytics has not is not let go of: a broker that lost it
// now would leave a trace without a cost.
func TestSpoolKeepsWhatOneConsumerLacks(t *testing.T) {
	t.Parallel()
	w := start(t, setup{change: func(c *gateway.Config) { c.ResendAfter = time.Second }})
	equal(t, "status", w.chat(demoChat).status, 200)
	e := w.trace()
	kv, err := w.js.KeyValue(t.Context(), bus.BucketWatermark)
	w.must(err)
	_, err = kv.PutString(t.Context(), bus.WatermarkKey(bus.ConsumerRecorder, e.Place().Life()), strconv.FormatInt(e.Place().Seq, 10))
	w.must(err)
	w.must(w.js.DeleteStream(t.Context(), bus.StreamTrace))
	w.must(bus.Ensure(t.Context(), w.js, bus.DefaultLayout()))
	equal(t, "sent again", w.trace().GetTraceId(), e.GetTraceId())
	equal(t, "kept", w.metric("loom_gateway_spool_events"), 1)
	w.confirm(e)
	w.eventually("gone", func() bool { return w.metric("loom_gateway_spool_events") == 0 })
}

// What a gateway could not publish, the next one on its spool does: the same producer,
// the same numbers.
func TestTracesSurviveARestartWithoutABroker(t *testing.T) {
	t.Parallel()
	w := start(t, setup{change: func(c *gateway.Config) { c.Drain = 100 * time.Millisecond }})
	equal(t, "before", w.chat(demoChat).status, 200)
	w.traces(1)
	w.broker.Stop()
	for range 5 {
		equal(t, "known key", w.chat(demoChat).status, 200)
	}
	w.must(w.stop())
	w.broker.Start(t)
	w.start(nil)
	equal(t, "after", w.chat(demoChat).status, 200)
	events := w.traces(7)
	places := map[event.Place]bool{}
	for _, e := range events {
		places[e.Place()] = true
		equal(t, "producer", e.Place().ProducerID, events[0].Place().ProducerID)
	}
	equal(t, "places", len(places), 7)
}

func TestSpoolLetsGoOfWhatPostgresHas(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	for range 3 {
		equal(t, "status", w.chat(demoChat).status, 200)
	}
	events := w.traces(3)
	equal(t, "kept", w.metric("loom_gateway_spool_events"), 3)
	w.confirm(events[1])
	w.eventually("two gone", func() bool { return w.metric("loom_gateway_spool_events") == 1 })
	w.confirm(events[2])
	w.eventually("all gone", func() bool { return w.metric("loom_gateway_spool_events") == 0 })
}

// A broker that lost its disk gets the events again; what Postgres has is not sent.
func TestTracesSurviveABrokerThatLostItsDisk(t *testing.T) {
	t.Parallel()
	w := start(t, setup{change: func(c *gateway.Config) { c.ResendAfter = time.Second }})
	for range 3 {
		equal(t, "status", w.chat(demoChat).status, 200)
	}
	events := w.traces(3)
	w.confirm(events[0])
	w.eventually("one confirmed", func() bool { return w.metric("loom_gateway_spool_events") == 2 })
	w.must(w.js.DeleteStream(t.Context(), bus.StreamTrace))
	w.must(bus.Ensure(t.Context(), w.js, bus.DefaultLayout()))
	again := w.traces(2)
	equal(t, "first", again[0].GetTraceId(), events[1].GetTraceId())
	equal(t, "second", again[1].GetTraceId(), events[2].GetTraceId())
}

// fillSpool sends requests until the spool has no room for another.
func (w *world) fillSpool(refused func(answer) bool) {
	w.tb.Helper()
	body := `{"model":"loom-demo","messages":[{"role":"user","content":"` + noise(500_000, 1) + `"}]}`
	w.eventually("full", func() bool { return refused(w.chat(body)) })
}

func TestFullSpoolRefuses(t *testing.T) {
	t.Parallel()
	w := start(t, setup{change: func(c *gateway.Config) { c.SpoolMaxBytes, c.CaptureLimit = 16<<20, 512<<10 }})
	w.fillSpool(func(a answer) bool { return a.status == http.StatusServiceUnavailable })
	a := w.chat(`{"model":"loom-demo","messages":[{"role":"user","content":"` + noise(500_000, 1) + `"}]}`)
	w.envelope(a, "server_error", "provider_unavailable")
	equal(t, "retry-after", a.header.Get("Retry-After"), "1")
	// When Postgres has what is kept, there is room again.
	stream, err := w.js.Stream(t.Context(), bus.StreamTrace)
	w.must(err)
	last, err := stream.GetLastMsgForSubject(t.Context(), event.SubjectAll)
	w.must(err)
	e, err := event.Decode(last.Subject, last.Data)
	w.must(err)
	w.confirm(e)
	w.eventually("room again", func() bool { return w.chat(demoChat).status == 200 })
}

func TestFullSpoolServesByBestEffort(t *testing.T) {
	t.Parallel()
	w := start(t, setup{change: func(c *gateway.Config) {
		c.SpoolMaxBytes, c.CaptureLimit, c.TracePolicy = 16<<20, 512<<10, record.BestEffort
	}})
	w.fillSpool(func(a answer) bool {
		equal(t, "status", a.status, 200)
		return w.metric("loom_untraced_total") > 0
	})
}

// An event whose bytes were damaged on disk does not hold up those behind it: its
// number is published, for the recorder to count.
func TestDamagedTraceLeavesItsNumber(t *testing.T) {
	t.Parallel()
	w := start(t, setup{change: func(c *gateway.Config) { c.Drain = 100 * time.Millisecond }})
	equal(t, "status", w.chat(demoChat).status, 200)
	first := w.trace()
	w.broker.Stop()
	for range 3 {
		equal(t, "status", w.chat(demoChat).status, 200)
	}
	w.must(w.stop())
	segments, err := filepath.Glob(filepath.Join(w.spool, "gw-*", "*.seg"))
	w.must(err)
	data, err := os.ReadFile(segments[0])
	w.must(err)
	// The middle of the four ends: each holds its bodies, so most bytes are of ends.
	data[len(data)/2] ^= 1
	w.must(os.WriteFile(segments[0], data, 0o600))
	w.broker.Start(t)
	w.start(nil)
	stream, err := w.js.Stream(t.Context(), bus.StreamTrace)
	w.must(err)
	var lost *jetstream.RawStreamMsg
	w.eventually("the number of the lost one published", func() bool {
		lost, err = stream.GetLastMsgForSubject(t.Context(), "loom.trace.v1._.lost")
		return err == nil
	})
	place, ok := event.ParsePlace(lost.Header.Get(event.HeaderProducer), lost.Header.Get(event.HeaderSeq))
	if !ok || place.ProducerID != first.Place().ProducerID || place.Epoch != first.Place().Epoch || place.Seq < 1 || place.Seq > 4 {
		t.Errorf("place of the lost one: %+v, %v", place, ok)
	}
	if _, err := event.Decode(lost.Subject, lost.Data); err == nil {
		t.Error("the message would be taken for a trace")
	}
}
