package dashboard_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/event"
	"loom.internal/pkg/testkit"
)

type pipelineState struct {
	FreshTo *time.Time `json:"fresh_to"`
	Bus     string
	Stream  *struct {
		Messages, Bytes int64
		FirstAt         *time.Time `json:"first_at"`
	}
	Consumers []struct {
		Name                                 string
		Pending, Unacknowledged, Redelivered *int64
		OldestAt                             *time.Time `json:"oldest_at"`
		Dead                                 int64
	}
	Producers []producerState
}

type producerState struct {
	ID                           string
	Numbered                     *int64
	Recorded, Accounted, Missing int64
}

func (r *rig) pipeline(t *testing.T) (s pipelineState) {
	t.Helper()
	r.get(t, r.admin, "/api/v1/admin/pipeline", &s)
	return s
}

func (r *rig) freshTo(t *testing.T) *time.Time {
	t.Helper()
	var s summary
	r.get(t, r.acme, "/api/v1/summary", &s)
	return s.FreshTo
}

func TestPipeline(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if got := r.pipeline(t); got.Bus != "up" || got.FreshTo == nil || got.Stream.Messages != 0 || got.Stream.FirstAt != nil || len(got.Producers) != 0 {
		t.Errorf("of nothing: got %+v", got)
	}
	testkit.Await(t, "all fresh", func(context.Context) bool { return r.freshTo(t) != nil })

	published := time.Now()
	testkit.Publish(t, r.js, testkit.Event("acme", published))
	r.died(t, "analytics", testkit.Event("acme", published))
	r.exec(t, `INSERT INTO producers (producer_id, epoch, recorded) VALUES ('gw-1', 7, '{[1,3),[4,6)}'), ('gw-2', 7, '{[1,3)}')`)
	r.exec(t, `INSERT INTO producers (producer_id, epoch, recorded, updated_at) VALUES ('gw-old', 1, '{[1,3)}', now() - interval '2 days')`)
	r.exec(t, `INSERT INTO producers_accounted (producer_id, epoch, recorded) VALUES ('gw-1', 7, '{[1,2)}')`)
	words := map[event.Life]bus.Numbered{{ProducerID: "gw-1", Epoch: 7}: {Highest: 9, Held: 4}, {ProducerID: "gw-new", Epoch: 8}: {Highest: 1, Held: 1}}
	if err := bus.PutNumbered(t.Context(), r.js, words); err != nil {
		t.Fatal(err)
	}
	got := r.pipeline(t)
	if got.Stream.Messages != 1 || got.Stream.Bytes == 0 || got.Stream.FirstAt == nil {
		t.Errorf("stream: got %+v", got.Stream)
	}
	for i, name := range []string{"recorder", "analytics"} {
		c := got.Consumers[i]
		if c.Name != name || *c.Pending != 1 || *c.Unacknowledged != 0 || *c.Redelivered != 0 || !c.OldestAt.Equal(*got.FreshTo) || c.Dead != int64(i) {
			t.Errorf("%s: got %+v, fresh to %s", name, c, got.FreshTo)
		}
	}
	want := []producerState{
		{ID: "gw-1", Numbered: new(int64(9)), Recorded: 2, Accounted: 1, Missing: 1},
		{ID: "gw-2", Numbered: new(int64(2)), Recorded: 2},
		{ID: "gw-new", Numbered: new(int64(1))},
	}
	if diff := cmp.Diff(want, got.Producers); diff != "" {
		t.Errorf("producers (-want +got):\n%s", diff)
	}
	r.clock.forward(time.Second)
	testkit.Await(t, "the event to hold back what is fresh", func(context.Context) bool {
		to := r.freshTo(t)
		return to != nil && to.Equal(*got.FreshTo)
	})

	// One that has it does not help: both must.
	for i, name := range []string{bus.ConsumerRecorder, bus.ConsumerAnalytics} {
		consumer, err := r.js.Consumer(t.Context(), bus.StreamTrace, name)
		if err != nil {
			t.Fatal(err)
		}
		msg, err := consumer.Next(jetstream.FetchMaxWait(10 * time.Second))
		if err != nil {
			t.Fatal(err)
		}
		if c := r.pipeline(t).Consumers[i]; *c.Pending != 0 || *c.Unacknowledged != 1 || c.OldestAt == nil {
			t.Errorf("%s has it in hand: got %+v", name, c)
		}
		if err := msg.DoubleAck(t.Context()); err != nil {
			t.Fatal(err)
		}
		if to := r.pipeline(t).FreshTo; to.After(published.Add(time.Second)) != (i == 1) {
			t.Errorf("fresh to %s when %s has it", to, name)
		}
	}
}

// Without the bus the tables have their say, and nothing waits.
func TestPipelineWithoutTheBus(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	testkit.Await(t, "all fresh", func(context.Context) bool { return r.freshTo(t) != nil })
	r.exec(t, `INSERT INTO producers (producer_id, epoch, recorded) VALUES ('gw-1', 7, '{[1,3)}')`)
	r.died(t, "recorder", testkit.Event("acme", time.Now()))
	r.broker.Stop()
	testkit.Await(t, "the connection lost", func(context.Context) bool { return bus.Ready(r.nats) != nil })
	got := r.pipeline(t)
	if got.Bus != "away" || got.FreshTo != nil || got.Stream != nil || len(got.Consumers) != 2 || got.Consumers[0].Pending != nil ||
		got.Consumers[0].Dead != 1 || len(got.Producers) != 1 {
		t.Errorf("got %+v", got)
	}
	r.clock.forward(time.Minute)
	if to := r.freshTo(t); to != nil {
		t.Errorf("fresh to %s, by a bus that is away", to)
	}
	defer r.db.Away(t)()
	r.fails(t, call{method: http.MethodGet, path: "/api/v1/admin/pipeline", key: r.admin}, http.StatusServiceUnavailable, "unavailable")
}

// A bus without the stream does not know either.
func TestPipelineWithoutTheStream(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if err := r.js.DeleteConsumer(t.Context(), bus.StreamTrace, bus.ConsumerAnalytics); err != nil {
		t.Fatal(err)
	}
	if got := r.pipeline(t); got.Bus != "away" || got.Stream != nil || len(got.Consumers) != 2 {
		t.Errorf("got %+v", got)
	}
}
