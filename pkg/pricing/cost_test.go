package pricing_test

import (
	"errors"
	"math"
	"math/big"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"loom.internal/pkg/pricing"
)

// sonnet is $3 in, $0.30 cached, $3.75 and $6 written, $15 out per million,
// and twice the input, 1.5 times the output above 200,000 input tokens.
var sonnet = pricing.Price{
	Provider: "anthropic", Model: "sonnet",
	Rates: pricing.Rates{
		Input: 3_000_000, CachedInput: new(int64(300_000)), CacheWrite: new(int64(3_750_000)), CacheWrite1h: new(int64(6_000_000)), Output: 15_000_000,
	},
	Tiers: []pricing.Tier{{AboveInputTokens: 200_000, Rates: pricing.Rates{
		Input: 6_000_000, CachedInput: new(int64(600_000)), CacheWrite: new(int64(7_500_000)), CacheWrite1h: new(int64(12_000_000)), Output: 22_500_000,
	}}},
}

func TestItemize(t *testing.T) {
	t.Parallel()
	flat := pricing.Price{Provider: "p", Model: "flat", Rates: pricing.Rates{Input: 150_000, Output: 600_000}}
	for _, tc := range []struct {
		name  string
		usage pricing.Usage
		price pricing.Price
		want  pricing.Breakdown
		usd   string
	}{
		{"nothing", pricing.Usage{}, sonnet, pricing.Breakdown{}, "0"},
		{
			"every bucket at its rate",
			pricing.Usage{UncachedInput: 1000, CacheRead: 2000, CacheWrite: 300, CacheWrite1h: 40, Output: 500, Reasoning: 499},
			sonnet,
			pricing.Breakdown{
				Input: 3_000_000_000, CacheRead: 600_000_000, CacheWrite: 1_125_000_000, CacheWrite1h: 240_000_000,
				Output: 7_500_000_000, Total: 12_465_000_000,
			},
			"0.012465",
		},
		{
			"without cache rates",
			pricing.Usage{UncachedInput: 1, CacheRead: 1, CacheWrite: 1, CacheWrite1h: 1, Output: 1},
			flat,
			pricing.Breakdown{Input: 150_000, CacheRead: 150_000, CacheWrite: 150_000, CacheWrite1h: 150_000, Output: 600_000, Total: 1_200_000},
			"0.0000012",
		},
		{
			"one-hour writes fall back to the other write rate",
			pricing.Usage{CacheWrite1h: 10},
			pricing.Price{Rates: pricing.Rates{Input: 1, CacheWrite: new(int64(7))}},
			pricing.Breakdown{CacheWrite1h: 70, Total: 70},
			"0.00000000007",
		},
		{
			"a free cached rate is not a missing one",
			pricing.Usage{UncachedInput: 1, CacheRead: 1000},
			pricing.Price{Rates: pricing.Rates{Input: 5, CachedInput: new(int64(0))}},
			pricing.Breakdown{Input: 5, Total: 5},
			"0.000000000005",
		},
		{
			"at the tier's edge",
			pricing.Usage{UncachedInput: 100_000, CacheRead: 100_000, Output: 1000},
			sonnet,
			pricing.Breakdown{Input: 300_000_000_000, CacheRead: 30_000_000_000, Output: 15_000_000_000, Total: 345_000_000_000},
			"0.345",
		},
		{
			"one cached token past the tier's edge re-prices all",
			pricing.Usage{UncachedInput: 100_000, CacheRead: 100_001, Output: 1000},
			sonnet,
			pricing.Breakdown{Input: 600_000_000_000, CacheRead: 60_000_600_000, Output: 22_500_000_000, Total: 682_500_600_000},
			"0.6825006",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := pricing.Itemize(tc.usage, tc.price)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("breakdown (-want +got):\n%s", diff)
			}
			cost, err := pricing.Cost(tc.usage, tc.price)
			if err != nil || cost.USD() != tc.usd {
				t.Errorf("cost = %s, %v, want %s", cost, err, tc.usd)
			}
		})
	}
}

func TestCostRefuses(t *testing.T) {
	t.Parallel()
	flex := sonnet
	flex.ServiceTier = "flex"
	for _, tc := range []struct {
		name  string
		usage pricing.Usage
		price pricing.Price
		is    error
		want  string
	}{
		{"audio in", pricing.Usage{UncachedInput: 5, AudioInput: 1}, sonnet, pricing.ErrUnpriced, "audio"},
		{"audio out", pricing.Usage{Output: 5, AudioOutput: 1}, sonnet, pricing.ErrUnpriced, "audio"},
		{"web search", pricing.Usage{WebSearches: 1}, sonnet, pricing.ErrUnpriced, "web searches"},
		{"surcharge", pricing.Usage{Surcharge: "speed"}, sonnet, pricing.ErrUnpriced, "speed"},
		{"tier without its price", pricing.Usage{ServiceTier: "batch"}, sonnet, pricing.ErrUnpriced, `"batch"`},
		{"another tier's price", pricing.Usage{ServiceTier: "batch"}, flex, pricing.ErrUnpriced, `"batch"`},
		{"invalid usage", pricing.Usage{Output: -1}, sonnet, nil, "outside 0 to 2^40"},
		{"negative rate", pricing.Usage{Output: 1}, pricing.Price{Rates: pricing.Rates{Output: -1}}, nil, "negative"},
		{"product overflow", pricing.Usage{Output: pricing.MaxTokens}, pricing.Price{Rates: pricing.Rates{Output: 1 << 23}}, pricing.ErrOverflow, ""},
		{"product past 64 bits", pricing.Usage{Output: pricing.MaxTokens}, pricing.Price{Rates: pricing.Rates{Output: math.MaxInt64}}, pricing.ErrOverflow, ""},
		{
			"sum overflow",
			pricing.Usage{UncachedInput: 1, Output: 1},
			pricing.Price{Rates: pricing.Rates{Input: math.MaxInt64, Output: 1}},
			pricing.ErrOverflow, "",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := pricing.Itemize(tc.usage, tc.price)
			if err == nil || !strings.Contains(err.Error(), tc.want) || (tc.is != nil && !errors.Is(err, tc.is)) {
				t.Errorf("breakdown = %+v, error = %v, want %v with %q", got, err, tc.is, tc.want)
			}
			if got != (pricing.Breakdown{}) {
				t.Errorf("breakdown = %+v beside an error, want none", got)
			}
		})
	}
	if cost, err := pricing.Cost(pricing.Usage{Output: 1, ServiceTier: "flex"}, flex); err != nil || cost != 15_000_000 {
		t.Errorf("flex call at the flex price = %s, %v, want 0.000015", cost, err)
	}
	if cost, err := pricing.Cost(pricing.Usage{Output: 1}, pricing.Price{Rates: pricing.Rates{Output: math.MaxInt64}}); err != nil || cost != math.MaxInt64 {
		t.Errorf("largest cost = %d, %v, want %d", int64(cost), err, int64(math.MaxInt64))
	}
}

func drawRates(t *rapid.T) pricing.Rates {
	rate := rapid.Int64Range(0, 1_000_000_000)
	optional := rapid.Ptr(rate, true)
	return pricing.Rates{
		Input: rate.Draw(t, "input"), Output: rate.Draw(t, "output"),
		CachedInput: optional.Draw(t, "cached"), CacheWrite: optional.Draw(t, "write"), CacheWrite1h: optional.Draw(t, "write 1h"),
	}
}

func drawUsage(t *rapid.T, limit int64) pricing.Usage {
	n := rapid.Int64Range(0, limit)
	return pricing.Usage{
		UncachedInput: n.Draw(t, "uncached"), CacheRead: n.Draw(t, "read"), CacheWrite: n.Draw(t, "written"),
		CacheWrite1h: n.Draw(t, "written 1h"), Output: n.Draw(t, "generated"),
	}
}

func sum(b pricing.Breakdown) pricing.Picodollars {
	return b.Input + b.CacheRead + b.CacheWrite + b.CacheWrite1h + b.Output
}

func TestCostIsLinear(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := pricing.Price{Rates: drawRates(t)}
		a, b := drawUsage(t, 1_000_000), drawUsage(t, 1_000_000)
		both := pricing.Usage{
			UncachedInput: a.UncachedInput + b.UncachedInput, CacheRead: a.CacheRead + b.CacheRead,
			CacheWrite: a.CacheWrite + b.CacheWrite, CacheWrite1h: a.CacheWrite1h + b.CacheWrite1h, Output: a.Output + b.Output,
		}
		costs := make([]pricing.Breakdown, 3)
		for i, u := range []pricing.Usage{a, b, both} {
			var err error
			if costs[i], err = pricing.Itemize(u, p); err != nil {
				t.Fatal(err)
			}
			if got := sum(costs[i]); got != costs[i].Total {
				t.Fatalf("buckets sum to %s, total is %s", got, costs[i].Total)
			}
		}
		if got, want := costs[0].Total+costs[1].Total, costs[2].Total; got != want {
			t.Fatalf("a + b costs %s, together %s", got, want)
		}
	})
}

// The cost is the one arbitrary-precision arithmetic gives, or ErrOverflow.
func TestCostIsExactOrOverflows(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in, out := rapid.Int64Min(0).Draw(t, "in"), rapid.Int64Min(0).Draw(t, "out")
		u := pricing.Usage{
			UncachedInput: rapid.Int64Range(0, pricing.MaxTokens).Draw(t, "uncached"),
			Output:        rapid.Int64Range(0, pricing.MaxTokens).Draw(t, "output"),
		}
		want := new(big.Int).Mul(big.NewInt(u.UncachedInput), big.NewInt(in))
		want.Add(want, new(big.Int).Mul(big.NewInt(u.Output), big.NewInt(out)))
		got, err := pricing.Cost(u, pricing.Price{Rates: pricing.Rates{Input: in, Output: out}})
		switch {
		case !want.IsInt64():
			if !errors.Is(err, pricing.ErrOverflow) {
				t.Fatalf("cost = %s, %v, want ErrOverflow", got, err)
			}
		case err != nil || int64(got) != want.Int64():
			t.Fatalf("cost = %d, %v, want %s", int64(got), err, want)
		}
	})
}

func BenchmarkCost(b *testing.B) {
	u := pricing.Usage{UncachedInput: 1000, CacheRead: 2000, CacheWrite: 300, CacheWrite1h: 40, Output: 500}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := pricing.Cost(u, sonnet); err != nil {
			b.Fatal(err)
		}
	}
}
