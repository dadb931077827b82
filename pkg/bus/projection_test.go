package bus_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/event"
	"loom.internal/pkg/testkit"
)

var (
	errBad  = errors.New("bad data")
	errAway = errors.New("store away")
)

// message is a delivery as far as a projection looks at it.
type message struct {
	jetstream.Msg
	subject string
	data    []byte
	header  nats.Header
	seq     uint64
}

func (m *message) Subject() string      { return m.subject }
func (m *message) Data() []byte         { return m.data }
func (m *message) Headers() nats.Header { return m.header }
func (m *message) Metadata() (*jetstream.MsgMetadata, error) {
	return &jetstream.MsgMetadata{Sequence: jetstream.SequencePair{Stream: m.seq}}, nil
}

// memory is a store that commits a batch whole or not at all.
type memory struct {
	bad   map[string]bool // traces it cannot hold
	away  int             // stores that fail before it works
	calls int
	have  map[string]bool
	dead  map[int64]string
}

func (m *memory) store(_ context.Context, events []*event.TraceEvent, dead []event.Dead) (fresh int, err error) {
	m.calls++
	if m.calls <= m.away {
		return 0, errAway
	}
	for _, e := range events {
		if m.bad[e.GetTraceId()] {
			return 0, errBad
		}
	}
	for _, e := range events {
		if !m.have[e.GetTraceId()] {
			m.have[e.GetTraceId()] = true
			fresh++
		}
	}
	for _, d := range dead {
		m.dead[d.StreamSeq] = d.Reason
	}
	return fresh, nil
}

func newProjection(tb testing.TB, m *memory) *bus.Projection {
	tb.Helper()
	m.have, m.dead = map[string]bool{}, map[int64]string{}
	metrics, err := bus.NewProjectionMetrics(prometheus.NewRegistry(), "test")
	if err != nil {
		tb.Fatal(err)
	}
	return &bus.Projection{
		Durable: "test", Store: m.store, BadData: func(err error) bool { return errors.Is(err, errBad) },
		Metrics: metrics, Log: testkit.Log(tb),
	}
}

func encoded(tb testing.TB, seq uint64) (*message, *event.TraceEvent) {
	tb.Helper()
	e := testkit.Event("acme", time.Now())
	data, err := event.Marshal(e)
	if err != nil {
		tb.Fatal(err)
	}
	return &message{subject: event.Subject(e), data: data, seq: seq}, e
}

// Wherever the bad events stand and however often the store fails, the good ones are
// stored, each once, and exactly the bad ones are set aside.
func TestProjectionSettlesEveryEvent(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		m := &memory{bad: map[string]bool{}, away: rapid.IntRange(0, 5).Draw(rt, "away")}
		var (
			batch          []jetstream.Msg
			wantHave, dead []string
			wantDead       []int64
		)
		for i, kind := range rapid.SliceOfN(rapid.SampledFrom([]string{"good", "good", "good", "bad", "broken"}), 1, 40).Draw(rt, "batch") {
			msg, e := encoded(t, uint64(i))
			switch kind {
			case "good":
				wantHave = append(wantHave, e.GetTraceId())
			case "bad":
				m.bad[e.GetTraceId()] = true
				wantDead = append(wantDead, int64(i))
			case "broken":
				msg.data = []byte{0xff}
				wantDead = append(wantDead, int64(i))
			}
			batch = append(batch, msg)
		}
		p := newProjection(t, m)
		for p.Handle(t.Context(), batch) != nil { // as Consume does
			if m.calls > 1000 {
				rt.Fatal("the batch is never settled")
			}
		}
		var have []string
		for id := range m.have {
			have = append(have, id)
		}
		slices.Sort(have)
		slices.Sort(wantHave)
		if diff := cmp.Diff(wantHave, have); diff != "" {
			rt.Fatalf("stored (-want +got):\n%s", diff)
		}
		var gotDead []int64
		for seq, reason := range m.dead {
			gotDead = append(gotDead, seq)
			dead = append(dead, reason)
		}
		slices.Sort(gotDead)
		if diff := cmp.Diff(wantDead, gotDead); diff != "" {
			rt.Fatalf("dead (-want +got):\n%s\nreasons %q", diff, dead)
		}
	})
}

// An outage must not kill events: only bad data does.
func TestProjectionKeepsTheBatchOfAnOutage(t *testing.T) {
	t.Parallel()
	m := &memory{away: 3}
	p := newProjection(t, m)
	msg, _ := encoded(t, 1)
	for range 3 {
		if err := p.Handle(t.Context(), []jetstream.Msg{msg}); !errors.Is(err, errAway) {
			t.Fatalf("error: got %v, want the store's", err)
		}
	}
	if err := p.Handle(t.Context(), []jetstream.Msg{msg}); err != nil || len(m.have) != 1 || len(m.dead) != 0 {
		t.Errorf("after the outage: %v, stored %v, dead %v", err, m.have, m.dead)
	}
}

// Whatever a message is made of, what is kept of it fits a column of text.
func TestDeadEventsFitTheirColumns(t *testing.T) {
	t.Parallel()
	odd := "\x00\xff\xfe" + strings.Repeat("é", 5000)
	var got []event.Dead
	p := newProjection(t, &memory{})
	p.Store = func(_ context.Context, _ []*event.TraceEvent, dead []event.Dead) (int, error) {
		got = dead
		return 0, nil
	}
	msg := &message{subject: "loom.trace.v1." + odd, header: nats.Header{nats.MsgIdHdr: {odd}}, seq: 9}
	if err := p.Handle(t.Context(), []jetstream.Msg{msg}); err != nil || len(got) != 1 {
		t.Fatalf("handle: %v, dead %v", err, got)
	}
	for _, text := range []string{got[0].Subject, got[0].MsgID, got[0].Reason} {
		if !utf8.ValidString(text) || strings.Contains(text, "\x00") || len(text) > 4<<10 || text == "" {
			t.Errorf("text of %d bytes: %.40q", len(text), text)
		}
	}
	if got[0].StreamSeq != 9 || got[0].Data == nil {
		t.Errorf("dead event: %+v", got[0])
	}
}
