package balance_test

import (
	"testing"

	"loom.internal/services/gateway/internal/balance"
	"loom.internal/services/gateway/internal/failure"
)

// BenchmarkPlan is all that a request costs here: the plan, its calls and its end.
func BenchmarkPlan(b *testing.B) {
	for name, bc := range map[string]struct {
		targets []balance.Target
		policy  balance.Policy
		first   balance.Result
	}{
		"one":      {targets(1), failover, good},
		"weighted": {targets(1, 2, 3, 4), weighted, good},
		"fallback": {targets(1, 1), failover, balance.Result{Class: failure.Unavailable}},
	} {
		run := func(w *world) {
			plan := w.Plan(bc.targets, bc.policy)
			_, _ = plan.Next()
			plan.Answering()
			plan.Report(bc.first)
			if _, ok := plan.Next(); ok {
				plan.Report(good)
			}
			plan.Close()
		}
		b.Run(name, func(b *testing.B) {
			w := newWorld(b, 1)
			b.ReportAllocs()
			for b.Loop() {
				run(w)
			}
		})
	}
	b.Run("one/parallel", func(b *testing.B) {
		w, list := newWorld(b, 1), targets(1)
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				plan := w.Plan(list, failover)
				_, _ = plan.Next()
				plan.Report(good)
				plan.Close()
			}
		})
	})
}
