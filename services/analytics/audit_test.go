package analytics_test

import (
	"context"
	"testing"
	"time"

	"loom.internal/pkg/testkit"
	"loom.internal/services/analytics"
)

// gauge is the value of a gauge without labels; -1 if there is none.
func (p *replica) gauge(tb testing.TB, name string) float64 {
	tb.Helper()
	families, err := p.reg.Gather()
	if err != nil {
		tb.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	return -1
}

// What differs from the ledger is seen without being asked for, by either replica.
func TestReconcilesByItself(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	often := func(c *analytics.Config) { c.ReconcileEvery = 20 * time.Millisecond }
	replicas := []*replica{r.replica(t, often), r.replica(t, often)}
	for _, p := range replicas {
		p.start(t)
	}
	never := r.replica(t)
	never.start(t)
	testkit.Publish(t, r.js, testkit.Event("acme", time.Now()), testkit.Event("acme", time.Now().AddDate(0, 0, -40)))
	r.settled(t)
	spoil := func(by, grain string) {
		t.Helper()
		if _, err := r.Pool("").Exec(t.Context(), `UPDATE rollups SET cost = cost + $1::numeric WHERE grain = $2`, by, grain); err != nil {
			t.Fatal(err)
		}
	}
	await := func(what string, want float64) {
		t.Helper()
		for _, p := range replicas {
			testkit.Await(t, what, func(context.Context) bool {
				return p.gauge(t, "loom_analytics_reconciled_timestamp_seconds") > 0 && p.gauge(t, "loom_analytics_rollup_differences") == want
			})
		}
	}
	await("no difference", 0)
	spoil("1", "hour") // of both days, of which one is older than what is compared
	await("the difference", 1)
	spoil("-1", "hour")
	await("no difference again", 0)
	if got := never.gauge(t, "loom_analytics_reconciled_timestamp_seconds"); got != 0 {
		t.Errorf("a replica that was told not to compare did so at %v", got)
	}
}
