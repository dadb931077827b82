package dashboard_test

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"math/big"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"loom.internal/pkg/histogram"
	"loom.internal/pkg/pricing"
	"loom.internal/services/dashboard/internal/query"
)

// someFacts are requests of few values around the edges of minutes, hours and days, so
// that many of them fit the same filter and meet in one rollup.
func (r *rig) someFacts(end time.Time, n int) []*seeded {
	midnight := end.Truncate(24 * time.Hour)
	gen := rapid.Custom(func(t *rapid.T) *seeded {
		at := rapid.SampledFrom([]time.Time{
			midnight, midnight.Add(-time.Microsecond), midnight.Add(-24 * time.Hour), midnight.Add(-11 * time.Hour), midnight.Add(-30 * time.Hour),
			end.Truncate(time.Hour), end.Truncate(time.Hour).Add(-time.Microsecond), end.Add(-time.Minute), end.Add(-time.Second),
		}).Draw(t, "at").Add(-time.Duration(rapid.IntRange(0, 3).Draw(t, "days")*24) * time.Hour)
		return r.trace(at.Add(-time.Duration(rapid.IntRange(0, 90).Draw(t, "minutes"))*time.Minute), func(s *seeded) {
			s.model = rapid.SampledFrom([]string{"a", "b", "c, d"}).Draw(t, "model")
			s.provider = rapid.SampledFrom([]string{"openai", "azure"}).Draw(t, "provider")
			s.key = rapid.SampledFrom([]string{r.keyID, "ZZZZZZZZ"}).Draw(t, "key")
			s.outcome = rapid.SampledFrom([]string{"completed", "completed", "failed", "canceled", "interrupted"}).Draw(t, "outcome")
			s.tenant = rapid.SampledFrom([]string{"acme", "acme", "acme", "other"}).Draw(t, "tenant")
			s.latency = rapid.Int64Range(1, 1<<40).Draw(t, "latency") >> rapid.IntRange(0, 40).Draw(t, "shift")
			s.ttft = rapid.Int64Range(0, 3).Draw(t, "ttft") * 100_000
			s.input = rapid.Int64Range(0, 1000).Draw(t, "input")
			s.cached = rapid.SampledFrom([]int64{0, s.input / 2}).Draw(t, "cached")
			s.output = rapid.Int64Range(0, 1000).Draw(t, "output")
			s.cost = rapid.Int64Range(0, math.MaxInt64).Draw(t, "cost") >> rapid.IntRange(0, 62).Draw(t, "shift")
			s.costStatus = rapid.SampledFrom([]string{"priced", "priced", "unpriced", "no_usage"}).Draw(t, "cost status")
			s.unpricedWhy = map[string]string{"unpriced": "no_price"}[s.costStatus]
			s.session = rapid.SampledFrom([]string{"", "s1", "s2"}).Draw(t, "session")
			s.status = rapid.SampledFrom([]int{200, 429}).Draw(t, "status")
			s.attempts = rapid.IntRange(0, 2).Draw(t, "attempts")
			s.stream = rapid.Bool().Draw(t, "stream")
			s.tags = map[string]string{}
			for _, name := range []string{"env", "team"} {
				if value := rapid.SampledFrom([]string{"none", "x", "y:z"}).Draw(t, name); value != "none" {
					s.tags[name] = value
				}
			}
		})
	})
	facts := make([]*seeded, n)
	for i := range facts {
		facts[i] = gen.Example(i)
	}
	return facts
}

// asked is a filter as a query, and as a condition on what was seeded.
type asked struct {
	url.Values
	fits []condition
}

// condition is on one dimension, as facets name it.
type condition struct {
	dim  string
	fits func(*seeded) bool
}

func (a *asked) on(dim string, fits func(*seeded) bool) {
	a.fits = append(a.fits, condition{dim, fits})
}

// without is a without what it asks of a dimension.
func (a *asked) without(dim string) *asked {
	return &asked{fits: slices.DeleteFunc(slices.Clone(a.fits), func(c condition) bool { return c.dim == dim })}
}

func (a *asked) oneOf(name string, values []string, of func(*seeded) string) {
	if len(values) == 0 {
		return
	}
	a.Values[name] = values
	a.on(name, func(s *seeded) bool { return slices.Contains(values, of(s)) })
}

func (a *asked) flag(t *rapid.T, name string, of func(*seeded) bool) {
	if text := rapid.SampledFrom([]string{"", "", "true", "false"}).Draw(t, name); text != "" {
		a.Set(name, text)
		a.on(name, func(s *seeded) bool { return of(s) == (text == "true") })
	}
}

// of keeps the facts of acme in a window that fit.
func (a *asked) of(facts []*seeded, from, to time.Time) (fit []*seeded) {
	for _, s := range facts {
		ok := s.tenant == "acme" && !s.at.Before(from) && s.at.Before(to)
		for _, f := range a.fits {
			ok = ok && f.fits(s)
		}
		if ok {
			fit = append(fit, s)
		}
	}
	return fit
}

// someFilter draws one of those that rollups can answer, that rollups of tags can, and that
// only the ledger can.
func someFilter(t *rapid.T, keyID string) *asked {
	a := &asked{Values: url.Values{}}
	some := func(name string, values ...string) []string {
		return rapid.SliceOfNDistinct(rapid.SampledFrom(values), 0, 2, rapid.ID[string]).Draw(t, name)
	}
	if rapid.Bool().Draw(t, "by dimensions") {
		a.oneOf("model", some("model", "a", "b", "c, d", "nope"), func(s *seeded) string { return s.model })
		a.oneOf("provider", some("provider", "openai", "azure"), func(s *seeded) string { return s.provider })
		a.oneOf("key", some("key", keyID, "ZZZZZZZZ"), func(s *seeded) string { return s.key })
		a.oneOf("outcome", some("outcome", "completed", "failed", "canceled", "interrupted"), func(s *seeded) string { return s.outcome })
	}
	if status := rapid.SampledFrom([]string{"", "", "ok", "error"}).Draw(t, "status"); status != "" {
		a.Set("status", status)
		a.on("outcome", func(s *seeded) bool {
			return s.outcome == "completed" && status == "ok" || (s.outcome == "failed" || s.outcome == "interrupted") && status == "error"
		})
	}
	for _, name := range []string{"env", "team"} {
		values := some(name, "x", "y:z", "nope")
		for _, v := range values {
			a.Add("tag", name+":"+v)
		}
		if len(values) > 0 {
			a.on("tag:"+name, func(s *seeded) bool {
				value, ok := s.tags[name]
				return ok && slices.Contains(values, value)
			})
		}
	}
	if rapid.IntRange(0, 2).Draw(t, "by more") > 0 {
		return a
	}
	a.oneOf("session", some("session", "s1", "s2"), func(s *seeded) string { return s.session })
	a.oneOf("http_status", some("http_status", "200", "502"), func(s *seeded) string { return strconv.Itoa(s.status) })
	a.oneOf("cost_status", some("cost_status", "priced", "unpriced", "no_usage"), func(s *seeded) string { return s.costStatus })
	a.flag(t, "stream", func(s *seeded) bool { return s.stream })
	a.flag(t, "cached", func(s *seeded) bool { return s.cached > 0 })
	a.flag(t, "retried", func(s *seeded) bool { return s.attempts > 1 })
	if rapid.Bool().Draw(t, "by cost") {
		least := rapid.SampledFrom([]pricing.Picodollars{0, 1, 250_000_000_000}).Draw(t, "min_cost_usd")
		a.Set("min_cost_usd", least.USD())
		a.on("min_cost_usd", func(s *seeded) bool { return s.costStatus == "priced" && s.cost >= int64(least) })
	}
	if rapid.Bool().Draw(t, "by latency") {
		a.Set("min_latency_ms", "1.5")
		a.on("min_latency_ms", func(s *seeded) bool { return s.latency >= 1500 })
	}
	return a
}

// addedUp is what a summary says of some facts, added up here.
type addedUp struct {
	requests, errors, canceled, unpriced, noUsage, input, cached, output int64
	cost                                                                 *string
	latency, ttft                                                        []int64
}

func addUp(facts []*seeded) (sum addedUp) {
	cost := new(big.Int)
	for _, s := range facts {
		sum.requests++
		sum.latency = histogram.Add(sum.latency, s.latency)
		if s.ttft > 0 {
			sum.ttft = histogram.Add(sum.ttft, s.ttft)
		}
		switch s.outcome {
		case "failed", "interrupted":
			sum.errors++
		case "canceled":
			sum.canceled++
		}
		switch s.costStatus {
		case "priced":
			cost.Add(cost, big.NewInt(s.cost))
		case "unpriced":
			sum.unpriced++
		case "no_usage":
			sum.noUsage++
		}
		sum.input, sum.cached, sum.output = sum.input+s.input, sum.cached+s.cached, sum.output+s.output
	}
	if sum.unpriced == 0 || sum.requests > sum.unpriced+sum.noUsage {
		sum.cost = new(dollars(cost))
	}
	return sum
}

func dollars(pico *big.Int) string {
	text := new(big.Rat).SetFrac(pico, big.NewInt(1_000_000_000_000)).FloatString(12)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}

func ms(hist []int64, q float64) string {
	us, ok := histogram.Quantile(hist, q)
	if !ok {
		return "null"
	}
	return strconv.FormatFloat(float64(us)/1000, 'f', -1, 64)
}

func shown(f *float64) string {
	if f == nil {
		return "null"
	}
	return strconv.FormatFloat(*f, 'f', -1, 64)
}

// byKey splits facts by what a query is split by.
func byKey(facts []*seeded, by string) map[string][]*seeded {
	groups := map[string][]*seeded{}
	for _, s := range facts {
		key := map[string]string{"model": s.model, "provider": s.provider, "key": s.key, "outcome": s.outcome, "": "total"}[by]
		if name, ok := strings.CutPrefix(by, "tag:"); ok {
			key = s.tags[name]
		}
		groups[key] = append(groups[key], s)
	}
	return groups
}

// Whatever is asked for, and wherever it is read from, the numbers are those of the facts
// added up one by one.
func TestEverySourceComesToTheSame(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	end := time.Now().UTC().Truncate(time.Minute)
	facts := r.someFacts(end, 150)
	r.insert(t, facts...)
	rapid.Check(t, func(rt *rapid.T) {
		a := someFilter(rt, r.keyID)
		from := end.Add(-time.Duration(rapid.SampledFrom([]int{15, 61, 6 * 60, 25 * 60, 50*60 + 7, 5 * 24 * 60}).Draw(rt, "minutes")) * time.Minute)
		window := between(from, end)
		q := "?" + window + "&" + a.Encode()
		fit := a.of(facts, from, end)
		want := addUp(fit)

		for _, s := range facts {
			if fits := a.filter().Fits(s.asRequest()); fits != (len(a.of([]*seeded{s}, s.at, s.at.Add(1))) == 1) && s.tenant == "acme" {
				rt.Errorf("%s: %+v fits: %v", q, s, fits)
			}
		}

		var got summary
		r.get(t, r.acme, "/api/v1/summary"+q, &got)
		previous := addUp(a.of(facts, from.Add(-end.Sub(from)), from))
		for name, pair := range map[string][2]string{
			"requests": {fmt.Sprint(got.Requests), fmt.Sprint(count{want.requests, previous.requests})},
			"errors":   {fmt.Sprint(got.Errors), fmt.Sprint(count{want.errors, previous.errors})},
			"canceled": {fmt.Sprint(got.Canceled), fmt.Sprint(count{want.canceled, previous.canceled})},
			"unpriced": {fmt.Sprint(got.Unpriced), fmt.Sprint(count{want.unpriced, previous.unpriced})},
			"no usage": {fmt.Sprint(got.NoUsage), fmt.Sprint(count{want.noUsage, previous.noUsage})},
			"input":    {fmt.Sprint(got.Tokens["input"]), fmt.Sprint(count{want.input, previous.input})},
			"cached":   {fmt.Sprint(got.Tokens["cached"]), fmt.Sprint(count{want.cached, previous.cached})},
			"output":   {fmt.Sprint(got.Tokens["output"]), fmt.Sprint(count{want.output, previous.output})},
			"cost":     {text(got.Cost.Value) + text(got.Cost.Previous), text(want.cost) + text(previous.cost)},
			"p95":      {shown(got.Latency.P95) + shown(got.Latency.Previous.P95), ms(want.latency, 0.95) + ms(previous.latency, 0.95)},
			"ttft":     {shown(got.TTFT.P50), ms(want.ttft, 0.5)},
		} {
			if pair[0] != pair[1] {
				rt.Errorf("summary%s: %s: got %s, want %s", q, name, pair[0], pair[1])
			}
		}
		checkSpark(rt, got, fit)

		by := rapid.SampledFrom([]string{"", "model", "provider", "key", "outcome", "tag:env", "tag:team", "tag:nope"}).Draw(rt, "by")
		metric := rapid.SampledFrom([]string{"cost", "requests", "tokens", "errors", "latency", "ttft"}).Draw(rt, "metric")
		sq := q + "&metric=" + metric
		if by != "" {
			sq += "&by=" + url.QueryEscape(by)
		}
		var ts timeseries
		r.get(t, r.acme, "/api/v1/timeseries"+sq, &ts)
		checkSeries(rt, sq, ts, byKey(fit, by), metric, by)
		checkFacets(t, rt, r, a, facts, from, end, q)
		checkCosts(t, rt, r, q, fit, a.of(facts, from.Add(-end.Sub(from)), from), rapid.SampledFrom([]string{"model", "provider", "key", "tag:env"}).Draw(rt, "cost by"))
		checkModels(t, rt, r, q, fit)

		var page tracePage
		r.get(t, r.acme, "/api/v1/traces"+q+"&limit=200", &page)
		listed := []string{}
		for _, s := range fit {
			listed = append(listed, s.id.String())
		}
		slices.Sort(listed)
		if items := ids(page.Items); !slices.Equal(slices.Sorted(slices.Values(items)), listed) {
			rt.Errorf("traces%s: got %d, want %d", q, len(items), len(listed))
		}
	})
}

func checkSpark(rt *rapid.T, got summary, fit []*seeded) {
	spark := got.Spark
	if len(spark.T) == 0 || len(spark.T) > 31 {
		rt.Errorf("%d points", len(spark.T))
	}
	steps := make([][]*seeded, len(spark.T))
	for _, s := range fit {
		i, _ := slices.BinarySearch(spark.T, s.at.Unix()+1)
		steps[i-1] = append(steps[i-1], s)
	}
	for i, of := range steps {
		want := addUp(of)
		if int64(spark.Requests[i]) != want.requests || int64(spark.Errors[i]) != want.errors || int64(spark.Tokens[i]) != want.input+want.output ||
			shown(spark.LatencyP95[i]) != ms(want.latency, 0.95) || (spark.Cost[i] == nil) != (want.cost == nil) {
			rt.Errorf("step %d of the spark: got %v, want %+v", i, spark, want)
		}
	}
}

// checkSeries compares the series of all groups, of which there are never more than are
// shown here, and their values with their totals.
func checkSeries(rt *rapid.T, q string, ts timeseries, groups map[string][]*seeded, metric, by string) {
	value := func(facts []*seeded) string {
		sum := addUp(facts)
		switch metric {
		case "cost":
			return text(sum.cost)
		case "tokens":
			return strconv.FormatInt(sum.input+sum.output, 10)
		case "errors":
			return strconv.FormatInt(sum.errors, 10)
		case "latency":
			return ms(sum.latency, 0.95)
		case "ttft":
			return ms(sum.ttft, 0.95)
		default:
			return strconv.FormatInt(sum.requests, 10)
		}
	}
	quantiles := metric == "latency" || metric == "ttft"
	seen := map[string]string{}
	for _, s := range ts.Series {
		key := s.Key
		if by == "" && quantiles {
			if key != "p95" {
				continue
			}
			key = "total"
		}
		seen[key] = cmp.Or(text(s.Total), "nothing")
		if quantiles && s.Total == nil {
			seen[key] = "null"
		}
		steps := make([][]*seeded, len(ts.T))
		for _, f := range groups[key] {
			i, _ := slices.BinarySearch(ts.T, f.at.Unix()+1)
			steps[i-1] = append(steps[i-1], f)
		}
		for i, v := range s.Values {
			switch want := value(steps[i]); {
			case quantiles && shown(v) != want:
				rt.Errorf("timeseries%s: %s at %d: got %s, want %s", q, key, ts.T[i], shown(v), want)
			case !quantiles && (v == nil) != (want == "nothing"):
				rt.Errorf("timeseries%s: %s at %d: got %s, want %s", q, key, ts.T[i], shown(v), want)
			case !quantiles && v != nil:
				if f, _ := strconv.ParseFloat(want, 64); f != *v {
					rt.Errorf("timeseries%s: %s at %d: got %v, want %s", q, key, ts.T[i], *v, want)
				}
			}
		}
	}
	want := map[string]string{}
	for key, facts := range groups {
		want[key] = value(facts)
	}
	if !maps.Equal(seen, want) {
		rt.Errorf("timeseries%s: got %v, want %v", q, seen, want)
	}
}

// checkFacets counts every value under the filter without its own dimension.
func checkFacets(t *testing.T, rt *rapid.T, r *rig, a *asked, facts []*seeded, from, to time.Time, q string) {
	t.Helper()
	var got struct {
		Total  int64
		Facets []struct {
			Dim    string
			Values []struct {
				Value    string
				Requests int
			}
		}
	}
	r.get(t, r.acme, "/api/v1/facets"+q, &got)
	if want := len(a.of(facts, from, to)); got.Total != int64(want) {
		rt.Errorf("facets%s: total %d, want %d", q, got.Total, want)
	}
	seen := map[string]bool{}
	for _, f := range got.Facets {
		seen[f.Dim] = true
		values := map[string]int{}
		for _, v := range f.Values {
			values[v.Value] = v.Requests
		}
		want := map[string]int{}
		for key, group := range byKey(a.without(f.Dim).of(facts, from, to), f.Dim) {
			if key != "" {
				want[key] = len(group)
			}
		}
		if !maps.Equal(values, want) {
			rt.Errorf("facets%s: %s: got %v, want %v", q, f.Dim, values, want)
		}
	}
	for _, tag := range a.Values["tag"] {
		name, _, _ := strings.Cut(tag, ":")
		if !seen["tag:"+name] {
			rt.Errorf("facets%s: no facet of the tag %s", q, name)
		}
	}
	for name := range byTag(a.of(facts, from, to)) {
		if !seen["tag:"+name] {
			rt.Errorf("facets%s: no facet of the tag %s", q, name)
		}
	}
}

func byTag(facts []*seeded) map[string]bool {
	names := map[string]bool{}
	for _, s := range facts {
		for name := range s.tags {
			names[name] = true
		}
	}
	return names
}

// per1k is what a thousand priced requests cost, to a picodollar.
func (sum addedUp) per1k() string {
	priced := sum.requests - sum.unpriced - sum.noUsage
	if priced == 0 {
		return "nothing"
	}
	pico, _ := new(big.Rat).SetString(*sum.cost)
	pico.Mul(pico, big.NewRat(1000, priced))
	rounded, _ := new(big.Rat).SetString(pico.FloatString(12))
	return dollars(new(big.Int).Div(new(big.Int).Mul(rounded.Num(), big.NewInt(1_000_000_000_000)), rounded.Denom()))
}

type costs struct {
	FreshTo        *time.Time `json:"fresh_to"`
	Total          *string    `json:"total_usd"`
	Previous       *string    `json:"previous_usd"`
	Requests, More int64
	Month          struct {
		From, To time.Time
		Spent    *string `json:"spent_usd"`
		Forecast *string `json:"forecast_usd"`
	}
	Rows []struct {
		Key, Label string
		Cost       *string `json:"cost_usd"`
		Previous   *string `json:"previous_usd"`
		Share      *float64
		Requests   int64
		Per1k      *string `json:"per_1k_usd"`
	}
	UnpricedModels []struct {
		Provider, Model string
		Requests        int64
	} `json:"unpriced_models"`
}

func checkCosts(t *testing.T, rt *rapid.T, r *rig, q string, fit, before []*seeded, by string) {
	t.Helper()
	var got costs
	r.get(t, r.acme, "/api/v1/costs"+q+"&by="+url.QueryEscape(by), &got)
	all, previously := addUp(fit), addUp(before)
	if text(got.Total) != text(all.cost) || text(got.Previous) != text(previously.cost) || got.Requests != all.requests || got.More != 0 {
		rt.Errorf("costs%s: got %s, %s of %d requests, want %s, %s of %d", q, text(got.Total), text(got.Previous), got.Requests, text(all.cost), text(previously.cost), all.requests)
	}
	was := byKey(before, by)
	seen, want := map[string]string{}, map[string]string{}
	for _, row := range got.Rows {
		seen[row.Key] = fmt.Sprint(text(row.Cost), " ", text(row.Previous), " ", row.Requests, " ", text(row.Per1k))
	}
	for key, facts := range byKey(fit, by) {
		sum, previous := addUp(facts), "nothing"
		if len(was[key]) > 0 {
			previous = text(addUp(was[key]).cost)
		}
		want[key] = fmt.Sprint(text(sum.cost), " ", previous, " ", sum.requests, " ", sum.per1k())
	}
	if !maps.Equal(seen, want) {
		rt.Errorf("costs%s by %s: got %v, want %v", q, by, seen, want)
	}
	unpriced := map[string]int64{}
	for _, m := range got.UnpricedModels {
		unpriced[m.Provider+" "+m.Model] = m.Requests
	}
	wantUnpriced := map[string]int64{}
	for _, s := range fit {
		if s.costStatus == "unpriced" {
			wantUnpriced[s.provider+" "+s.model]++
		}
	}
	if !maps.Equal(unpriced, wantUnpriced) {
		rt.Errorf("costs%s: without a price: got %v, want %v", q, unpriced, wantUnpriced)
	}
}

func checkModels(t *testing.T, rt *rapid.T, r *rig, q string, fit []*seeded) {
	t.Helper()
	var got struct {
		Rows []struct {
			Provider, Model            string
			Requests, Errors, Canceled int64
			Cost                       *string   `json:"cost_usd"`
			Per1k                      *string   `json:"per_1k_usd"`
			Latency                    quantiles `json:"latency_ms"`
			TTFT                       quantiles `json:"ttft_ms"`
			OutputPerS                 *float64  `json:"output_per_s"`
		}
	}
	r.get(t, r.acme, "/api/v1/models"+q, &got)
	groups := map[string][]*seeded{}
	for _, s := range fit {
		groups[s.provider+" "+s.model] = append(groups[s.provider+" "+s.model], s)
	}
	seen, want := map[string]string{}, map[string]string{}
	for _, row := range got.Rows {
		rate := "nothing"
		if row.OutputPerS != nil {
			rate = strconv.FormatFloat(*row.OutputPerS, 'g', 9, 64)
		}
		seen[row.Provider+" "+row.Model] = fmt.Sprint(row.Requests, row.Errors, row.Canceled, text(row.Cost), text(row.Per1k),
			shown(row.Latency.P99), shown(row.TTFT.P50), " ", rate)
	}
	for key, facts := range groups {
		sum, took := addUp(facts), int64(0)
		for _, s := range facts {
			took += s.latency
		}
		rate := "nothing"
		if took > 0 {
			rate = strconv.FormatFloat(float64(sum.output)*1e6/float64(took), 'g', 9, 64)
		}
		want[key] = fmt.Sprint(sum.requests, sum.errors, sum.canceled, text(sum.cost), sum.per1k(),
			ms(sum.latency, 0.99), ms(sum.ttft, 0.5), " ", rate)
	}
	if !maps.Equal(seen, want) {
		rt.Errorf("models%s: got %v, want %v", q, seen, want)
	}
}

// filter is a as those have it who watch.
func (a *asked) filter() query.Filter {
	f := query.Filter{
		Models: a.Values["model"], Providers: a.Values["provider"], Keys: a.Values["key"], Outcomes: a.Values["outcome"],
		Sessions: a.Values["session"], CostStatuses: a.Values["cost_status"],
	}
	for _, tag := range a.Values["tag"] {
		name, value, _ := strings.Cut(tag, ":")
		f = f.WithTag(name, value)
	}
	for _, status := range a.Values["http_status"] {
		n, _ := strconv.ParseInt(status, 10, 32)
		f.HTTPStatuses = append(f.HTTPStatuses, int32(n))
	}
	for name, flag := range map[string]**bool{"stream": &f.Stream, "cached": &f.Cached, "retried": &f.Retried} {
		if a.Has(name) {
			*flag = new(a.Get(name) == "true")
		}
	}
	if a.Has("min_cost_usd") {
		least, _ := pricing.ParseUSD(a.Get("min_cost_usd"))
		f.MinCost = &least
	}
	if a.Has("min_latency_ms") {
		f.MinLatency = new(int64(1500))
	}
	if a.Has("status") {
		f = f.WithStatus(a.Get("status"))
	}
	return f
}

func (s *seeded) asRequest() query.Request {
	q := query.Request{
		Model: s.model, Provider: s.provider, Key: s.key, Outcome: s.outcome, Session: s.session, Tags: s.tags, HTTPStatus: s.status,
		CostStatus: s.costStatus, Stream: s.stream, Cached: s.cached > 0, Attempts: s.attempts, Latency: s.latency,
	}
	if s.costStatus == "priced" {
		q.Cost = s.cost
	}
	return q
}
