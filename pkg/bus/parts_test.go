package bus_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"pgregory.net/rapid"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/event"
)

// shelf is where bodies are fetched from: it counts what is held at a time.
type shelf struct {
	missing    map[string]bool // traces whose body is gone
	away       int             // fetches that fail before it works
	calls      int
	held, most int64
}

func (s *shelf) fetch(_ context.Context, e *event.TraceEvent, _ time.Time) error {
	s.calls++
	switch {
	case e.DetachedBytes() == 0:
		return nil
	case s.calls <= s.away:
		return errAway
	case s.missing[e.GetTraceId()]:
		return bus.ErrNoBody
	}
	s.held += e.DetachedBytes()
	s.most = max(s.most, s.held)
	for _, b := range e.Bodies() {
		if b.GetDetached() {
			b.Attach(make([]byte, 16))
		}
	}
	return nil
}

// However many and however large the bodies of a batch are, few are held at a time, and
// every event is settled: those without their body set aside, the others stored whole.
func TestProjectionFetchesInParts(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		s := &shelf{missing: map[string]bool{}, away: rapid.IntRange(0, 3).Draw(rt, "away")}
		m := &memory{away: rapid.IntRange(0, 3).Draw(rt, "store away")}
		p := newProjection(t, m)
		p.BadData = func(err error) bool { return errors.Is(err, errBad) || errors.Is(err, bus.ErrNoBody) }
		p.Fetch = s.fetch
		p.Store = func(ctx context.Context, events []*event.TraceEvent, dead []event.Dead) (int, error) {
			for _, e := range events {
				if e.DetachedBytes() > 0 {
					rt.Error("an event is stored without its body")
				}
			}
			for _, d := range dead {
				if !s.missing[d.Awaits] {
					rt.Errorf("an event without its body is dead and awaits %q", d.Awaits)
				}
			}
			s.held = 0 // what is stored is let go of
			return m.store(ctx, events, dead)
		}
		var batch []jetstream.Msg
		gone := 0
		for i, length := range rapid.SliceOfN(rapid.Int64Range(-1, event.MaxBody), 1, 30).Draw(rt, "lengths") {
			_, e := encoded(t, uint64(i))
			if length >= 0 {
				e.RequestBody.PlainLength, e.ResponseBody.PlainLength = length, length/2
				e.RequestBody.Detach()
				e.ResponseBody.Detach()
				if s.missing[e.GetTraceId()] = rapid.IntRange(0, 5).Draw(rt, "missing") == 0; s.missing[e.GetTraceId()] {
					gone++
				}
			}
			data, err := event.Marshal(e)
			if err != nil {
				rt.Fatal(err)
			}
			batch = append(batch, &message{subject: event.Subject(e), data: data, seq: uint64(i)})
		}
		for tries := 0; p.Handle(t.Context(), batch) != nil; tries++ {
			if s.held = 0; tries > 100 {
				rt.Fatal("the batch is never settled")
			}
		}
		if len(m.have) != len(batch)-gone || len(m.dead) != gone {
			rt.Errorf("of %d events, %d of them without a body, %d are stored and %d dead", len(batch), gone, len(m.have), len(m.dead))
		}
		if s.most > 33<<20 {
			rt.Errorf("%d bytes of bodies held at a time", s.most)
		}
	})
}

// A batch in hand ends between two parts when it is asked to; the rest is for others.
func TestProjectionStopsBetweenParts(t *testing.T) {
	t.Parallel()
	m, s := &memory{}, &shelf{}
	p := newProjection(t, m)
	ctx, cancel := context.WithCancel(t.Context())
	p.Fetch = func(ctx context.Context, e *event.TraceEvent, at time.Time) error {
		cancel()
		return s.fetch(ctx, e, at)
	}
	var batch []jetstream.Msg
	for i := range 5 {
		_, e := encoded(t, uint64(i))
		e.RequestBody.PlainLength = event.MaxBody
		e.RequestBody.Detach()
		data, err := event.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		batch = append(batch, &message{subject: event.Subject(e), data: data, seq: uint64(i)})
	}
	if err := p.Handle(ctx, batch); !errors.Is(err, context.Canceled) || len(m.have) != 1 {
		t.Errorf("handle: %v with %d stored, want the first only", err, len(m.have))
	}
}

// Bodies that come in their events count as well: a transaction holds few of them.
func TestProjectionStoresInlineBodiesInParts(t *testing.T) {
	t.Parallel()
	m, most := &memory{have: map[string]bool{}}, 0
	p := newProjection(t, m)
	p.Store = func(ctx context.Context, events []*event.TraceEvent, dead []event.Dead) (int, error) {
		most = max(most, len(events))
		return m.store(ctx, events, dead)
	}
	var batch []jetstream.Msg
	for i := range 100 {
		_, e := encoded(t, uint64(i))
		e.ResponseBody.Ciphertext = make([]byte, 900<<10)
		data, err := event.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		batch = append(batch, &message{subject: event.Subject(e), data: data, seq: uint64(i)})
	}
	if err := p.Handle(t.Context(), batch); err != nil || len(m.have) != 100 {
		t.Fatalf("%d stored, %v", len(m.have), err)
	}
	if most < 2 || most > 40 {
		t.Errorf("%d bodies of 900 KiB in one transaction", most)
	}
}

// A store too slow for a batch gets less at a time; one that hangs is not asked for all
// of it piece by piece.
func TestProjectionHalvesWhatTakesTooLong(t *testing.T) {
	t.Parallel()
	for name, fits := range map[string]int{"slow": 3, "hung": 0} {
		var batch []jetstream.Msg
		for i := range 16 {
			msg, _ := encoded(t, uint64(i))
			batch = append(batch, msg)
		}
		synctest.Test(t, func(t *testing.T) {
			m, calls := &memory{have: map[string]bool{}}, 0
			p := newProjection(t, m)
			p.Store = func(ctx context.Context, events []*event.TraceEvent, dead []event.Dead) (int, error) {
				if calls++; len(events) > fits {
					<-ctx.Done()
					return 0, ctx.Err()
				}
				return m.store(ctx, events, dead)
			}
			err := p.Handle(t.Context(), batch)
			if fits > 0 && (err != nil || len(m.have) != 16) || fits == 0 && (err == nil || calls > 5) {
				t.Errorf("%s: %d stored in %d calls: %v", name, len(m.have), calls, err)
			}
		})
	}
}
