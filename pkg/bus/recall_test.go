package bus_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/event"
	"loom.internal/pkg/testkit"
)

// numbers is a store that lacks what it is told to.
type numbers struct {
	lacks  event.Gaps
	marks  event.Watermarks
	stored chan int64
}

func (n *numbers) Watermarks(context.Context, time.Time) (event.Watermarks, error) {
	return n.marks, nil
}

func (n *numbers) Missing(context.Context, event.Watermarks) (event.Gaps, error) { return n.lacks, nil }
func (n *numbers) GiveUp(context.Context, event.Gaps) error                      { return nil }

var lost = event.Life{ProducerID: "gw-lost", Epoch: 1}

// recall runs a board that finds those numbers of gw-lost missing, and returns those it has
// stored again, in order, when it has had so many.
func recall(t *testing.T, js jetstream.JetStream, highest int64, lacks []event.Gap, want int) []int64 {
	t.Helper()
	kv, err := js.KeyValue(t.Context(), bus.BucketWatermark)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.PutString(t.Context(), bus.WatermarkKey(bus.ConsumerRecorder, lost), strconv.FormatInt(highest, 10)); err != nil {
		t.Fatal(err)
	}
	n := &numbers{lacks: event.Gaps{lost: lacks}, stored: make(chan int64, 10_000)}
	p := newProjection(t, &memory{})
	p.Store = func(_ context.Context, events []*event.TraceEvent, _ []event.Dead) (int, error) {
		for _, e := range events {
			n.stored <- e.Place().Seq
		}
		return len(events), nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		bus.NewBoard(js, bus.ConsumerRecorder, slog.New(slog.DiscardHandler), n).Run(ctx, p)
	}()
	var got []int64
	deadline := time.After(20 * time.Second)
	for len(got) < want {
		select {
		case seq := <-n.stored:
			got = append(got, seq)
		case <-deadline:
			t.Fatalf("%d events stored again, want %d", len(got), want)
		}
	}
	cancel()
	<-done
	slices.Sort(got)
	return got
}

func span(from, to int64) (all []int64) {
	for n := from; n <= to; n++ {
		all = append(all, n)
	}
	return all
}

func ofLost(seq int64, size int) *event.TraceEvent {
	return testkit.Event("acme", time.Now(), func(e *event.TraceEvent) {
		e.Producer = &event.Producer{Id: lost.ProducerID, Epoch: uint64(lost.Epoch), Seq: uint64(seq)}
		e.RequestBody = testkit.Body(size)
	})
}

// What the store lacks is found wherever on the stream it is: over several batches, and
// beside what has been deleted there.
func TestRecallReadsTheWholeStream(t *testing.T) {
	t.Parallel()
	_, js := ready(t, testkit.NATS(t))
	const n = 3*bus.BatchSize + 7
	if _, err := js.Publish(t.Context(), event.SubjectPrefix+"acme.completed", []byte("junk")); err != nil { // without headers
		t.Fatal(err)
	}
	for seq := int64(1); seq <= n; seq++ {
		testkit.Publish(t, js, ofLost(seq, 16))
	}
	stream, err := js.Stream(t.Context(), bus.StreamTrace)
	if err != nil {
		t.Fatal(err)
	}
	for _, seq := range []uint64{2, 3, 301, 402} {
		if err := stream.DeleteMsg(t.Context(), seq); err != nil {
			t.Fatal(err)
		}
	}
	got := recall(t, js, n, []event.Gap{{From: 2, To: 450}, {From: n, To: n}}, 447)
	want := append(slices.DeleteFunc(span(3, 450), func(s int64) bool { return s == 300 || s == 401 }), n)
	if !slices.Equal(got, want) {
		t.Errorf("got %d events, from %v; want %d", len(got), got[:5], len(want))
	}
}

// Large events come in smaller batches.
func TestRecallOfLargeEvents(t *testing.T) {
	t.Parallel()
	_, js := ready(t, testkit.NATS(t))
	for seq := int64(1); seq <= 40; seq++ {
		testkit.Publish(t, js, ofLost(seq, 500<<10))
	}
	if got := recall(t, js, 40, []event.Gap{{From: 1, To: 40}}, 40); !slices.Equal(got, span(1, 40)) {
		t.Errorf("got %v", got)
	}
}

// A publisher may put into headers what it likes: no message is taken for the end of the
// stream, or for another one.
func TestRecallOfHostileHeaders(t *testing.T) {
	t.Parallel()
	_, js := ready(t, testkit.NATS(t))
	for seq := int64(1); seq <= 6; seq++ {
		e := ofLost(seq, 16)
		data, err := event.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		if seq == 3 {
			data = nil // and so nothing but what its headers say
		}
		msg := &nats.Msg{Subject: event.Subject(e), Data: data, Header: nats.Header(event.Headers(e))}
		for name, value := range map[string]string{
			"Status": "404", "Description": "Message Not Found", "Nats-Sequence": "9999", "Nats-Last-Sequence": "77",
			"Nats-Time-Stamp": "never", "Nats-Subject": "loom.trace.v1.other.failed", "Nats-Num-Pending": "0",
		} {
			msg.Header.Set(name, value)
		}
		if _, err := js.PublishMsg(t.Context(), msg); err != nil {
			t.Fatal(err)
		}
	}
	if got := recall(t, js, 6, []event.Gap{{From: 1, To: 6}}, 5); !slices.Equal(got, []int64{1, 2, 4, 5, 6}) {
		t.Errorf("got %v, want all but the one that is no event", got)
	}
}

// A stream that answers late, in part or not at all.
type odd struct {
	extents []bus.Extent
	reads   []func() ([]jetstream.Msg, error)
}

func (o *odd) Extent(context.Context) (bus.Extent, error) {
	e := o.extents[0]
	o.extents = o.extents[1:]
	return e, nil
}

func (o *odd) Read(context.Context, uint64) ([]jetstream.Msg, error) {
	read := o.reads[0]
	o.reads = o.reads[1:]
	return read()
}

func TestRecallOfAnOddStream(t *testing.T) {
	t.Parallel()
	errAway := errors.New("away")
	made := time.Now()
	none := func() ([]jetstream.Msg, error) { return nil, bus.ErrNoMore }
	some := func(seq uint64) func() ([]jetstream.Msg, error) {
		return func() ([]jetstream.Msg, error) { return []jetstream.Msg{&message{seq: seq}}, nil }
	}
	extent := func(first, last uint64) bus.Extent { return bus.Extent{Made: made, First: first, Last: last} }
	for name, c := range map[string]struct {
		odd
		want error // any, if not nil
	}{
		"empty":            {odd{extents: []bus.Extent{extent(5, 4), extent(5, 4)}}, nil},
		"all there":        {odd{[]bus.Extent{extent(1, 2), extent(1, 2)}, []func() ([]jetstream.Msg, error){some(1), some(2)}}, nil},
		"grows":            {odd{[]bus.Extent{extent(1, 1), extent(1, 9)}, []func() ([]jetstream.Msg, error){some(1)}}, nil},
		"aged away":        {odd{[]bus.Extent{extent(1, 2), extent(3, 2), extent(3, 2)}, []func() ([]jetstream.Msg, error){none}}, nil},
		"aged in part":     {odd{[]bus.Extent{extent(1, 3), extent(3, 3), extent(3, 3)}, []func() ([]jetstream.Msg, error){none, some(3)}}, nil},
		"a replica behind": {odd{[]bus.Extent{extent(1, 2), extent(1, 2)}, []func() ([]jetstream.Msg, error){some(1), none}}, bus.ErrNoMore},
		"away":             {odd{[]bus.Extent{extent(1, 2)}, []func() ([]jetstream.Msg, error){func() ([]jetstream.Msg, error) { return nil, errAway }}}, errAway},
		"made anew": {odd{
			[]bus.Extent{extent(1, 1), {Made: made.Add(time.Second), First: 1, Last: 1}},
			[]func() ([]jetstream.Msg, error){some(1)},
		}, errors.New("any")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := newProjection(t, &memory{}).Recall(t.Context(), &c.odd, event.Gaps{lost: {{From: 1, To: 1}}})
			if (err == nil) != (c.want == nil) || c.want != nil && c.want.Error() != "any" && !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if len(c.extents) != 0 || len(c.reads) != 0 {
				t.Errorf("%d and %d questions not asked", len(c.extents), len(c.reads))
			}
		})
	}
}
