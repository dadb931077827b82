package balance_test

import (
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"loom.internal/pkg/catalog"
	"loom.internal/services/gateway/internal/balance"
	"loom.internal/services/gateway/internal/failure"
)

var results = []balance.Result{
	good, good, good, refused, refused, refused,
	{Class: failure.ClientGone},
	{Class: failure.Timeout},
	{Class: failure.Upstream, Status: 500},
	{Class: failure.Upstream, Status: 503, RetryAfter: 5 * time.Second},
	{Class: failure.Rejected, Status: 400},
	{Class: failure.Rejected, Status: 409},
	{Class: failure.RateLimited, Status: 429},
	{Class: failure.RateLimited, Status: 429, RetryAfter: 2 * time.Second},
	{Class: failure.RateLimited, Status: 429, RetryAfter: time.Hour},
	{Class: failure.Cut, Status: 200, Begun: true},
	{Class: failure.Unavailable},
}

// inFlight is a request in the middle of its calls.
type inFlight struct {
	plan    *balance.Plan
	list    []balance.Target
	policy  balance.Policy
	target  int // being called
	probe   bool
	calls   int
	seen    map[int]int // calls of a target
	over    bool        // no further call may follow
	refused bool        // none was let through at all
}

// oracle is what anyone can say of targets from the outside.
type oracle struct {
	*world
	t      *rapid.T
	opened map[string]time.Time // when an open circuit was last seen to open
	cooled map[string]time.Time // until when it is left alone because its provider said so
	probes map[string]*inFlight
}

// next makes the next call of a request and checks that it is allowed.
func (o *oracle) next(f *inFlight) (called bool) {
	step, ok := f.plan.Next()
	now := time.Now()
	if !ok {
		f.refused = f.calls == 0
		o.none(f, step, now)
		return false
	}
	target := f.list[step.Target]
	f.calls++
	f.seen[step.Target]++
	f.target = step.Target
	switch {
	case f.over:
		o.t.Fatal("a call after a result that stands")
	case f.calls > 16:
		o.t.Fatal("more than 16 calls")
	case f.seen[step.Target] > 1+f.policy.Retries:
		o.t.Fatalf("target %d was called %d times with %d retries", step.Target, f.seen[step.Target], f.policy.Retries)
	case step.Wait < 0 || step.Wait > 8*time.Second:
		o.t.Fatalf("a wait of %s", step.Wait)
	}
	if at, open := o.opened[target.Key]; open {
		if now.Sub(at) < 15*time.Second {
			o.t.Fatalf("%s is called %s after its circuit opened", target.Key, now.Sub(at))
		}
		if o.probes[target.Key] != nil {
			o.t.Fatalf("%s is probed twice at a time", target.Key)
		}
		o.probes[target.Key], f.probe = f, true
	}
	if now.Before(o.cooled[target.Key]) && f.seen[step.Target] == 1 && len(f.list) > 1 {
		o.t.Fatalf("%s is called %s before its rate limit ends", target.Key, o.cooled[target.Key].Sub(now))
	}
	return true
}

// none checks that there was indeed nothing to call.
func (o *oracle) none(f *inFlight, step balance.Step, now time.Time) {
	if step.Wait < 0 || step.Wait > time.Minute || step.Wait%time.Second != 0 {
		o.t.Fatalf("clients are told to wait %s", step.Wait)
	}
	if f.over || f.calls == 16 {
		return
	}
	for i, target := range f.list {
		at, open := o.opened[target.Key]
		switch {
		case f.seen[i] > 0:
		case !open && (!now.Before(o.cooled[target.Key]) || len(f.list) == 1):
			o.t.Fatalf("%s is not called though its circuit is closed and it has no rate limit", target.Key)
		case open && now.Sub(at) >= 15*time.Second && o.probes[target.Key] == nil && !now.Before(o.cooled[target.Key]):
			o.t.Fatalf("%s is not probed", target.Key)
		case step.Wait < time.Second:
			o.t.Fatalf("none can be called, and clients are told to wait %s", step.Wait)
		}
	}
}

// report ends a call.
func (o *oracle) report(f *inFlight, r balance.Result) {
	target, now := f.list[f.target], time.Now()
	was := o.open(o.t, target)
	f.plan.Report(r)
	f.over = r.Begun || r.Class == "" || r.Class == failure.ClientGone || r.Class == failure.Rejected && r.Status == 400
	if f.probe {
		delete(o.probes, target.Key)
	}
	switch is := o.open(o.t, target); {
	case !is:
		delete(o.opened, target.Key)
	case !was, f.probe && r.Class != failure.ClientGone && r.Class != failure.Rejected && r.Class != failure.RateLimited && r.Class != failure.Unavailable:
		o.opened[target.Key] = now
	}
	f.probe = false
	if until := now.Add(min(r.RetryAfter, time.Minute)); until.After(o.cooled[target.Key]) && r.RetryAfter > 0 {
		o.cooled[target.Key] = until
	}
}

// bubbled is a test in a bubble, which must not be asked for its deadline.
type bubbled struct{ rapid.TB }

// Whatever requests come and however their calls end, no call is made that must not be,
// and none is left out that could be made.
func TestCallsAreAllowed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(bubbled{t}, func(t *rapid.T) {
			o := &oracle{
				world: newWorld(t, rapid.Uint64().Draw(t, "seed")), t: t,
				opened: map[string]time.Time{}, cooled: map[string]time.Time{}, probes: map[string]*inFlight{},
			}
			all := targets(1, 2, 3)
			var running []*inFlight
			for range rapid.IntRange(1, 120).Draw(t, "events") {
				action := rapid.IntRange(0, 9).Draw(t, "action")
				switch {
				case action == 0:
					pass(time.Duration(rapid.IntRange(1, 10).Draw(t, "seconds")) * time.Second)
				case action <= 4 || len(running) == 0:
					f := &inFlight{list: all[:rapid.IntRange(1, 3).Draw(t, "targets")], seen: map[int]int{}}
					f.policy.Balance = rapid.SampledFrom([]catalog.Balance{"", catalog.Failover, catalog.Weighted}).Draw(t, "balance")
					f.policy.Retries = rapid.IntRange(0, 20).Draw(t, "retries")
					f.plan = o.Plan(f.list, f.policy)
					if o.next(f) {
						running = append(running, f)
					}
				default:
					i := rapid.IntRange(0, len(running)-1).Draw(t, "request")
					f := running[i]
					o.report(f, rapid.SampledFrom(results).Draw(t, "result"))
					if !o.next(f) {
						running = append(running[:i], running[i+1:]...)
					}
				}
			}
		})
	})
}

// However often a request may be tried again, it is tried 16 times at the most.
func TestAttemptsAreBounded(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		list := targets(make([]int, rapid.IntRange(0, 25).Draw(t, "targets"))...)
		plan := newWorld(t, 1).Plan(list, balance.Policy{
			Balance: rapid.SampledFrom([]catalog.Balance{catalog.Failover, catalog.Weighted}).Draw(t, "balance"),
			Retries: rapid.IntRange(-1, 30).Draw(t, "retries"),
		})
		calls := 0
		for step, ok := plan.Next(); ok; step, ok = plan.Next() {
			if calls++; calls > 16 {
				t.Fatalf("call %d, of target %d", calls, step.Target)
			}
			plan.Report(balance.Result{Class: failure.Rejected, Status: 409})
		}
		if calls < min(len(list), 16) {
			t.Fatalf("%d calls of %d targets", calls, len(list))
		}
	})
}

// Many requests at once, for the race detector; and a circuit that is open lets one probe
// of them through.
func TestConcurrentRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		b, err := balance.New(balance.Options{Metrics: reg})
		if err != nil {
			t.Fatal(err)
		}
		w, list := &world{b, reg}, targets(1, 2, 3)
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				random := rand.New(rand.NewPCG(uint64(i), 2))
				for range 100 {
					plan := w.Plan(list, weighted)
					for _, ok := plan.Next(); ok; _, ok = plan.Next() {
						pass(time.Duration(random.IntN(100)) * time.Millisecond)
						plan.Answering()
						plan.Report(results[random.IntN(len(results))])
					}
					plan.Close()
				}
				w.open(t, list[0])
			})
		}
		wg.Wait()
		pass(time.Minute)
		w.times(t, 1, list[0], good)
		pass(time.Minute)
		if w.open(t, list[0]) {
			t.Fatal("open after a success")
		}
		w.times(t, 5, list[0], refused)
		pass(15 * time.Second)
		let := make(chan bool, 16)
		for range cap(let) {
			wg.Go(func() {
				plan := w.Plan(list[:1], failover)
				_, ok := plan.Next()
				pass(time.Second)
				plan.Close()
				let <- ok
			})
		}
		wg.Wait()
		close(let)
		probes := 0
		for ok := range let {
			if ok {
				probes++
			}
		}
		if probes != 1 {
			t.Errorf("%d probes at a time, want 1", probes)
		}
	})
}
