package stats

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"loom.internal/pkg/histogram"
	"loom.internal/pkg/store"
	"loom.internal/services/dashboard/internal/query"
)

// Count is a number in a window and in the one before it.
type Count struct {
	Value    int64 `json:"value"`
	Previous int64 `json:"previous"`
}

// Money is an exact amount of US dollars; nil when there were requests and none could
// be priced.
type Money struct {
	Value    *string `json:"value"`
	Previous *string `json:"previous"`
}

// Quantiles are milliseconds; nil when nothing was measured.
type Quantiles struct {
	P50 *float64 `json:"p50"`
	P95 *float64 `json:"p95"`
	P99 *float64 `json:"p99"`
}

// QuantilesCompared are those of a window and of the one before it.
type QuantilesCompared struct {
	Quantiles
	Previous Quantiles `json:"previous"`
}

// Tokens are sums of token counts. Total is Input and Output; Cached is part of
// Input, Reasoning of Output.
type Tokens struct {
	Total     Count `json:"total"`
	Input     Count `json:"input"`
	Cached    Count `json:"cached"`
	Output    Count `json:"output"`
	Reasoning Count `json:"reasoning"`
}

// Summary is the totals of a window, which is of whole minutes.
type Summary struct {
	query.Window
	Requests Count             `json:"requests"`
	Errors   Count             `json:"errors"`
	Canceled Count             `json:"canceled"`
	Cost     Money             `json:"cost_usd"`
	Unpriced Count             `json:"unpriced"`
	NoUsage  Count             `json:"no_usage"`
	Tokens   Tokens            `json:"tokens"`
	Latency  QuantilesCompared `json:"latency_ms"`
	TTFT     QuantilesCompared `json:"ttft_ms"`
}

// Summary sums the tenant's requests that fit f, in the window and the one before.
func (r *Reader) Summary(ctx context.Context, tenantID string, w query.Window, f query.Filter) (Summary, error) {
	w = w.Minutes()
	var now, before totals
	err := store.InTenant(ctx, r.db, tenantID, func(tx pgx.Tx) error {
		var err error
		if now, err = readTotals(ctx, tx, args(tenantID, segments(w, day), f)); err != nil {
			return err
		}
		before, err = readTotals(ctx, tx, args(tenantID, segments(w.Before(), day), f))
		return err
	})
	if err != nil {
		return Summary{}, fmt.Errorf("summary: %w", err)
	}
	return Summary{
		Window:   w,
		Requests: Count{now.requests, before.requests},
		Errors:   Count{now.errors, before.errors},
		Canceled: Count{now.canceled, before.canceled},
		Cost:     Money{now.cost, before.cost},
		Unpriced: Count{now.unpriced, before.unpriced},
		NoUsage:  Count{now.noUsage, before.noUsage},
		Tokens: Tokens{
			Total:     Count{now.input + now.output, before.input + before.output},
			Input:     Count{now.input, before.input},
			Cached:    Count{now.cached, before.cached},
			Output:    Count{now.output, before.output},
			Reasoning: Count{now.reasoning, before.reasoning},
		},
		Latency: QuantilesCompared{quantiles(now.duration), quantiles(before.duration)},
		TTFT:    QuantilesCompared{quantiles(now.ttft), quantiles(before.ttft)},
	}, nil
}

type totals struct {
	requests, errors, canceled, unpriced, noUsage int64
	input, cached, output, reasoning              int64
	cost                                          *string
	duration, ttft                                []int64 // histograms
}

func readTotals(ctx context.Context, tx pgx.Tx, a pgx.NamedArgs) (totals, error) {
	var t totals
	err := tx.QueryRow(ctx, `
		SELECT coalesce(sum(requests), 0)::bigint,
		       coalesce(sum(requests) FILTER (WHERE outcome = ANY (@errors::text[])), 0)::bigint,
		       coalesce(sum(requests) FILTER (WHERE outcome = 'canceled'), 0)::bigint,
		       coalesce(sum(unpriced), 0)::bigint, coalesce(sum(no_usage), 0)::bigint,
		       coalesce(sum(input_uncached + cache_read + cache_write), 0)::bigint,
		       coalesce(sum(cache_read), 0)::bigint, coalesce(sum(output), 0)::bigint, coalesce(sum(reasoning), 0)::bigint,
		       CASE WHEN sum(unpriced) > 0 AND sum(requests) = sum(unpriced) + sum(no_usage) THEN NULL
		            ELSE trim_scale(coalesce(sum(cost), 0) * 0.000000000001)::text END
		FROM unnest(@grains::text[], @froms::timestamptz[], @tos::timestamptz[]) AS s (grain, lo, hi)
		JOIN rollups r ON r.tenant_id = @tenant AND r.grain = s.grain AND r.bucket >= s.lo AND r.bucket < s.hi
		WHERE (@models::text[] IS NULL OR r.model = ANY (@models))
		  AND (@providers::text[] IS NULL OR r.provider = ANY (@providers))
		  AND (@keys::text[] IS NULL OR r.key_id = ANY (@keys))
		  AND (@outcomes::text[] IS NULL OR r.outcome = ANY (@outcomes))`, a).Scan(
		&t.requests, &t.errors, &t.canceled, &t.unpriced, &t.noUsage, &t.input, &t.cached, &t.output, &t.reasoning, &t.cost)
	if err != nil {
		return totals{}, fmt.Errorf("read totals: %w", err)
	}
	rows, err := tx.Query(ctx, `
		SELECT h.ttft, h.hist[i], sum(h.hist[i + 1])::bigint
		FROM unnest(@grains::text[], @froms::timestamptz[], @tos::timestamptz[]) AS s (grain, lo, hi)
		JOIN rollups r ON r.tenant_id = @tenant AND r.grain = s.grain AND r.bucket >= s.lo AND r.bucket < s.hi
		CROSS JOIN LATERAL (VALUES (false, r.duration_hist), (true, r.ttft_hist)) AS h (ttft, hist)
		CROSS JOIN LATERAL generate_series(1, cardinality(h.hist), 2) AS i
		WHERE (@models::text[] IS NULL OR r.model = ANY (@models))
		  AND (@providers::text[] IS NULL OR r.provider = ANY (@providers))
		  AND (@keys::text[] IS NULL OR r.key_id = ANY (@keys))
		  AND (@outcomes::text[] IS NULL OR r.outcome = ANY (@outcomes))
		GROUP BY 1, 2 ORDER BY 1, 2`, a)
	if err != nil {
		return totals{}, fmt.Errorf("read histograms: %w", err)
	}
	var (
		isTTFT    bool
		bucket, n int64
	)
	_, err = pgx.ForEachRow(rows, []any{&isTTFT, &bucket, &n}, func() error {
		if isTTFT {
			t.ttft = append(t.ttft, bucket, n)
		} else {
			t.duration = append(t.duration, bucket, n)
		}
		return nil
	})
	if err != nil {
		return totals{}, fmt.Errorf("read histograms: %w", err)
	}
	return t, nil
}

func quantiles(hist []int64) Quantiles {
	return Quantiles{P50: quantile(hist, 0.50), P95: quantile(hist, 0.95), P99: quantile(hist, 0.99)}
}

// quantile is in milliseconds; nil for an empty histogram.
func quantile(hist []int64, q float64) *float64 {
	us, ok := histogram.Quantile(hist, q)
	if !ok {
		return nil
	}
	return new(float64(us) / 1000)
}
