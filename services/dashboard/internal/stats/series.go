package stats

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"loom.internal/services/dashboard/internal/query"
)

// Bounds of a time series.
const (
	MaxPoints = 120
	MaxSeries = 6 // and one more for all others
)

// Metrics are what a time series can show.
func Metrics() []string {
	return []string{"cost", "requests", "tokens", "errors", "latency", "ttft"}
}

// tagged is what a split by a tag begins with.
const tagged = "tag:"

// columns are what requests can be split by, and where a source has it.
var columns = map[string]string{"model": "model", "provider": "provider", "key": "key_id", "outcome": "outcome"}

// Groups are what requests can be split by, beside tags.
func Groups() []string { return []string{"model", "provider", "key", "outcome"} }

// ValidGroup reports whether requests can be split by that: by one of groups, or by a tag,
// which is "tag:" and its name.
func ValidGroup(by string, groups []string) bool {
	name, ok := strings.CutPrefix(by, tagged)
	return ok && name != "" || slices.Contains(groups, by)
}

// split makes s tell apart what by says, and is the key to group by.
func (s *selection) split(by string) (key string) {
	if name, ok := strings.CutPrefix(by, tagged); ok {
		s.tag = name
		return "value AS key"
	}
	if column, ok := columns[by]; ok {
		return column + " AS key"
	}
	return "'total' AS key"
}

// SeriesQuery asks for a metric over time; an empty By does not split it.
type SeriesQuery struct {
	TenantID string
	Window   query.Window
	Filter   query.Filter
	Metric   string // one of Metrics
	By       string // a ValidGroup, or empty
}

// Timeseries is in columns: values[i] of every series belongs to the step that starts
// at T[i].
type Timeseries struct {
	query.Window
	StepS       int64    `json:"step_s"`
	T           []int64  `json:"t"` // Unix seconds
	PartialLast bool     `json:"partial_last"`
	Series      []Series `json:"series"`
}

// Series is one line. Total is exact decimal text, nil when not known.
type Series struct {
	Key    string     `json:"key"`
	Label  string     `json:"label"`
	Other  bool       `json:"other"`
	Total  *string    `json:"total"`
	Values []*float64 `json:"values"`
}

// Timeseries reads a metric of the tenant over time. Each step holds what of it lies
// in the window, so that the values add up to the window's total.
func (r *Reader) Timeseries(ctx context.Context, q SeriesQuery, now time.Time) (Timeseries, error) {
	w := q.Window.Minutes()
	s := selection{tenantID: q.TenantID, window: w, filter: q.Filter}
	key := s.split(q.By)
	ax := axisOf(w, s.finest(), MaxPoints)
	s.coarsest = ax.step
	ts := Timeseries{Window: w, StepS: int64(ax.step / time.Second), T: ax.t, PartialLast: ax.partial(now)}
	err := r.read(ctx, q.TenantID, func(tx pgx.Tx) error {
		groups, err := readGroups(ctx, tx, s, key, q.Metric, ax)
		if err != nil {
			return err
		}
		if q.Metric == "latency" || q.Metric == "ttft" {
			ts.Series = quantileSeries(groups, q.Metric, q.By == "")
		} else if ts.Series, err = sumSeries(groups, q.Metric, len(ax.t)); err != nil {
			return err
		}
		if q.By != "key" {
			return nil
		}
		return labelKeys(ctx, tx, ts.Series)
	})
	if err != nil {
		return Timeseries{}, fmt.Errorf("timeseries of %s: %w", q.Metric, err)
	}
	return ts, nil
}

// group is one line of a series: its sums in each step, nil where it has none, and in all.
type group struct {
	key   string
	other bool
	whole sums
	steps []*sums
}

// metrics are the measures of each metric, beside requests, and what groups are ranked by.
var metrics = map[string]struct {
	measures []measure
	rank     string
}{
	"cost":     {[]measure{unpriced, noUsage, cost}, "sum(cost)"},
	"requests": {nil, "sum(requests)"},
	"tokens":   {[]measure{input, output}, "sum(input) + sum(output)"},
	"errors":   {[]measure{failed}, "sum(errors)"},
	"latency":  {[]measure{latency}, "sum(requests)"},
	"ttft":     {[]measure{ttft}, "sum(requests)"},
}

// readGroups reads the largest groups, the larger first, and the sum of all others last.
func readGroups(ctx context.Context, tx pgx.Tx, s selection, key, metric string, ax axis) ([]group, error) {
	m := metrics[metric]
	ms := append([]measure{requests}, m.measures...)
	src := s.source()
	src.args["step"], src.args["most"] = ax.step, MaxSeries
	rows, err := tx.Query(ctx, fmt.Sprintf(`
		WITH g AS (%s), top AS (
		    SELECT key, row_number() OVER (ORDER BY %s DESC NULLS LAST, sum(requests) DESC, key) AS rank
		    FROM g GROUP BY key HAVING sum(requests) > 0 ORDER BY rank LIMIT @most
		), ranked AS (
		    SELECT g.*, coalesce(top.rank, @most + 1) AS rank, CASE WHEN top.rank IS NULL THEN 'other' ELSE key END AS name
		    FROM g LEFT JOIN top USING (key)
		)
		SELECT rank, name, slot, %s
		FROM ranked
		GROUP BY rank, name, slot
		ORDER BY rank`, src.grouped([]string{slot, key}, ms), m.rank, totals(ms)), src.args)
	if err != nil {
		return nil, fmt.Errorf("read groups: %w", err)
	}
	type row struct {
		Rank int64
		Name string
		Slot time.Time
		sums
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByNameLax[row])
	if err != nil {
		return nil, fmt.Errorf("read groups: %w", err)
	}
	groups := []group{}
	for len(all) > 0 {
		first := all[0]
		g := group{key: first.Name, other: first.Rank > MaxSeries, steps: make([]*sums, len(ax.t))}
		var steps []sums
		for ; len(all) > 0 && all[0].Rank == first.Rank; all = all[1:] {
			at := &all[0]
			if err := at.unpack(); err != nil {
				return nil, err
			}
			g.steps[ax.place(at.Slot)] = &at.sums
			steps = append(steps, at.sums)
		}
		if g.whole, err = addUp(steps); err != nil {
			return nil, err
		}
		if g.whole.Requests > 0 { // else they have been taken off again
			groups = append(groups, g)
		}
	}
	return groups, nil
}

// sumSeries are lines of a metric that adds up. Steps without requests are zero.
func sumSeries(groups []group, metric string, points int) ([]Series, error) {
	value := func(s *sums) *string {
		switch metric {
		case "cost":
			return s.Cost
		case "tokens":
			return new(strconv.FormatInt(s.tokens(), 10))
		case "errors":
			return new(strconv.FormatInt(s.Errors, 10))
		default:
			return new(strconv.FormatInt(s.Requests, 10))
		}
	}
	series := []Series{}
	for _, g := range groups {
		line := Series{Key: g.key, Label: g.key, Other: g.other, Total: value(&g.whole), Values: zeros(points)}
		for i, at := range g.steps {
			if at == nil {
				continue
			}
			var err error
			if line.Values[i], err = float(value(at)); err != nil {
				return nil, err
			}
		}
		series = append(series, line)
	}
	return series, nil
}

// quantileSeries are lines of latency or ttft: p50, p95 and p99 of the one group, or p95 of
// each. Steps in which nothing was measured are nil.
func quantileSeries(groups []group, metric string, whole bool) []Series {
	series := []Series{}
	for _, g := range groups {
		if whole {
			return []Series{g.quantiles("p50", metric, 0.50), g.quantiles("p95", metric, 0.95), g.quantiles("p99", metric, 0.99)}
		}
		series = append(series, g.quantiles(g.key, metric, 0.95))
	}
	return series
}

func (g *group) quantiles(name, metric string, q float64) Series {
	s := Series{Key: name, Label: name, Other: g.other, Values: make([]*float64, len(g.steps))}
	for i, at := range g.steps {
		if at != nil {
			s.Values[i] = quantile(at.measured(metric), q)
		}
	}
	if ms := quantile(g.whole.measured(metric), q); ms != nil {
		s.Total = new(strconv.FormatFloat(*ms, 'f', -1, 64))
	}
	return s
}

// measured is the histogram of a metric.
func (s *sums) measured(metric string) []int64 {
	if metric == "ttft" {
		return s.ttft.flat()
	}
	return s.latency.flat()
}

// labelKeys puts the names of keys in the place of their ids.
func labelKeys(ctx context.Context, tx pgx.Tx, series []Series) error {
	ids := make([]string, 0, len(series))
	for _, s := range series {
		ids = append(ids, s.Key)
	}
	names, err := keyNames(ctx, tx, ids)
	if err != nil {
		return err
	}
	for i := range series {
		if name, ok := names[series[i].Key]; ok && !series[i].Other {
			series[i].Label = name
		}
	}
	return nil
}

// keyNames are the names of keys by id, of those that there are.
func keyNames(ctx context.Context, tx pgx.Tx, ids []string) (map[string]string, error) {
	rows, err := tx.Query(ctx, `SELECT id, name FROM api_keys WHERE id = ANY ($1)`, ids)
	if err != nil {
		return nil, fmt.Errorf("names of keys: %w", err)
	}
	names := map[string]string{}
	var id, name string
	_, err = pgx.ForEachRow(rows, []any{&id, &name}, func() error {
		names[id] = name
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("names of keys: %w", err)
	}
	return names, nil
}
