package stats

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"loom.internal/services/dashboard/internal/query"
)

const maxModels = 500

// Models is how models did in a window.
type Models struct {
	query.Window
	FreshTo *time.Time `json:"fresh_to"` // for the caller to fill in
	Rows    []ModelRow `json:"rows"`
}

// ModelRow is how one model of a provider did.
type ModelRow struct {
	Provider   string    `json:"provider"`
	Model      string    `json:"model"`
	Requests   int64     `json:"requests"`
	Errors     int64     `json:"errors"`
	Canceled   int64     `json:"canceled"`
	Unpriced   int64     `json:"unpriced"`
	Cost       *string   `json:"cost_usd"`
	Per1k      *string   `json:"per_1k_usd"`
	Input      int64     `json:"tokens_in"`
	Cached     int64     `json:"cached_tokens"`
	Output     int64     `json:"tokens_out"`
	OutputPerS *float64  `json:"output_per_s"` // tokens over the whole time of the answers
	Latency    Quantiles `json:"latency_ms"`
	TTFT       Quantiles `json:"ttft_ms"`
}

// Models reads one row for each provider and model, those with most requests first.
func (r *Reader) Models(ctx context.Context, tenantID string, w query.Window, f query.Filter) (Models, error) {
	out := Models{Window: w.Minutes(), Rows: []ModelRow{}}
	s := selection{tenantID: tenantID, window: out.Window, filter: f, coarsest: day}
	src := s.source()
	src.args["limit"] = maxModels
	ms := []measure{requests, failed, canceled, unpriced, noUsage, input, cached, output, duration, cost, latency, ttft}
	type row struct {
		Provider, Model string
		Per1k           *string `db:"per_1k"`
		OutputPerS      *float64
		sums
	}
	var all []row
	err := r.read(ctx, tenantID, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, "WITH g AS ("+src.grouped([]string{"provider AS by_provider", "model AS by_model"}, ms)+`)
			SELECT by_provider AS provider, by_model AS model, `+per1k+`,
			       (sum(output) * 1000000 / nullif(sum(duration), 0))::float8 AS output_per_s, `+totals(ms)+`
			FROM g GROUP BY 1, 2 HAVING sum(requests) > 0 ORDER BY sum(requests) DESC, 1, 2 LIMIT @limit`, src.args)
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, pgx.RowToStructByNameLax[row])
		return err
	})
	if err != nil {
		return Models{}, fmt.Errorf("models: %w", err)
	}
	for _, m := range all {
		if err := m.unpack(); err != nil {
			return Models{}, fmt.Errorf("models: %w", err)
		}
		out.Rows = append(out.Rows, ModelRow{
			Provider: m.Provider, Model: m.Model, Requests: m.Requests, Errors: m.Errors, Canceled: m.Canceled, Unpriced: m.Unpriced,
			Cost: m.Cost, Per1k: m.Per1k, Input: m.Input, Cached: m.Cached, Output: m.Output, OutputPerS: m.OutputPerS,
			Latency: quantiles(m.latency), TTFT: quantiles(m.ttft),
		})
	}
	return out, nil
}
