package balance_test

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"loom.internal/pkg/catalog"
	"loom.internal/services/gateway/internal/balance"
	"loom.internal/services/gateway/internal/failure"
)

func TestWhatFollowsAFailure(t *testing.T) {
	t.Parallel()
	const (
		none = iota
		elsewhere
		lastly // elsewhere first, the same target only after that
		again
	)
	for name, tc := range map[string]struct {
		r      balance.Result
		next   int
		counts bool // five of it open the circuit
	}{
		"success":                 {good, none, false},
		"client gone":             {balance.Result{Class: failure.ClientGone}, none, false},
		"shutdown":                {balance.Result{Class: failure.Shutdown}, none, false},
		"bad request":             {balance.Result{Class: failure.Rejected, Status: 400}, none, false},
		"no such model":           {balance.Result{Class: failure.Rejected, Status: 404}, none, false},
		"unprocessable":           {balance.Result{Class: failure.Rejected, Status: 422}, none, false},
		"conflict":                {balance.Result{Class: failure.Rejected, Status: 409}, again, false},
		"request timeout":         {balance.Result{Class: failure.Rejected, Status: 408}, again, true},
		"too early":               {balance.Result{Class: failure.Rejected, Status: 425}, again, true},
		"unpaid":                  {balance.Result{Class: failure.Rejected, Status: 402}, elsewhere, true},
		"unreachable":             {refused, again, true},
		"reset":                   {balance.Result{Class: failure.Upstream}, again, true},
		"500":                     {balance.Result{Class: failure.Upstream, Status: 500}, again, true},
		"529":                     {balance.Result{Class: failure.Upstream, Status: 529}, again, true},
		"503 for long":            {balance.Result{Class: failure.Upstream, Status: 503, RetryAfter: 20 * time.Second}, elsewhere, true},
		"header timeout":          {balance.Result{Class: failure.Timeout}, elsewhere, true},
		"silence in the answer":   {balance.Result{Class: failure.Idle, Status: 200}, elsewhere, true},
		"cut":                     {balance.Result{Class: failure.Cut, Status: 200}, again, true},
		"cut after the first":     {balance.Result{Class: failure.Cut, Status: 200, Begun: true}, none, true},
		"silence after the first": {balance.Result{Class: failure.Idle, Status: 200, Begun: true}, none, true},
		"truncated":               {balance.Result{Class: failure.Truncated, Status: 200, Begun: true}, none, true},
		"key refused":             {balance.Result{Class: failure.Credentials, Status: 401}, elsewhere, true},
		"rate limited":            {balance.Result{Class: failure.RateLimited, Status: 429}, lastly, false},
		"rate limited for long":   {balance.Result{Class: failure.RateLimited, Status: 429, RetryAfter: 9 * time.Second}, elsewhere, false},
		"not to be called":        {balance.Result{Class: failure.Unavailable}, elsewhere, false},
		"too large":               {balance.Result{Class: failure.TooLarge, Status: 200}, none, false},
		"error in the answer":     {balance.Result{Class: failure.InsideAnswer, Status: 200}, none, false},
		"unknown to the table":    {balance.Result{Class: "?"}, none, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				list, w := targets(1, 1), newWorld(t, 1)
				plan := w.Plan(list, balance.Policy{Retries: 1})
				expect(t, "first", plan, 0)
				plan.Report(tc.r)
				switch tc.next {
				case none:
					expectNone(t, "after", plan, 0)
				case elsewhere:
					expect(t, "after", plan, 1)
				case lastly:
					if wait := expect(t, "after", plan, 1); wait != 0 {
						t.Errorf("wait for another target: got %s, want none", wait)
					}
				case again:
					if wait := expect(t, "after", plan, 0); wait < 250*time.Millisecond || wait > 500*time.Millisecond {
						t.Errorf("wait for the same target: got %s, want about 0.5s", wait)
					}
				}
				plan.Report(tc.r)

				// And where there is no other.
				plan = newWorld(t, 1).Plan(list[:1], balance.Policy{Retries: 1})
				expect(t, "first of one", plan, 0)
				plan.Report(tc.r)
				if step, ok := plan.Next(); ok != (tc.next == again || tc.next == lastly) {
					t.Errorf("after the only target: got %+v, %v", step, ok)
				}
				plan.Close()

				w = newWorld(t, 1)
				for range 5 {
					w.once(t, list[:1], failover, tc.r)
					pass(time.Minute) // past any rate limit
				}
				if got := w.open(t, list[0]); got != tc.counts {
					t.Errorf("circuit is open after five: got %v, want %v", got, tc.counts)
				}
			})
		})
	}
}

func TestRetriesComeBeforeFallbacks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		plan := w.Plan(targets(1, 1), balance.Policy{Retries: 2})
		for target := range 2 {
			for call := range 3 {
				wait := expect(t, "call", plan, target)
				longest := 500 * time.Millisecond << max(0, call-1)
				if call == 0 {
					longest = 0
				}
				if wait > longest || wait < longest/2 {
					t.Errorf("target %d, call %d: wait is %s, want between %s and %s", target, call, wait, longest/2, longest)
				}
				plan.Report(balance.Result{Class: failure.Upstream, Status: 500})
			}
		}
		expectNone(t, "all tried", plan, 0)
		if got := w.metric(t, "loom_gateway_fallbacks_total", "provider-a"); got != 1 {
			t.Errorf("fallbacks: got %v, want 1", got)
		}
		if got := w.metric(t, "loom_gateway_attempts_total", "provider-a", failure.Upstream); got != 3 {
			t.Errorf("attempts: got %v, want 3", got)
		}
	})
}

func TestBackoffHasALimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		plan := newWorld(t, 1).Plan(targets(1), balance.Policy{Retries: 100})
		calls, longest := 0, time.Duration(0)
		for step, ok := plan.Next(); ok; step, ok = plan.Next() {
			calls, longest = calls+1, max(longest, step.Wait)
			plan.Report(balance.Result{Class: failure.Rejected, Status: 409}) // opens no circuit
		}
		if calls != 16 || longest > 8*time.Second || longest < 4*time.Second {
			t.Errorf("got %d calls and a wait of %s, want 16 and about 8s", calls, longest)
		}
	})
}

// A rate limited target is waited for only when no other is left.
func TestRateLimitIsWaitedForLast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		plan := newWorld(t, 1).Plan(targets(1, 1), balance.Policy{Retries: 1})
		limited := balance.Result{Class: failure.RateLimited, Status: 429, RetryAfter: 3 * time.Second}
		expect(t, "first", plan, 0)
		plan.Report(limited)
		expect(t, "second", plan, 1)
		plan.Report(limited)
		if wait := expect(t, "third", plan, 1); wait != 3*time.Second {
			t.Errorf("wait: got %s, want the provider's 3s", wait)
		}
		plan.Report(limited)
		expectNone(t, "no retry left", plan, 0)
	})
}

func TestRateLimitedTargetIsPassedOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, list := newWorld(t, 1), targets(1, 1)
		limited := func(d time.Duration) balance.Result {
			return balance.Result{Class: failure.RateLimited, Status: 429, RetryAfter: d}
		}
		if got := w.once(t, list, failover, limited(90*time.Minute)); got != 0 {
			t.Fatalf("first call went to %d", got)
		}
		if got := w.once(t, list, failover, limited(2500*time.Millisecond)); got != 1 {
			t.Fatalf("second call went to %d", got)
		}
		expectNone(t, "both limited", w.Plan(list, failover), 3*time.Second)
		expectNone(t, "one asked for hours, the other is not there", w.Plan([]balance.Target{list[0], list[0]}, failover), time.Minute)
		pass(2500 * time.Millisecond)
		if got := w.once(t, list, failover, good); got != 1 {
			t.Errorf("got %d, want the one whose limit is over", got)
		}
		pass(57500 * time.Millisecond)
		if got := w.once(t, list, failover, good); got != 0 {
			t.Errorf("got %d, want the first after the longest wait", got)
		}
	})
}

// Where a provider has named no time, or is the only one, it is asked all the same.
func TestRateLimitDoesNotRefuseWhatMayBeServed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, list := newWorld(t, 1), targets(1, 1)
		for range 2 {
			w.once(t, list, failover, balance.Result{Class: failure.RateLimited, Status: 429})
		}
		if got := w.once(t, list, failover, good); got != 0 {
			t.Errorf("nobody named a time: got %d, want 0", got)
		}
		w = newWorld(t, 1)
		for range 3 {
			w.once(t, list[:1], failover, balance.Result{Class: failure.RateLimited, Status: 429, RetryAfter: time.Minute})
		}
	})
}

func TestWeightsAreKept(t *testing.T) {
	t.Parallel()
	const draws = 100_000
	w, list := newWorld(t, 42), targets(5, 0, 3, 1) // 0 is 1
	first, second := make([]float64, 4), make([]float64, 4)
	for range draws {
		plan := w.Plan(list, weighted)
		step, _ := plan.Next()
		first[step.Target]++
		plan.Report(balance.Result{Class: failure.Unavailable})
		step, _ = plan.Next()
		second[step.Target]++
		plan.Close()
	}
	p := []float64{.5, .1, .3, .1}
	for i := range p {
		q := 0.0 // second: drawn from those that are left
		for j := range p {
			if j != i {
				q += p[j] * p[i] / (1 - p[j])
			}
		}
		for what, pair := range map[string][2]float64{"first": {first[i], p[i]}, "second": {second[i], q}} {
			deviation := math.Sqrt(draws * pair[1] * (1 - pair[1]))
			if math.Abs(pair[0]-draws*pair[1]) > 5*deviation {
				t.Errorf("target %d %s: got %v of %d, want %.0f ± %.0f", i, what, pair[0], draws, draws*pair[1], 5*deviation)
			}
		}
	}
}

func TestPlanOfNothing(t *testing.T) {
	t.Parallel()
	plan := newWorld(t, 1).Plan(nil, balance.Policy{Balance: catalog.Weighted, Retries: 3})
	plan.Report(refused)
	plan.Answering()
	expectNone(t, "no targets", plan, 0)
}

func TestUnreportedCallEndsThePlan(t *testing.T) {
	t.Parallel()
	plan := newWorld(t, 1).Plan(targets(1, 1), balance.Policy{Retries: 3})
	expect(t, "first", plan, 0)
	plan.Report(refused)
	expect(t, "second", plan, 0)
	expectNone(t, "not reported", plan, 0)
}
