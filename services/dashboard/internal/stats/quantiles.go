package stats

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"

	"loom.internal/pkg/histogram"
)

// readQuantiles reads latency or ttft: its p50, p95 and p99, or split, the p95 of each
// group. Steps in which nothing was measured are nil.
func readQuantiles(ctx context.Context, tx pgx.Tx, a pgx.NamedArgs, t []int64) ([]Series, error) {
	rows, err := tx.Query(ctx, `
		WITH r AS (
		    SELECT extract(epoch FROM r.bucket)::bigint / @step::bigint * @step::bigint AS slot,
		           CASE @by::text WHEN 'model' THEN r.model WHEN 'provider' THEN r.provider
		                          WHEN 'key' THEN r.key_id WHEN 'outcome' THEN r.outcome ELSE 'total' END AS key,
		           r.requests,
		           CASE @metric::text WHEN 'ttft' THEN r.ttft_hist ELSE r.duration_hist END AS hist
		    FROM unnest(@grains::text[], @froms::timestamptz[], @tos::timestamptz[]) AS s (grain, lo, hi)
		    JOIN rollups r ON r.tenant_id = @tenant AND r.grain = s.grain AND r.bucket >= s.lo AND r.bucket < s.hi
		    WHERE (@models::text[] IS NULL OR r.model = ANY (@models))
		      AND (@providers::text[] IS NULL OR r.provider = ANY (@providers))
		      AND (@keys::text[] IS NULL OR r.key_id = ANY (@keys))
		      AND (@outcomes::text[] IS NULL OR r.outcome = ANY (@outcomes))
		), top AS (
		    SELECT key, row_number() OVER (ORDER BY sum(requests) DESC, key) AS rank
		    FROM r GROUP BY key ORDER BY rank LIMIT @most
		)
		SELECT coalesce(top.rank, @most + 1) AS rank, CASE WHEN top.rank IS NULL THEN 'other' ELSE r.key END AS name,
		       r.slot, r.hist[i], sum(r.hist[i + 1])::bigint
		FROM r
		LEFT JOIN top USING (key)
		CROSS JOIN LATERAL generate_series(1, cardinality(r.hist), 2) AS i
		GROUP BY 1, 2, 3, 4 ORDER BY 1, 3, 4`, a)
	if err != nil {
		return nil, fmt.Errorf("read histograms: %w", err)
	}
	type group struct {
		rank  int64
		name  string
		hists map[int64][]int64 // by slot
	}
	var (
		groups                []group
		rank, slot, bucket, n int64
		name                  string
	)
	_, err = pgx.ForEachRow(rows, []any{&rank, &name, &slot, &bucket, &n}, func() error {
		if len(groups) == 0 || groups[len(groups)-1].rank != rank {
			groups = append(groups, group{rank, name, make(map[int64][]int64)})
		}
		hists := groups[len(groups)-1].hists
		hists[slot] = append(hists[slot], bucket, n)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read histograms: %w", err)
	}
	series := []Series{}
	for _, g := range groups {
		if a["by"] == "" {
			return []Series{
				quantileSeries("p50", g.rank, g.hists, t, 0.50),
				quantileSeries("p95", g.rank, g.hists, t, 0.95),
				quantileSeries("p99", g.rank, g.hists, t, 0.99),
			}, nil
		}
		series = append(series, quantileSeries(g.name, g.rank, g.hists, t, 0.95))
	}
	return series, nil
}

func quantileSeries(name string, rank int64, hists map[int64][]int64, t []int64, q float64) Series {
	s := newSeries(name, rank, len(t))
	var whole []int64
	for i, slot := range t {
		s.Values[i] = quantile(hists[slot], q)
		whole = histogram.Merge(whole, hists[slot])
	}
	if ms := quantile(whole, q); ms != nil {
		s.Total = new(strconv.FormatFloat(*ms, 'f', -1, 64))
	}
	return s
}
