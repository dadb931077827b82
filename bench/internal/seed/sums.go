package seed

import (
	"context"
	"time"

	"loom.internal/pkg/histogram"
)

var measures = []string{
	"requests", "unpriced", "no_usage", "input_uncached", "cache_read", "cache_write", "output", "reasoning", "cost", "duration_us",
	"duration_hist", "ttft_hist",
}

// group is what requests are summed up by; tag is empty in rollups.
type group struct{ tenant, key, provider, model, route, outcome, tag, value string }

// sum is the measures of a group.
type sum struct {
	requests, unpriced, noUsage                               int64
	input, cacheRead, cacheWrite, output, reasoning, cost, us int64
	durations, ttfts                                          []int64 // histograms
}

// grain is the sums of the bucket of time that is being filled. Requests come in the
// order of their beginning, so that there is one at a time.
type grain struct {
	name   string
	length time.Duration
	table  *table
	tags   bool
	bucket time.Time
	sums   map[group]*sum
}

// sums adds facts up at every grain.
type sums []*grain

func newSums(tables map[string]*table) sums {
	r, t := tables["rollups"], tables["tag_rollups"]
	const day = 24 * time.Hour
	s := sums{
		{name: "minute", length: time.Minute, table: r},
		{name: "hour", length: time.Hour, table: r},
		{name: "day", length: day, table: r},
		{name: "hour", length: time.Hour, table: t, tags: true},
		{name: "day", length: day, table: t, tags: true},
	}
	for _, g := range s {
		g.sums = make(map[group]*sum)
	}
	return s
}

func (s sums) add(ctx context.Context, f *fact) error {
	at := f.StartedAt()
	of := group{tenant: f.GetTenantId(), key: f.GetKeyId(), provider: f.GetProvider(), model: f.Model(), route: f.GetRoute(), outcome: f.GetOutcome().Kind()}
	for _, g := range s {
		if bucket := at.Truncate(g.length); !bucket.Equal(g.bucket) {
			if err := g.end(ctx); err != nil {
				return err
			}
			g.bucket = bucket
		}
		if !g.tags {
			g.of(of).add(f)
			continue
		}
		for tag, value := range f.GetTags() {
			of := of
			of.tag, of.value = tag, value
			g.of(of).add(f)
		}
	}
	return nil
}

// end writes the sums of the last buckets.
func (s sums) end(ctx context.Context) error {
	for _, g := range s {
		if err := g.end(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (g *grain) of(k group) *sum {
	s := g.sums[k]
	if s == nil {
		s = new(sum)
		g.sums[k] = s
	}
	return s
}

func (g *grain) end(ctx context.Context) error {
	for k, s := range g.sums {
		row := []any{k.tenant, g.name, g.bucket, k.key, k.provider, k.model, k.route, k.outcome}
		if g.tags {
			row = append(row, k.tag, k.value)
		}
		row = append(row, s.requests, s.unpriced, s.noUsage, s.input, s.cacheRead, s.cacheWrite, s.output, s.reasoning, s.cost, s.us,
			hist(s.durations), hist(s.ttfts))
		if err := g.table.add(ctx, row); err != nil {
			return err
		}
	}
	clear(g.sums)
	return nil
}

// hist is never NULL.
func hist(h []int64) []int64 {
	if h == nil {
		return []int64{}
	}
	return h
}

func (s *sum) add(f *fact) {
	s.requests++
	switch f.status {
	case "unpriced":
		s.unpriced++
	case "no_usage":
		s.noUsage++
	}
	u := f.usage
	s.input += u.UncachedInput
	s.cacheRead += u.CacheRead
	s.cacheWrite += u.CacheWrite + u.CacheWrite1h
	s.output += u.Output
	s.reasoning += u.Reasoning
	if f.cost != nil {
		s.cost += *f.cost
	}
	s.us += f.GetDurationUs()
	s.durations = histogram.Add(s.durations, f.GetDurationUs())
	if f.TtftUs != nil {
		s.ttfts = histogram.Add(s.ttfts, *f.TtftUs)
	}
}
