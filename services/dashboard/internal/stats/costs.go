package stats

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/jackc/pgx/v5"

	"loom.internal/services/dashboard/internal/query"
)

// Bounds of costs.
const (
	maxCostRows = 200
	maxUnpriced = 20
	rateOf      = 7 * day // what a forecast goes by
)

// CostGroups are what costs can be split by, beside tags.
func CostGroups() []string { return []string{"model", "provider", "key"} }

// CostQuery asks what was spent.
type CostQuery struct {
	TenantID string
	Window   query.Window
	Filter   query.Filter
	By       string // a ValidGroup of CostGroups
}

// Costs are what was spent in a window. Amounts are exact decimal dollars, nil where there
// were requests and none could be priced.
type Costs struct {
	query.Window
	FreshTo        *time.Time      `json:"fresh_to"` // for the caller to fill in
	By             string          `json:"by"`
	Total          *string         `json:"total_usd"`
	Previous       *string         `json:"previous_usd"` // of the window before
	Month          Month           `json:"month"`
	Requests       int64           `json:"requests"`
	Unpriced       int64           `json:"unpriced"`
	NoUsage        int64           `json:"no_usage"`
	Rows           []CostRow       `json:"rows"`
	More           int64           `json:"more"` // rows that are left out
	UnpricedModels []UnpricedModel `json:"unpriced_models"`
}

// Month is the calendar month that now is in, in UTC.
type Month struct {
	query.Window
	Spent    *string `json:"spent_usd"`
	Forecast *string `json:"forecast_usd"`
}

// CostRow is what one group spent.
type CostRow struct {
	Key      string   `json:"key"`
	Label    string   `json:"label"`
	Cost     *string  `json:"cost_usd"`
	Previous *string  `json:"previous_usd"`
	Share    *float64 `json:"share"` // of the total
	Requests int64    `json:"requests"`
	Unpriced int64    `json:"unpriced"`
	Input    int64    `json:"tokens_in"`
	Cached   int64    `json:"cached_tokens"`
	Output   int64    `json:"tokens_out"`
	Per1k    *string  `json:"per_1k_usd" db:"per_1k"`
}

// UnpricedModel is a model that has no price.
type UnpricedModel struct {
	Provider string `json:"provider"`
	Model    string `json:"model"`
	Requests int64  `json:"requests"`
}

// per1k is what a thousand priced requests cost, of sums.
const per1k = "trim_scale(round(sum(cost) * 1000 / nullif(sum(requests) - sum(unpriced) - sum(no_usage), 0)) * 0.000000000001)::text AS per_1k"

// spent are the measures of costs.
var spent = []measure{requests, unpriced, noUsage, input, cached, output, cost}

// Costs reads what was spent, in all, by the groups with the highest costs, and this month.
func (r *Reader) Costs(ctx context.Context, q CostQuery, now time.Time) (Costs, error) {
	q.Window = q.Window.Minutes()
	out := Costs{Window: q.Window, By: q.By, Rows: []CostRow{}}
	err := r.read(ctx, q.TenantID, func(tx pgx.Tx) error {
		s := selection{tenantID: q.TenantID, window: q.Window, filter: q.Filter, coarsest: day}
		if err := out.totals(ctx, tx, s); err != nil {
			return err
		}
		rows, err := queryCosts(ctx, tx, q, maxCostRows)
		if err != nil {
			return err
		}
		if out.Rows, err = pgx.CollectRows(rows, pgx.RowToStructByName[CostRow]); err != nil {
			return fmt.Errorf("read costs: %w", err)
		}
		if len(out.Rows) == maxCostRows {
			if err := out.more(ctx, tx, q); err != nil {
				return err
			}
		}
		if err := out.Month.read(ctx, tx, s, now); err != nil {
			return err
		}
		return out.unpriced(ctx, tx, s)
	})
	if err != nil {
		return Costs{}, fmt.Errorf("costs: %w", err)
	}
	return out, nil
}

// EachCost calls each with the rows of costs, all of them, the highest first.
func (r *Reader) EachCost(ctx context.Context, q CostQuery, each func(CostRow) error) error {
	q.Window = q.Window.Minutes()
	err := r.read(ctx, q.TenantID, func(tx pgx.Tx) error {
		rows, err := queryCosts(ctx, tx, q, 0)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			row, err := pgx.RowToStructByName[CostRow](rows)
			if err != nil {
				return fmt.Errorf("read costs: %w", err)
			}
			if err := each(row); err != nil {
				return err
			}
		}
		return rows.Err()
	})
	if err != nil {
		return fmt.Errorf("costs: %w", err)
	}
	return nil
}

// totals reads the sums of the window, and the cost of the one before.
func (o *Costs) totals(ctx context.Context, tx pgx.Tx, s selection) error {
	all, err := readSums(ctx, tx, s, spent)
	if err != nil {
		return err
	}
	o.Total, o.Requests, o.Unpriced, o.NoUsage = all.Cost, all.Requests, all.Unpriced, all.NoUsage
	s.window = s.window.Before()
	before, err := readSums(ctx, tx, s, spent)
	o.Previous = before.Cost
	return err
}

// costGroups makes cur, the groups of a query's window as sums, and its arguments.
func costGroups(q CostQuery) (sql string, src source, s selection, key string) {
	s = selection{tenantID: q.TenantID, window: q.Window, filter: q.Filter, coarsest: day}
	key = s.split(q.By)
	src = s.source()
	return "cur AS (SELECT key, " + raw(spent) + " FROM (" + src.grouped([]string{key}, spent) + ") g GROUP BY key HAVING sum(requests) > 0)", src, s, key
}

// raw are the columns of ms as sums of their own, to be added up further.
func raw(ms []measure) (columns string) {
	for i, m := range ms {
		if i > 0 {
			columns += ", "
		}
		columns += "sum(" + m.name + ") AS " + m.name
	}
	return columns
}

// queryCosts reads the rows of costs, no more than limit unless that is 0.
func queryCosts(ctx context.Context, tx pgx.Tx, q CostQuery, limit int) (pgx.Rows, error) {
	cur, src, s, key := costGroups(q)
	s.window, s.name = q.Window.Before(), "_before"
	before := s.source()
	maps.Copy(src.args, before.args)
	label, join := "key", ""
	if q.By == "key" {
		label, join = "coalesce(k.name, key)", "LEFT JOIN api_keys k ON k.id = key"
	}
	src.args["limit"] = nil
	if limit > 0 {
		src.args["limit"] = limit
	}
	rows, err := tx.Query(ctx, fmt.Sprintf(`
		WITH %s, before AS (SELECT key, %s FROM (%s) g GROUP BY key HAVING sum(requests) > 0)
		SELECT key, %s AS label, cur.cost_text AS cost, before.cost_text AS previous,
		       CASE WHEN cur.cost_text IS NOT NULL THEN (coalesce(cur.cost, 0) / nullif(sum(cur.cost) OVER (), 0))::float8 END AS share,
		       cur.requests::bigint, cur.unpriced::bigint, cur.input::bigint, cur.cached::bigint, cur.output::bigint, cur.per_1k
		FROM (SELECT key, %s, %s, %s FROM cur GROUP BY key) cur
		LEFT JOIN (SELECT key, %s AS cost_text FROM before GROUP BY key) before USING (key)
		%s
		ORDER BY coalesce(cur.cost, 0) DESC, cur.requests DESC, key
		LIMIT @limit::bigint`,
		cur, raw(spent), before.grouped([]string{key}, spent), label,
		raw(spent), cost.total+" AS cost_text", per1k, cost.total, join), src.args)
	if err != nil {
		return nil, fmt.Errorf("read costs: %w", err)
	}
	return rows, nil
}

// more counts the rows that are left out.
func (o *Costs) more(ctx context.Context, tx pgx.Tx, q CostQuery) error {
	cur, src, _, _ := costGroups(q)
	err := tx.QueryRow(ctx, "WITH "+cur+" SELECT count(*) FROM cur", src.args).Scan(&o.More)
	if err != nil {
		return fmt.Errorf("count costs: %w", err)
	}
	o.More -= int64(len(o.Rows))
	return nil
}

// unpriced reads what has no price, the most frequent first.
func (o *Costs) unpriced(ctx context.Context, tx pgx.Tx, s selection) error {
	src := s.source()
	src.args["limit"] = maxUnpriced
	rows, err := tx.Query(ctx, "SELECT by_provider AS provider, by_model AS model, sum(unpriced)::bigint AS requests FROM ("+
		src.grouped([]string{"provider AS by_provider", "model AS by_model"}, []measure{unpriced})+
		") g GROUP BY 1, 2 HAVING sum(unpriced) > 0 ORDER BY 3 DESC, 1, 2 LIMIT @limit", src.args)
	if err != nil {
		return fmt.Errorf("read models without a price: %w", err)
	}
	if o.UnpricedModels, err = pgx.CollectRows(rows, pgx.RowToStructByName[UnpricedModel]); err != nil {
		return fmt.Errorf("read models without a price: %w", err)
	}
	return nil
}

// read fills in the month of now. Its forecast is what is spent, and the rate of the last
// days up to its end; where there is no traffic of so many days, the rate since the first.
func (m *Month) read(ctx context.Context, tx pgx.Tx, s selection, now time.Time) error {
	now = now.UTC().Truncate(time.Minute)
	from := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)
	m.Window = query.Window{From: from, To: from.AddDate(0, 1, 0)}
	s.window = query.Window{From: from, To: now.Add(time.Minute)}
	month, err := readSums(ctx, tx, s, spent)
	if err != nil {
		return err
	}
	m.Spent = month.Cost
	var first *time.Time
	if err := tx.QueryRow(ctx, `SELECT min(bucket) FROM rollups WHERE tenant_id = $1 AND grain = 'minute'`, s.tenantID).Scan(&first); err != nil {
		return fmt.Errorf("first traffic: %w", err)
	}
	if first == nil || now.Sub(*first) < time.Hour || m.Spent == nil {
		return nil
	}
	since := now.Add(-rateOf)
	if first.After(since) {
		since = first.UTC()
	}
	s.window = query.Window{From: since, To: now}
	rate, err := readSums(ctx, tx, s, spent)
	if err != nil {
		return err
	}
	m.Forecast, err = forecast(*m.Spent, rate.Cost, m.To.Sub(now), now.Sub(since))
	return err
}
