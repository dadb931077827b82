package fault_test

import (
	"slices"
	"testing"
	"time"

	"loom.internal/bench/internal/fault"
	"loom.internal/bench/internal/rig"
)

func TestPlan(t *testing.T) {
	t.Parallel()
	o := fault.Options{Seed: 7, Over: time.Hour, Kills: 240, Outages: 20, Length: time.Minute, Wipes: 1, Restarts: 2, Links: 16, Echoes: 3, Replaces: 4}
	plan := fault.Plan(o)
	if !slices.Equal(plan, fault.Plan(o)) {
		t.Error("the same seed gives another plan")
	}
	other := o
	other.Seed++
	if slices.Equal(plan, fault.Plan(other)) {
		t.Error("another seed gives the same plan")
	}
	kills, ways, whats := make(map[string]int), make(map[string]int), make(map[fault.What]int)
	for i, e := range plan {
		whats[e.What]++
		if e.What == fault.Kill {
			kills[e.Kind]++
		}
		if e.What == fault.Wipe && e.Behind == 0 {
			t.Error("the only wipe does not find analytics behind")
		}
		if slices.Contains([]fault.What{fault.Cut, fault.Slow, fault.Stall, fault.Throttle}, e.What) {
			ways[string(e.What)+" "+e.Kind]++
			if (e.What == fault.Cut) != (e.Down == 0) {
				t.Errorf("%s for %s", e.What, e.Down)
			}
		}
		if e.At < o.Over/20 || e.At > o.Over*19/20 || i > 0 && e.At < plan[i-1].At {
			t.Errorf("event %d is out of order or of bounds: %s", i, e)
		}
	}
	for _, kind := range rig.Kinds() {
		if kills[kind] != 40 {
			t.Errorf("kills of %s: got %d, want 40", kind, kills[kind])
		}
	}
	for way, n := range ways {
		if n != 2 {
			t.Errorf("%s: got %d, want 2", way, n)
		}
	}
	if len(ways) != 8 || whats[fault.Echo] != 3 {
		t.Errorf("got %v and %d echoes, want 8 ways and 3", ways, whats[fault.Echo])
	}
	if whats[fault.Outage] != 20 || whats[fault.Wipe] != 1 || whats[fault.Restart] != 6 || whats[fault.Replace] != 4 {
		t.Errorf("got %v", whats)
	}
}

// An outage alone is in the middle of the load, with nothing beside it.
func TestPlanAlone(t *testing.T) {
	t.Parallel()
	got := fault.Plan(fault.Options{Seed: 7, Over: 3 * time.Minute, Length: time.Minute, Alone: rig.Postgres, Kills: 10})
	want := []fault.Event{{At: time.Minute, What: fault.Outage, Kind: rig.Postgres, Down: time.Minute}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
