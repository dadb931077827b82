package publish_test

import (
	"errors"
	"strconv"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/event"
	"loom.internal/pkg/testkit"
	"loom.internal/services/gateway/internal/publish"
)

func onNATS(t *testing.T) (*publish.NATS, jetstream.JetStream) {
	t.Helper()
	b := testkit.NATS(t)
	js := b.Stream(t)
	broker, err := publish.OnNATS(b.Conn(t))
	if err != nil {
		t.Fatal(err)
	}
	return broker, js
}

// A message that is larger than the broker takes does not hold up those beside it.
func TestTooLargeForTheBroker(t *testing.T) {
	t.Parallel()
	broker, _ := onNATS(t)
	var msgs []*nats.Msg
	for i, size := range []int{10, int(broker.MaxPayload()) + 1, 10} {
		m := &nats.Msg{Subject: event.SubjectPrefix + "acme.completed", Header: nats.Header{}, Data: make([]byte, size)}
		m.Header.Set(jetstream.MsgIDHeader, strconv.Itoa(i))
		msgs = append(msgs, m)
	}
	if err := broker.PublishBatch(t.Context(), msgs); !errors.Is(err, publish.ErrRefused) || !errors.Is(err, nats.ErrMaxPayload) {
		t.Errorf("batch: got %v, want refused for its size", err)
	}
	left, err := broker.Publish(t.Context(), msgs)
	if len(left) != 1 || left[0] != msgs[1] || !errors.Is(err, nats.ErrMaxPayload) {
		t.Errorf("one by one: %d left, %v", len(left), err)
	}
}

// Each life is read for itself: what is wrong with one, or not there, does not hide others.
func TestWatermarksLifeByLife(t *testing.T) {
	t.Parallel()
	broker, js := onNATS(t)
	kv, err := js.KeyValue(t.Context(), bus.BucketWatermark)
	if err != nil {
		t.Fatal(err)
	}
	life := func(n int64) event.Life { return event.Life{ProducerID: "gw", Epoch: n} }
	put := func(consumer string, n int64, value string) {
		t.Helper()
		if _, err := kv.PutString(t.Context(), bus.WatermarkKey(consumer, life(n)), value); err != nil {
			t.Fatal(err)
		}
	}
	put(bus.ConsumerRecorder, 1, "no number")
	put(bus.ConsumerRecorder, 2, "9")
	put(bus.ConsumerRecorder, 3, "9")
	put(bus.ConsumerAnalytics, 3, "7")
	marks, err := broker.Watermarks(t.Context(), []event.Life{life(1), life(2), life(3)})
	if err == nil || len(marks) != 1 || marks[life(3)] != 7 {
		t.Errorf("got %v, %v", marks, err)
	}
	made, err := broker.Made(t.Context())
	if err != nil || made.IsZero() {
		t.Errorf("made %v, %v", made, err)
	}
	if err := broker.Gone(t.Context(), life(3), 5); err != nil {
		t.Fatal(err)
	}
	if entry, err := kv.Get(t.Context(), bus.GoneKey(life(3))); err != nil || string(entry.Value()) != "5" {
		t.Errorf("gone: %v, %v", entry, err)
	}
}
