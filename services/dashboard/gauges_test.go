package dashboard_test

import (
	"context"
	"testing"
	"time"

	"loom.internal/pkg/testkit"
)

// gauges are the values of a gauge, by their label's value, "" without a label.
func (r *rig) gauges(t *testing.T, name string) map[string]float64 {
	t.Helper()
	families, err := r.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() != name {
				continue
			}
			label := ""
			for _, l := range m.GetLabel() {
				label = l.GetValue()
			}
			values[label] = m.GetGauge().GetValue()
		}
	}
	return values
}

// What is missing and what was set aside are seen by whoever scrapes the dashboard.
func TestGauges(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	testkit.Await(t, "zeros shown", func(context.Context) bool {
		gaps, dead := r.gauges(t, "loom_producer_gaps"), r.gauges(t, "loom_dead_events")
		return len(gaps) == 1 && gaps[""] == 0 && len(dead) == 2 && dead["recorder"] == 0 && dead["analytics"] == 0
	})
	r.produced(t, "gw-gap", "{[1,3),[5,7),[9,10)}", time.Now())
	r.died(t, "analytics", testkit.Event("acme", time.Now()))
	r.died(t, "analytics", testkit.Event("acme", time.Now()))
	r.died(t, "recorder", testkit.Event("acme", time.Now()))
	testkit.Await(t, "four numbers and three events", func(context.Context) bool {
		dead := r.gauges(t, "loom_dead_events")
		return r.gauges(t, "loom_producer_gaps")[""] == 4 && dead["recorder"] == 1 && dead["analytics"] == 2
	})
}
