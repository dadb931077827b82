package dashboard_test

import (
	"math"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

type count struct{ Value, Previous int64 }

type quantiles struct{ P50, P95, P99 *float64 }

type summary struct {
	From     time.Time  `json:"from"`
	To       time.Time  `json:"to"`
	FreshTo  *time.Time `json:"fresh_to"`
	Requests count      `json:"requests"`
	Errors   count      `json:"errors"`
	Canceled count      `json:"canceled"`
	Cost     struct {
		Value, Previous *string
	} `json:"cost_usd"`
	Unpriced count            `json:"unpriced"`
	NoUsage  count            `json:"no_usage"`
	Tokens   map[string]count `json:"tokens"`
	Latency  struct {
		quantiles
		Previous quantiles `json:"previous"`
	} `json:"latency_ms"`
	TTFT  quantiles `json:"ttft_ms"`
	Spark struct {
		T                        []int64
		Requests, Errors, Tokens []float64
		Cost                     []*float64 `json:"cost_usd"`
		LatencyP95               []*float64 `json:"latency_p95_ms"`
	}
}

type timeseries struct {
	From        time.Time `json:"from"`
	To          time.Time `json:"to"`
	StepS       int64     `json:"step_s"`
	T           []int64   `json:"t"`
	PartialLast bool      `json:"partial_last"`
	Series      []struct {
		Key, Label string
		Other      bool
		Total      *string
		Values     []*float64
	} `json:"series"`
}

func between(from, to time.Time) string {
	return "from=" + url.QueryEscape(from.Format(time.RFC3339Nano)) + "&to=" + url.QueryEscape(to.Format(time.RFC3339Nano))
}

// near is equality to within the error of a histogram's bucket.
func near(got *float64, want float64) bool {
	return got != nil && math.Abs(*got-want) <= want/60
}

func TestSummary(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	from := time.Date(2026, 3, 10, 13, 37, 0, 0, time.UTC)
	to := from.Add(3*24*time.Hour + 95*time.Minute)
	in := func(d time.Duration, edit ...func(*seeded)) { r.insert(t, r.trace(from.Add(d), edit...)) }
	in(0)                                                     // the first instant is inside
	in(20*time.Hour, func(s *seeded) { s.latency = 500_000 }) // in whole hours and days
	in(50*time.Hour, func(s *seeded) { s.outcome, s.costStatus = "failed", "no_usage" })
	in(73*time.Hour, func(s *seeded) { s.outcome = "canceled" })
	in(to.Sub(from)-time.Microsecond, func(s *seeded) { s.costStatus, s.unpricedWhy = "unpriced", "no_price" })
	in(to.Sub(from))                                                              // the end is outside
	in(-time.Microsecond, func(s *seeded) { s.cost = 9_000_000_000_000_000_001 }) // before: more than an int64 holds, twice
	in(-2*time.Hour, func(s *seeded) { s.cost = 9_000_000_000_000_000_002 })
	in(time.Hour, func(s *seeded) { s.tenant = "other" })

	var got summary
	r.get(t, r.acme, "/api/v1/summary?"+between(from, to), &got)
	if !got.From.Equal(from) || !got.To.Equal(to) {
		t.Errorf("got the window %s – %s", got.From, got.To)
	}
	if got.Requests != (count{5, 2}) || got.Errors != (count{1, 0}) || got.Canceled != (count{1, 0}) ||
		got.Unpriced != (count{1, 0}) || got.NoUsage != (count{1, 0}) {
		t.Errorf("got %+v", got)
	}
	if got.Cost.Value == nil || *got.Cost.Value != "0.00036" || got.Cost.Previous == nil || *got.Cost.Previous != "18000000.000000000003" {
		t.Errorf("cost: got %s and %s", text(got.Cost.Value), text(got.Cost.Previous))
	}
	if diff := cmp.Diff(map[string]count{"total": {520, 260}, "input": {400, 200}, "cached": {80, 40}, "output": {120, 60}, "reasoning": {}}, got.Tokens); diff != "" {
		t.Errorf("tokens (-want +got):\n%s", diff)
	}
	if !near(got.Latency.P50, 1234.567) || !near(got.Latency.P99, 1234.567) || !near(got.TTFT.P50, 200) {
		t.Errorf("quantiles: got %+v, ttft %+v", got.Latency, got.TTFT)
	}
	// Not on whole minutes: widened to them.
	r.get(t, r.acme, "/api/v1/summary?"+between(from.Add(59*time.Second), to.Add(time.Second)), &got)
	if got.Requests.Value != 6 || !got.From.Equal(from) || !got.To.Equal(to.Add(time.Minute)) {
		t.Errorf("got %d requests from %s to %s", got.Requests.Value, got.From, got.To)
	}
}

func text(s *string) string {
	if s == nil {
		return "nothing"
	}
	return *s
}

func TestSummaryOfNothingAndOfUnpriced(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var empty summary
	r.get(t, r.acme, "/api/v1/summary", &empty)
	if empty.Requests.Value != 0 || text(empty.Cost.Value) != "0" || empty.Latency.P50 != nil {
		t.Errorf("nothing: got %+v", empty)
	}
	r.insert(t, r.trace(time.Now().Add(-time.Minute), func(s *seeded) { s.costStatus, s.unpricedWhy = "unpriced", "no_price" }))
	var got summary
	r.get(t, r.acme, "/api/v1/summary?range=1h", &got)
	if got.Cost.Value != nil || got.Unpriced.Value != 1 {
		t.Errorf("unpriced alone: cost %s, want null", text(got.Cost.Value))
	}
	r.get(t, r.acme, "/api/v1/summary?range=1h&status=error", &got)
	if got.Requests.Value != 0 {
		t.Errorf("filtered: got %d requests, want 0", got.Requests.Value)
	}
}

// Whatever the window and its step, the values are the summary's total.
func TestTimeseriesAddsUp(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	to := time.Date(2026, 5, 20, 11, 47, 30, 0, time.UTC)
	for i := range 40 {
		at := to.Add(-time.Duration(i*i) * 37 * time.Minute)
		r.insert(t, r.trace(at, func(s *seeded) {
			s.model, s.cost = "m"+strconv.Itoa(i%9), int64(i+1)*1_000_003
			if i%7 == 0 {
				s.outcome = "failed"
			}
		}))
	}
	for _, span := range []time.Duration{time.Minute, 15 * time.Minute, time.Hour, 26 * time.Hour, 7 * 24 * time.Hour, 60 * 24 * time.Hour, 366 * 24 * time.Hour} {
		window := between(to.Add(-span), to)
		var sum summary
		r.get(t, r.acme, "/api/v1/summary?"+window, &sum)
		for metric, want := range map[string]float64{
			"requests": float64(sum.Requests.Value), "errors": float64(sum.Errors.Value), "tokens": float64(sum.Tokens["total"].Value),
			"cost": number(t, sum.Cost.Value),
		} {
			for _, by := range []string{"", "&by=model", "&by=provider", "&by=key", "&by=outcome"} {
				var ts timeseries
				r.get(t, r.acme, "/api/v1/timeseries?metric="+metric+by+"&"+window, &ts)
				if len(ts.T) == 0 || len(ts.T) > 120 || len(ts.Series) > 7 {
					t.Errorf("%s%s over %s: %d points, %d series", metric, by, span, len(ts.T), len(ts.Series))
				}
				total, values := 0.0, 0.0
				for _, s := range ts.Series {
					total += number(t, s.Total)
					if len(s.Values) != len(ts.T) {
						t.Errorf("%s%s over %s: %d values for %d points", metric, by, span, len(s.Values), len(ts.T))
					}
					for _, v := range s.Values {
						values += *v
					}
				}
				if math.Abs(total-want) > 1e-12 || math.Abs(values-want) > 1e-9 {
					t.Errorf("%s%s over %s: totals %v, values %v, summary %v", metric, by, span, total, values, want)
				}
			}
		}
	}
}

func number(t *testing.T, s *string) float64 {
	t.Helper()
	f, err := strconv.ParseFloat(text(s), 64)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestTimeseriesGroups(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	now := time.Now()
	for i := range 8 {
		for range 8 - i {
			r.insert(t, r.trace(now.Add(-5*time.Minute), func(s *seeded) { s.model, s.latency = "m"+strconv.Itoa(i), int64(i+1)*100_000 }))
		}
	}
	r.insert(t, r.trace(now.Add(-5*time.Minute), func(s *seeded) { s.model, s.costStatus, s.unpricedWhy = "free?", "unpriced", "no_price" }))
	var ts timeseries
	r.get(t, r.acme, "/api/v1/timeseries?range=15m&metric=requests&by=model", &ts)
	if len(ts.Series) != 7 || ts.Series[0].Key != "m0" || *ts.Series[0].Total != "8" || !ts.Series[6].Other || *ts.Series[6].Total != "4" {
		t.Errorf("by model: got %+v", ts.Series)
	}
	if !ts.PartialLast {
		t.Error("the last step of a window that ends now has ended")
	}
	r.get(t, r.acme, "/api/v1/timeseries?range=15m&metric=requests&by=key", &ts)
	if len(ts.Series) != 1 || ts.Series[0].Key != r.keyID || ts.Series[0].Label != "all" {
		t.Errorf("by key: got %+v", ts.Series)
	}
	ts = timeseries{}
	r.get(t, r.acme, "/api/v1/timeseries?range=15m&metric=cost&by=model&model=free%3F", &ts)
	if len(ts.Series) != 1 || ts.Series[0].Total != nil {
		t.Errorf("cost of what has no price: got %+v, want null", ts.Series)
	}
	ts = timeseries{}
	r.get(t, r.acme, "/api/v1/timeseries?range=15m&metric=latency&by=model", &ts)
	if len(ts.Series) != 7 || !near(new(number(t, ts.Series[2].Total)), 300) {
		t.Errorf("latency by model: got %+v", ts.Series)
	}
	ts = timeseries{}
	r.get(t, r.acme, "/api/v1/timeseries?range=15m&metric=ttft", &ts)
	if len(ts.Series) != 3 || ts.Series[1].Key != "p95" || !near(new(number(t, ts.Series[1].Total)), 200) {
		t.Errorf("ttft: got %+v", ts.Series)
	}
	measured := 0
	for _, v := range ts.Series[0].Values {
		if v != nil {
			measured++
		}
	}
	if measured != 1 {
		t.Errorf("%d steps with a quantile, want 1 and null in the others", measured)
	}
}
