package ledger

import (
	"cmp"
	"math/big"
	"strconv"
	"time"

	"loom.internal/pkg/histogram"
)

// entry is what of a fact goes into the sums.
type entry struct {
	tenant, keyID, provider, model, route, outcome string
	startedAt                                      time.Time
	status                                         string
	input, cacheRead, cacheWrite, output           int64
	reasoning, duration                            int64
	cost, ttft                                     *int64
	tags                                           map[string]string
}

func (f fact) entry() entry {
	return entry{
		tenant: f.GetTenantId(), keyID: f.GetKeyId(), provider: f.GetProvider(), model: f.Model(),
		route: f.GetRoute(), outcome: f.GetOutcome().Kind(), startedAt: f.StartedAt(), status: f.status,
		input: f.usage.UncachedInput, cacheRead: f.usage.CacheRead, cacheWrite: f.usage.CacheWrite + f.usage.CacheWrite1h,
		output: f.usage.Output, reasoning: f.usage.Reasoning, duration: f.GetDurationUs(), cost: f.cost, ttft: f.TtftUs,
		tags: f.GetTags(),
	}
}

// key is the primary key of a rollup.
type key struct {
	tenant, grain, keyID, provider, model, route, outcome string
	bucket                                                int64  // start, seconds since the Unix epoch
	tag, value                                            string // "" in rollups: no tag is without a name
}

// compare orders keys the same in every process, so that none waits for another in
// a circle.
func (k key) compare(o key) int {
	return cmp.Or(
		cmp.Compare(k.tenant, o.tenant), cmp.Compare(k.grain, o.grain), cmp.Compare(k.tag, o.tag), cmp.Compare(k.bucket, o.bucket),
		cmp.Compare(k.value, o.value), cmp.Compare(k.keyID, o.keyID), cmp.Compare(k.provider, o.provider),
		cmp.Compare(k.model, o.model), cmp.Compare(k.route, o.route), cmp.Compare(k.outcome, o.outcome),
	)
}

func (k key) table() *table {
	if k.tag == "" {
		return rollupTable
	}
	return tagTable
}

func (k key) start() time.Time { return time.Unix(k.bucket, 0).UTC() }

// sums are the measures of a rollup. What may outgrow an int64 is a big.Int.
type sums struct {
	requests, unpriced, noUsage                                   int64
	input, cacheRead, cacheWrite, output, reasoning, cost, timeUs big.Int
	durations, ttfts                                              []int64
}

// rollups are sums by key, of both tables.
type rollups map[key]*sums

// add counts one entry, once in every grain, and so for each of its tags.
func (r rollups) add(e entry) {
	k := key{tenant: e.tenant, keyID: e.keyID, provider: e.provider, model: e.model, route: e.route, outcome: e.outcome}
	r.count(k, e)
	for k.tag, k.value = range e.tags {
		r.count(k, e)
	}
}

func (r rollups) count(k key, e entry) {
	for _, g := range k.table().grains {
		k.grain, k.bucket = g.name, e.startedAt.Truncate(g.length).Unix()
		if r[k] == nil {
			r[k] = new(sums)
		}
		r[k].add(e)
	}
}

func (s *sums) add(e entry) {
	s.requests++
	switch e.status {
	case "unpriced":
		s.unpriced++
	case "no_usage":
		s.noUsage++
	}
	var n big.Int
	for _, m := range []struct {
		sum *big.Int
		by  int64
	}{
		{&s.input, e.input},
		{&s.cacheRead, e.cacheRead},
		{&s.cacheWrite, e.cacheWrite},
		{&s.output, e.output},
		{&s.reasoning, e.reasoning},
		{&s.timeUs, e.duration},
	} {
		m.sum.Add(m.sum, n.SetInt64(m.by))
	}
	if e.cost != nil {
		s.cost.Add(&s.cost, n.SetInt64(*e.cost))
	}
	s.durations = histogram.Add(s.durations, e.duration)
	if e.ttft != nil {
		s.ttfts = histogram.Add(s.ttfts, *e.ttft)
	}
}

// measures are the columns of a rollup beside its key, as text: what is written, and
// what Reconcile compares.
var measures = []struct {
	name, sqlType string
	text          func(*sums) string
}{
	{"requests", "bigint", func(s *sums) string { return strconv.FormatInt(s.requests, 10) }},
	{"unpriced", "bigint", func(s *sums) string { return strconv.FormatInt(s.unpriced, 10) }},
	{"no_usage", "bigint", func(s *sums) string { return strconv.FormatInt(s.noUsage, 10) }},
	{"input_uncached", "numeric", func(s *sums) string { return s.input.String() }},
	{"cache_read", "numeric", func(s *sums) string { return s.cacheRead.String() }},
	{"cache_write", "numeric", func(s *sums) string { return s.cacheWrite.String() }},
	{"output", "numeric", func(s *sums) string { return s.output.String() }},
	{"reasoning", "numeric", func(s *sums) string { return s.reasoning.String() }},
	{"cost", "numeric", func(s *sums) string { return s.cost.String() }},
	{"duration_us", "numeric", func(s *sums) string { return s.timeUs.String() }},
	{"duration_hist", "bigint[]", func(s *sums) string { return arrayText(s.durations) }},
	{"ttft_hist", "bigint[]", func(s *sums) string { return arrayText(s.ttfts) }},
}

// rollup is one row of a table.
type rollup struct {
	key
	*sums
}

// arrayText is numbers as Postgres writes a bigint[].
func arrayText(numbers []int64) string {
	text := []byte{'{'}
	for i, n := range numbers {
		if i > 0 {
			text = append(text, ',')
		}
		text = strconv.AppendInt(text, n, 10)
	}
	return string(append(text, '}'))
}
