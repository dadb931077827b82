package stats

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"loom.internal/services/dashboard/internal/query"
)

// maxSpark bounds the points of a spark.
const maxSpark = 31

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
	FreshTo  *time.Time        `json:"fresh_to"` // for the caller to fill in
	Requests Count             `json:"requests"`
	Errors   Count             `json:"errors"`
	Canceled Count             `json:"canceled"`
	Cost     Money             `json:"cost_usd"`
	Unpriced Count             `json:"unpriced"`
	NoUsage  Count             `json:"no_usage"`
	Tokens   Tokens            `json:"tokens"`
	Latency  QuantilesCompared `json:"latency_ms"`
	TTFT     QuantilesCompared `json:"ttft_ms"`
	Spark    Spark             `json:"spark"`
}

// Spark is the window in a few steps, in columns as a Timeseries.
type Spark struct {
	T           []int64    `json:"t"`
	PartialLast bool       `json:"partial_last"`
	Requests    []int64    `json:"requests"`
	Errors      []int64    `json:"errors"`
	Cost        []*float64 `json:"cost_usd"`
	Tokens      []int64    `json:"tokens"`
	LatencyP95  []*float64 `json:"latency_p95_ms"`
}

// Summary sums the tenant's requests that fit f, in the window and the one before.
func (r *Reader) Summary(ctx context.Context, tenantID string, w query.Window, f query.Filter, now time.Time) (Summary, error) {
	w = w.Minutes()
	s := selection{tenantID: tenantID, window: w, filter: f, coarsest: day}
	ax := axisOf(w, s.finest(), maxSpark)
	var current, before sums
	spark := Spark{T: ax.t, PartialLast: ax.partial(now)}
	err := r.read(ctx, tenantID, func(tx pgx.Tx) error {
		var err error
		if current, err = spark.read(ctx, tx, s, ax); err != nil {
			return err
		}
		s.window = w.Before()
		before, err = readSums(ctx, tx, s, summed)
		return err
	})
	if err != nil {
		return Summary{}, fmt.Errorf("summary: %w", err)
	}
	return Summary{
		Window:   w,
		Requests: Count{current.Requests, before.Requests},
		Errors:   Count{current.Errors, before.Errors},
		Canceled: Count{current.Canceled, before.Canceled},
		Cost:     Money{current.Cost, before.Cost},
		Unpriced: Count{current.Unpriced, before.Unpriced},
		NoUsage:  Count{current.NoUsage, before.NoUsage},
		Tokens: Tokens{
			Total:     Count{current.tokens(), before.tokens()},
			Input:     Count{current.Input, before.Input},
			Cached:    Count{current.Cached, before.Cached},
			Output:    Count{current.Output, before.Output},
			Reasoning: Count{current.Reasoning, before.Reasoning},
		},
		Latency: QuantilesCompared{quantiles(current.latency), quantiles(before.latency)},
		TTFT:    QuantilesCompared{quantiles(current.ttft), quantiles(before.ttft)},
		Spark:   spark,
	}, nil
}

// sums are the measures of some requests.
type sums struct {
	Requests, Errors, Canceled, Unpriced int64
	NoUsage                              int64 `db:"no_usage"`
	Input, Cached, Output, Reasoning     int64
	Cost                                 *string // exact decimal dollars; nil where there were requests and none could be priced
	Duration                             int64
	Latency, TTFT                        []byte // as sent

	latency, ttft hist
}

func (s *sums) tokens() int64 { return s.Input + s.Output }

// unpack reads the histograms.
func (s *sums) unpack() error { return errors.Join(s.latency.add(s.Latency), s.ttft.add(s.TTFT)) }

// addUp is the sums of all.
func addUp(all []sums) (sums, error) {
	var whole sums
	cost := new(big.Rat)
	for _, s := range all {
		whole.Requests += s.Requests
		whole.Errors += s.Errors
		whole.Canceled += s.Canceled
		whole.Unpriced += s.Unpriced
		whole.NoUsage += s.NoUsage
		whole.Input += s.Input
		whole.Cached += s.Cached
		whole.Output += s.Output
		whole.Reasoning += s.Reasoning
		whole.latency.merge(s.latency)
		whole.ttft.merge(s.ttft)
		if s.Cost == nil {
			continue
		}
		amount, ok := new(big.Rat).SetString(*s.Cost)
		if !ok {
			return sums{}, fmt.Errorf("amount %q", *s.Cost)
		}
		cost.Add(cost, amount)
	}
	if whole.Unpriced == 0 || whole.Requests > whole.Unpriced+whole.NoUsage {
		whole.Cost = new(dollars(cost))
	}
	return whole, nil
}

// dollars is an amount in decimal, to the picodollar.
func dollars(amount *big.Rat) string {
	return strings.TrimSuffix(strings.TrimRight(amount.FloatString(12), "0"), ".")
}

// summed are the measures of a summary.
var summed = []measure{requests, failed, canceled, unpriced, noUsage, input, cached, output, reasoning, cost, latency, ttft}

// readSums adds up measures of all that s selects.
func readSums(ctx context.Context, tx pgx.Tx, s selection, ms []measure) (sums, error) {
	src := s.source()
	rows, err := tx.Query(ctx, "WITH g AS ("+src.grouped([]string{"'total' AS key"}, ms)+")\nSELECT "+totals(ms)+" FROM g", src.args)
	if err != nil {
		return sums{}, fmt.Errorf("read totals: %w", err)
	}
	all, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByNameLax[sums])
	if err != nil {
		return sums{}, fmt.Errorf("read totals: %w", err)
	}
	return all, all.unpack()
}

// read fills the columns of s and returns the sums of the whole.
func (s *Spark) read(ctx context.Context, tx pgx.Tx, sel selection, ax axis) (whole sums, err error) {
	n := len(ax.t)
	s.Requests, s.Errors, s.Tokens = make([]int64, n), make([]int64, n), make([]int64, n)
	s.Cost, s.LatencyP95 = zeros(n), make([]*float64, n)
	sel.coarsest = ax.step
	src := sel.source()
	src.args["step"] = ax.step
	rows, err := tx.Query(ctx, "WITH g AS ("+src.grouped([]string{slot}, summed)+")\nSELECT slot, "+totals(summed)+
		" FROM g GROUP BY slot", src.args)
	if err != nil {
		return sums{}, fmt.Errorf("read spark: %w", err)
	}
	type step struct {
		Slot time.Time
		sums
	}
	steps, err := pgx.CollectRows(rows, pgx.RowToStructByNameLax[step])
	if err != nil {
		return sums{}, fmt.Errorf("read spark: %w", err)
	}
	var all []sums
	for _, at := range steps {
		if err := at.unpack(); err != nil {
			return sums{}, err
		}
		i := ax.place(at.Slot)
		s.Requests[i], s.Errors[i], s.Tokens[i] = at.Requests, at.Errors, at.tokens()
		if s.Cost[i], err = float(at.Cost); err != nil {
			return sums{}, err
		}
		s.LatencyP95[i] = quantile(at.latency.flat(), 0.95)
		all = append(all, at.sums)
	}
	return addUp(all)
}

// zeros are n values that are known to be 0.
func zeros(n int) []*float64 {
	all := make([]*float64, n)
	for i := range all {
		all[i] = new(float64)
	}
	return all
}

// float is a decimal text as a number to draw.
func float(text *string) (*float64, error) {
	if text == nil {
		return nil, nil
	}
	f, err := strconv.ParseFloat(*text, 64)
	if err != nil {
		return nil, fmt.Errorf("value %q: %w", *text, err)
	}
	return &f, nil
}
