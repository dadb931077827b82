package proxy

import (
	"slices"
	"time"
)

const maxGaps = 4096

// gaps measures the time between chunks. Of a long stream it keeps every second gap,
// then every fourth, and so on: the memory is bounded and the quantiles stay fair.
type gaps struct {
	last   time.Time
	kept   []int64 // microseconds
	stride int
	skip   int
}

func (g *gaps) add(now time.Time) {
	last := g.last
	g.last = now
	if last.IsZero() {
		return
	}
	if g.skip > 0 {
		g.skip--
		return
	}
	if len(g.kept) == maxGaps {
		for i := range maxGaps / 2 {
			g.kept[i] = g.kept[2*i]
		}
		g.kept = g.kept[:maxGaps/2]
		g.stride = max(1, g.stride) * 2
	}
	g.kept = append(g.kept, now.Sub(last).Microseconds())
	g.skip = max(0, g.stride-1)
}

// quantiles are the median and the 99th percentile; false without a gap.
func (g *gaps) quantiles() (p50, p99 int64, ok bool) {
	n := len(g.kept)
	if n == 0 {
		return 0, 0, false
	}
	slices.Sort(g.kept)
	return g.kept[(n-1)/2], g.kept[(n-1)*99/100], true
}
