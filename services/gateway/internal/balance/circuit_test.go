package balance_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"loom.internal/services/gateway/internal/balance"
	"loom.internal/services/gateway/internal/failure"
)

func TestCircuitOpens(t *testing.T) {
	t.Parallel()
	type calls struct {
		n     int
		r     balance.Result
		every time.Duration
	}
	for name, tc := range map[string]struct {
		calls []calls
		want  bool
	}{
		"four in a row":                    {[]calls{{4, refused, 0}}, false},
		"five in a row":                    {[]calls{{5, refused, 0}}, true},
		"five in a row, minutes apart":     {[]calls{{5, refused, 5 * time.Minute}}, true},
		"five, a success between":          {[]calls{{4, refused, 0}, {1, good, 0}, {1, refused, 0}}, false},
		"five, a bad request between":      {[]calls{{4, refused, 0}, {1, balance.Result{Class: failure.Rejected, Status: 400}, 0}, {1, refused, 0}}, true},
		"half of twenty":                   {[]calls{{4, refused, 0}, {5, good, 0}, {4, refused, 0}, {5, good, 0}, {2, refused, 0}}, true},
		"less than half of twenty":         {[]calls{{4, refused, 0}, {6, good, 0}, {4, refused, 0}, {5, good, 0}, {1, refused, 0}}, false},
		"half of nineteen":                 {[]calls{{4, refused, 0}, {4, good, 0}, {4, refused, 0}, {5, good, 0}, {2, refused, 0}}, false},
		"half of twenty, at any time":      {[]calls{{1, good, 8 * time.Second}, {4, refused, 0}, {5, good, 0}, {3, refused, 0}, {1, refused, 4 * time.Second}, {5, good, 0}, {2, refused, 0}}, true},
		"half of twenty, over a long time": {[]calls{{4, refused, 0}, {5, good, 3 * time.Second}, {4, refused, 0}, {5, good, 0}, {2, refused, 0}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w, only := newWorld(t, 1), targets(1)[0]
				for _, c := range tc.calls {
					for range c.n {
						w.times(t, 1, only, c.r)
						pass(c.every)
					}
				}
				if got := w.open(t, only); got != tc.want {
					t.Errorf("open: got %v, want %v", got, tc.want)
				}
			})
		})
	}
}

// A call that hangs for longer than the window counts when it fails at last.
func TestSlowFailuresOpenTheCircuit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, list := newWorld(t, 1), targets(1)
		for range 5 {
			plan := w.Plan(list, failover)
			expect(t, "closed", plan, 0)
			pass(5 * time.Minute)
			plan.Report(balance.Result{Class: failure.Timeout})
		}
		expectNone(t, "open", w.Plan(list, failover), 15*time.Second)
	})
}

func TestOneProbeIsLetThrough(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, list := newWorld(t, 1), targets(1, 1)
		w.times(t, 5, list[0], refused)
		if got := w.once(t, list, failover, good); got != 1 {
			t.Errorf("while open: got %d, want the other", got)
		}
		pass(500 * time.Millisecond)
		expectNone(t, "while open", w.Plan(list[:1], failover), 15*time.Second)
		pass(14499 * time.Millisecond)
		expectNone(t, "at its end", w.Plan(list[:1], failover), time.Second)
		pass(time.Millisecond)

		probe := w.Plan(list, failover)
		expect(t, "probe", probe, 0)
		expect(t, "beside the probe", w.Plan(list, failover), 1)
		expectNone(t, "beside the probe, nothing else", w.Plan(list[:1], failover), time.Second)
		probe.Report(refused)
		expect(t, "after the probe, which failed", probe, 1)
		probe.Report(good)
		expectNone(t, "open again", w.Plan(list[:1], failover), 15*time.Second)

		pass(15 * time.Second)
		probe = w.Plan(list, failover)
		expect(t, "second probe", probe, 0)
		if !w.open(t, list[0]) {
			t.Error("closed by a probe that is not over")
		}
		probe.Report(good)
		if w.open(t, list[0]) {
			t.Error("open after a probe that succeeded")
		}
		w.times(t, 4, list[0], refused) // counts from the beginning
		if w.open(t, list[0]) {
			t.Error("open after four failures")
		}
	})
}

// A probe that nobody reports, or of which nothing is learned, makes room for another.
func TestLostProbeMakesRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, list := newWorld(t, 1), targets(1)
		w.times(t, 5, list[0], refused)
		pass(15 * time.Second)
		for _, end := range []func(*balance.Plan){
			func(p *balance.Plan) { p.Close() },
			func(p *balance.Plan) { p.Report(balance.Result{Class: failure.ClientGone}) },
			func(p *balance.Plan) { p.Report(balance.Result{Class: failure.Rejected, Status: 400}) },
			func(p *balance.Plan) { p.Report(balance.Result{Class: failure.RateLimited, Status: 429}) },
		} {
			probe := w.Plan(list, failover)
			expect(t, "probe", probe, 0)
			end(probe)
		}
		expect(t, "still half open", w.Plan(list, failover), 0)
	})
}

// A long stream closes the circuit by its beginning; that it breaks counts as well.
func TestProbeIsSettledByTheBeginningOfItsAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, list := newWorld(t, 1), targets(1)
		w.times(t, 5, list[0], refused)
		pass(15 * time.Second)
		probe := w.Plan(list, failover)
		expect(t, "probe", probe, 0)
		probe.Answering()
		if w.open(t, list[0]) {
			t.Fatal("open while the probe answers")
		}
		w.times(t, 4, list[0], refused)
		pass(time.Hour)
		probe.Report(balance.Result{Class: failure.Cut, Status: 200, Begun: true})
		if !w.open(t, list[0]) {
			t.Error("closed after five failures, one of them the stream's")
		}
	})
}

// What began before the circuit opened neither closes it nor keeps it open.
func TestOldCallsDoNotCount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, list := newWorld(t, 1), targets(1)
		var old [10]*balance.Plan
		for i := range old {
			old[i] = w.Plan(list, failover)
			expect(t, "closed", old[i], 0)
		}
		w.times(t, 5, list[0], refused)
		pass(15 * time.Second)
		old[0].Report(good)
		if !w.open(t, list[0]) {
			t.Error("closed by an old call")
		}
		w.times(t, 1, list[0], good) // the probe
		for _, plan := range old[1:] {
			plan.Report(refused)
		}
		if w.open(t, list[0]) {
			t.Error("opened by old calls")
		}
	})
}

// A failure that opens the circuit is not followed by a retry there.
func TestNoRetryThroughAnOpenCircuit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, list := newWorld(t, 1), targets(1, 1)
		w.times(t, 4, list[0], refused)
		plan := w.Plan(list, balance.Policy{Retries: 3})
		expect(t, "first", plan, 0)
		plan.Report(refused)
		expect(t, "second", plan, 1)
	})
}

func TestLabelsAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	for i := range 2000 {
		w.times(t, 5, balance.Target{
			Key: fmt.Sprint(i), Provider: fmt.Sprintf("p%d\xff", i), Model: strings.Repeat("é", 1000) + fmt.Sprint(i),
		}, balance.Result{Class: failure.Credentials, Status: 401})
	}
	w.times(t, 1, balance.Target{Key: "x", Provider: "x"}, balance.Result{Class: "made up"})
	families, err := w.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if n := len(family.GetMetric()); n == 0 || n > 1024 {
			t.Errorf("%s has %d series", family.GetName(), n)
		}
	}
	if got := w.metric(t, "loom_gateway_attempts_total", "other", "other"); got != 1 {
		t.Errorf("attempts of others: got %v, want 1", got)
	}
	if got := w.metric(t, "loom_gateway_attempts_total", "other", failure.Credentials); got != 5*(2000-256) {
		t.Errorf("attempts of others: got %v, want %d", got, 5*(2000-256))
	}
}

// Names that lead nowhere do not push out what is known of targets.
func TestMadeUpNamesPushOutNothing(t *testing.T) {
	t.Parallel()
	w, known := newWorld(t, 1), targets(1)[0]
	w.times(t, 5, known, refused)
	for i := range 3000 {
		w.times(t, 1, balance.Target{Key: fmt.Sprint("made up ", i)}, balance.Result{Class: failure.Rejected, Status: 404})
	}
	if !w.open(t, known) {
		t.Error("an open circuit is forgotten")
	}
}

// A route's only target is called however it fails, and opens no circuit for others.
func TestOnlyTargetIsAlwaysCalled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, list := newWorld(t, 1), targets(1)
		for range 50 {
			w.once(t, list, balance.Policy{Always: true}, refused)
		}
		if w.open(t, list[0]) {
			t.Error("its failures opened a circuit")
		}
		w.times(t, 5, list[0], refused)
		expectNone(t, "for a route that has to choose", w.Plan(list, failover), 15*time.Second)
		expect(t, "as the only one", w.Plan(list, balance.Policy{Always: true}), 0)
	})
}
