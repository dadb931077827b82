package gateway_test

import (
	"path/filepath"
	"testing"
	"time"

	"loom.internal/pkg/event"
	"loom.internal/services/gateway"
)

// A gateway goes for good while the broker is away. The other one on the place, which has
// traces of its own meanwhile, sends all of it under the numbers of the gateway that it was
// of, and lets go of it when Postgres has it.
func TestTracesOfAGatewayThatIsGone(t *testing.T) {
	t.Parallel()
	w := start(t, setup{change: func(c *gateway.Config) { c.Drain = 100 * time.Millisecond }})
	equal(t, "first", w.chat(demoChat).status, 200)
	gone := w.trace().Place().ProducerID
	stopFirst := w.stop
	first := w.url
	w.start(nil) // the second, on the same place
	second := w.url
	equal(t, "second", w.chat(demoChat).status, 200)
	w.traces(2)

	w.broker.Stop()
	w.url = first
	for range 4 {
		equal(t, "first, without a broker", w.chat(demoChat).status, 200)
	}
	w.must(stopFirst())
	w.url = second
	for range 3 {
		equal(t, "second, without a broker", w.chat(demoChat).status, 200)
	}
	w.broker.Start(t)

	w.within(40*time.Second, "adopted what was left", func() bool { return w.metric("loom_gateway_spools_adopting_events") > 0 })
	events := w.traces(9)
	of, last := map[string]int{}, map[event.Life]*event.TraceEvent{}
	for _, e := range events {
		of[e.Place().ProducerID]++
		if was := last[e.Place().Life()]; was == nil || was.Place().Seq < e.Place().Seq {
			last[e.Place().Life()] = e
		}
	}
	equal(t, "producers", len(of), 2)
	equal(t, "traces of the one that is gone", of[gone], 5)
	if n := w.segments("gw-000"); n == 0 {
		t.Error("segments are gone that Postgres has not")
	}
	for _, e := range last {
		w.confirm(e)
	}
	w.eventually("adopted", func() bool { return w.metric("loom_gateway_spools_adopted_total") == 1 })
	equal(t, "segments of the one that is gone", w.segments("gw-000"), 0)
	w.within(40*time.Second, "seen that nothing is left", func() bool { return w.metric("loom_gateway_spools_orphaned") == 0 })
	w.eventually("own spool empty", func() bool { return w.metric("loom_gateway_spool_events") == 0 })
	equal(t, "second, afterwards", w.chat(demoChat).status, 200)
}

// within is eventually with more patience.
func (w *world) within(most time.Duration, what string, cond func() bool) {
	w.tb.Helper()
	deadline := time.NewTimer(most)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline.C:
			w.tb.Fatalf("not %s within %s", what, most)
		}
	}
}

// segments is how many a spool has.
func (w *world) segments(name string) int {
	w.tb.Helper()
	names, err := filepath.Glob(filepath.Join(w.spool, name, "*.seg"))
	w.must(err)
	return len(names)
}
