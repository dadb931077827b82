package stats

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"loom.internal/pkg/store"
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

// Groups are what a time series can be split by.
func Groups() []string { return []string{"model", "provider", "key", "outcome"} }

// SeriesQuery asks for a metric over time; an empty By does not split it.
type SeriesQuery struct {
	TenantID string
	Window   query.Window
	Filter   query.Filter
	Metric   string // one of Metrics
	By       string // one of Groups, or empty
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
	step := stepOf(w)
	ts := Timeseries{Window: w, StepS: int64(step / time.Second)}
	for at := floor(w.From, step); at.Before(w.To); at = at.Add(step) {
		ts.T = append(ts.T, at.Unix())
	}
	ts.PartialLast = time.Unix(ts.T[len(ts.T)-1], 0).Add(step).After(now)

	a := args(q.TenantID, segments(w, step), q.Filter)
	a["step"], a["by"], a["metric"], a["most"] = ts.StepS, q.By, q.Metric, MaxSeries
	err := store.InTenant(ctx, r.db, q.TenantID, func(tx pgx.Tx) error {
		read := readSums
		if q.Metric == "latency" || q.Metric == "ttft" {
			read = readQuantiles
		}
		var err error
		if ts.Series, err = read(ctx, tx, a, ts.T); err != nil || q.By != "key" {
			return err
		}
		return labelKeys(ctx, tx, ts.Series)
	})
	if err != nil {
		return Timeseries{}, fmt.Errorf("timeseries of %s: %w", q.Metric, err)
	}
	return ts, nil
}

// stepOf is the finest step that cuts w into no more than MaxPoints.
func stepOf(w query.Window) time.Duration {
	for _, step := range []time.Duration{
		time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
		hour, 2 * hour, 3 * hour, 6 * hour, 12 * hour, day, 2 * day,
	} {
		if w.To.Sub(floor(w.From, step)) <= MaxPoints*step {
			return step
		}
	}
	return 4 * day // of query.Longest, 93 points at most
}

// floor is the start of the step that t lies in; steps are counted from the Unix epoch,
// as the statements here do.
func floor(t time.Time, step time.Duration) time.Time {
	seconds := int64(step / time.Second)
	return time.Unix(t.Unix()/seconds*seconds, 0)
}

// readSums reads a metric that adds up. Steps without requests are zero.
func readSums(ctx context.Context, tx pgx.Tx, a pgx.NamedArgs, t []int64) ([]Series, error) {
	rows, err := tx.Query(ctx, `
		WITH r AS (
		    SELECT extract(epoch FROM r.bucket)::bigint / @step::bigint * @step::bigint AS slot,
		           CASE @by::text WHEN 'model' THEN r.model WHEN 'provider' THEN r.provider
		                          WHEN 'key' THEN r.key_id WHEN 'outcome' THEN r.outcome ELSE 'total' END AS key,
		           r.requests, r.unpriced, r.no_usage,
		           CASE @metric::text WHEN 'cost' THEN r.cost * 0.000000000001
		                              WHEN 'tokens' THEN r.input_uncached + r.cache_read + r.cache_write + r.output
		                              WHEN 'errors' THEN CASE WHEN r.outcome = ANY (@errors::text[]) THEN r.requests ELSE 0 END
		                              ELSE r.requests END AS value
		    FROM unnest(@grains::text[], @froms::timestamptz[], @tos::timestamptz[]) AS s (grain, lo, hi)
		    JOIN rollups r ON r.tenant_id = @tenant AND r.grain = s.grain AND r.bucket >= s.lo AND r.bucket < s.hi
		    WHERE (@models::text[] IS NULL OR r.model = ANY (@models))
		      AND (@providers::text[] IS NULL OR r.provider = ANY (@providers))
		      AND (@keys::text[] IS NULL OR r.key_id = ANY (@keys))
		      AND (@outcomes::text[] IS NULL OR r.outcome = ANY (@outcomes))
		), top AS (
		    SELECT key, row_number() OVER (ORDER BY sum(value) DESC, sum(requests) DESC, key) AS rank
		    FROM r GROUP BY key ORDER BY rank LIMIT @most
		), ranked AS (
		    SELECT r.*, coalesce(top.rank, @most + 1) AS rank, CASE WHEN top.rank IS NULL THEN 'other' ELSE r.key END AS name
		    FROM r LEFT JOIN top USING (key)
		)
		SELECT rank, name, slot,
		       CASE WHEN @metric = 'cost' AND sum(unpriced) > 0 AND sum(requests) = sum(unpriced) + sum(no_usage) THEN NULL
		            ELSE trim_scale(sum(value))::text END
		FROM ranked
		GROUP BY GROUPING SETS ((rank, name), (rank, name, slot))
		ORDER BY rank, slot NULLS FIRST`, a)
	if err != nil {
		return nil, fmt.Errorf("read sums: %w", err)
	}
	at := places(t)
	series := []Series{}
	var (
		rank  int64
		name  string
		slot  *int64
		value *string
	)
	_, err = pgx.ForEachRow(rows, []any{&rank, &name, &slot, &value}, func() error {
		if slot == nil {
			s := newSeries(name, rank, len(t))
			s.Total = value
			for i := range s.Values {
				s.Values[i] = new(float64)
			}
			series = append(series, s)
			return nil
		}
		point := (*float64)(nil)
		if value != nil {
			f, err := strconv.ParseFloat(*value, 64)
			if err != nil {
				return fmt.Errorf("value %q: %w", *value, err)
			}
			point = &f
		}
		series[len(series)-1].Values[at[*slot]] = point
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read sums: %w", err)
	}
	return series, nil
}

// newSeries has no value known yet.
func newSeries(name string, rank int64, points int) Series {
	return Series{Key: name, Label: name, Other: rank > MaxSeries, Values: make([]*float64, points)}
}

func places(t []int64) map[int64]int {
	at := make(map[int64]int, len(t))
	for i, unix := range t {
		at[unix] = i
	}
	return at
}

// labelKeys puts the names of keys in the place of their ids.
func labelKeys(ctx context.Context, tx pgx.Tx, series []Series) error {
	ids := make([]string, 0, len(series))
	for _, s := range series {
		ids = append(ids, s.Key)
	}
	rows, err := tx.Query(ctx, `SELECT id, name FROM api_keys WHERE id = ANY ($1)`, ids)
	if err != nil {
		return fmt.Errorf("names of keys: %w", err)
	}
	var id, name string
	_, err = pgx.ForEachRow(rows, []any{&id, &name}, func() error {
		for i := range series {
			if series[i].Key == id && !series[i].Other {
				series[i].Label = name
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("names of keys: %w", err)
	}
	return nil
}
