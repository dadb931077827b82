package stats_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"loom.internal/services/dashboard/internal/query"
	"loom.internal/services/dashboard/internal/stats"
)

var grains = map[string]time.Duration{"minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}

func someWindow(t *rapid.T) query.Window {
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(rapid.IntRange(0, 60*24*500).Draw(t, "from")) * time.Minute)
	return query.Window{From: from, To: from.Add(time.Duration(rapid.IntRange(1, 60*24*366).Draw(t, "minutes")) * time.Minute)}
}

// The segments of a window are the window: whole units of their grain, none of it
// twice, none of it missing.
func TestSegmentsAreTheWindow(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := someWindow(t)
		coarsest := rapid.SampledFrom([]time.Duration{time.Minute, time.Hour, 24 * time.Hour, 96 * time.Hour}).Draw(t, "coarsest")
		all := stats.Segments(w, coarsest)
		slices.SortFunc(all, func(a, b stats.Segment) int { return a.From.Compare(b.From) })
		at := w.From
		for _, s := range all {
			if !s.From.Equal(at) {
				t.Fatalf("a segment starts at %s, the one before ends at %s", s.From, at)
			}
			unit := grains[s.Grain]
			if unit > coarsest || !s.From.Truncate(unit).Equal(s.From) || !s.To.Truncate(unit).Equal(s.To) || !s.From.Before(s.To) {
				t.Fatalf("%s from %s to %s is not made of whole units up to %s", s.Grain, s.From, s.To, coarsest)
			}
			at = s.To
		}
		if !at.Equal(w.To) {
			t.Fatalf("the last segment ends at %s, the window at %s", at, w.To)
		}
		if len(all) > 5 {
			t.Fatalf("%d segments, at most 5 are needed", len(all))
		}
	})
}

func TestStepBoundsThePoints(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := someWindow(t)
		step, first := stats.StepOf(w)
		if first.After(w.From) || !first.Add(step).After(w.From) || first.Unix()%int64(step.Seconds()) != 0 {
			t.Fatalf("the first step of %s starts at %s, the window at %s", step, first, w.From)
		}
		if points := (w.To.Sub(first) + step - 1) / step; points > stats.MaxPoints {
			t.Fatalf("%d points of %s", points, step)
		}
	})
}
