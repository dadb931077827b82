package balance_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"loom.internal/pkg/catalog"
	"loom.internal/services/gateway/internal/balance"
	"loom.internal/services/gateway/internal/failure"
)

// world is a balancer and what its metrics say.
type world struct {
	*balance.Balancer
	reg *prometheus.Registry
}

type fataler interface {
	Helper()
	Fatal(...any)
}

func newWorld(t fataler, seed uint64) *world {
	t.Helper()
	reg := prometheus.NewRegistry()
	b, err := balance.New(balance.Options{Metrics: reg, Rand: rand.New(rand.NewPCG(seed, 1)).Uint64})
	if err != nil {
		t.Fatal(err)
	}
	return &world{b, reg}
}

// metric is a value by its name and the values of its labels, in the order of their names;
// 0 where there is none.
func (w *world) metric(t fataler, name string, labels ...string) float64 {
	t.Helper()
	families, err := w.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			var values []string
			for _, l := range m.GetLabel() {
				values = append(values, l.GetValue())
			}
			if fmt.Sprint(values) == fmt.Sprint(labels) {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

// open reports whether the target's circuit is.
func (w *world) open(t fataler, target balance.Target) bool {
	t.Helper()
	return w.metric(t, "loom_gateway_circuit_open", target.Model, target.Provider) == 1
}

// targets a, b, c … with the given weights.
func targets(weights ...int) []balance.Target {
	var list []balance.Target
	for i, weight := range weights {
		name := string(rune('a' + i))
		list = append(list, balance.Target{Key: name, Provider: "provider-" + name, Model: "model-" + name, Weight: weight})
	}
	return list
}

var (
	failover = balance.Policy{Balance: catalog.Failover}
	weighted = balance.Policy{Balance: catalog.Weighted}

	good    = balance.Result{Status: 200}
	refused = balance.Result{Class: failure.Unreachable}
)

// once is one request that is called once, with the result.
func (w *world) once(t fataler, list []balance.Target, policy balance.Policy, r balance.Result) (target int) {
	t.Helper()
	plan := w.Plan(list, policy)
	defer plan.Close()
	step, ok := plan.Next()
	if !ok {
		t.Fatal("no target is let through")
	}
	plan.Report(r)
	return step.Target
}

// times calls the only target.
func (w *world) times(t fataler, n int, target balance.Target, r balance.Result) {
	t.Helper()
	for range n {
		w.once(t, []balance.Target{target}, failover, r)
	}
}

// expect checks what Next says.
func expect(t *testing.T, what string, plan *balance.Plan, target int) time.Duration {
	t.Helper()
	step, ok := plan.Next()
	if !ok || step.Target != target {
		t.Fatalf("%s: next is %+v, %v, want target %d", what, step, ok, target)
	}
	return step.Wait
}

func expectNone(t *testing.T, what string, plan *balance.Plan, wait time.Duration) {
	t.Helper()
	if step, ok := plan.Next(); ok || step.Wait != wait {
		t.Fatalf("%s: next is %+v, %v, want none for %s", what, step, ok, wait)
	}
}

// pass lets the bubble's clock run.
func pass(d time.Duration) { <-time.After(d) }
