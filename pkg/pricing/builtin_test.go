package pricing_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"loom.internal/pkg/pricing"
)

// From a provider's bytes to dollars, with figures worked out by hand from the
// providers' price lists.
func TestBuiltinPricesCalls(t *testing.T) {
	t.Parallel()
	book := mustBook(t, pricing.MustBuiltin(), nil)
	for _, tc := range []struct {
		name, kind, model, at, raw, want string
	}{
		{
			"demo", "demo", "loom-demo", "2026-11-22",
			`{"prompt_tokens":1000,"completion_tokens":100,"prompt_tokens_details":{"cached_tokens":400}}`,
			"0.00018", // 600×0.15 + 400×0.075 + 100×0.60 = 90 + 30 + 60 per million
		},
		{
			"demo, large", "demo", "loom-demo-large", "2026-11-22",
			`{"prompt_tokens":1000,"completion_tokens":100,"prompt_tokens_details":{"cached_tokens":400}}`,
			"0.003", // 1500 + 500 + 1000
		},
		{
			"gpt-4o-mini snapshot", "openai", "gpt-4o-mini-2024-07-18", "2026-11-22",
			`{"prompt_tokens":19,"completion_tokens":10,"total_tokens":29}`,
			"0.00000885", // 2.85 + 6
		},
		{
			"gpt-5-nano", "openai", "gpt-5-nano", "2026-11-22",
			`{"input_tokens":3,"input_tokens_details":{"cached_tokens":1},"output_tokens":1,"total_tokens":4}`,
			"0.000000505", // 0.1 + 0.005 + 0.4
		},
		{
			"embeddings", "openai", "text-embedding-3-small", "2026-11-22",
			`{"prompt_tokens":8,"total_tokens":8}`, "0.00000016",
		},
		{
			"a price before its cut", "anthropic", "claude-sonnet-5-5", "2026-10-06",
			`{"input_tokens":0,"cache_read_input_tokens":1000,"output_tokens":10}`, "0.0003", // 200 + 100
		},
		{
			"a price after its cut", "anthropic", "claude-sonnet-5-5", "2026-10-07",
			`{"input_tokens":0,"cache_read_input_tokens":1000,"output_tokens":10}`, "0.0002", // 100 + 100
		},
		{
			"a long prompt", "openai", "gpt-5.6-luna", "2026-07-30",
			`{"prompt_tokens":300000,"completion_tokens":10000}`, "0.138", // 0.12 + 0.018
		},
		{
			"cache writes", "openai", "gpt-6.2-sol", "2026-11-22",
			`{"prompt_tokens":3000,"completion_tokens":100,"prompt_tokens_details":{"cached_tokens":1000,"cache_write_tokens":2000}}`,
			"0.0061", // 100 + 5000 + 1000
		},
		{
			"Claude by cache lifetime", "anthropic", "claude-opus-5-5", "2026-11-22",
			`{"input_tokens":10,"cache_read_input_tokens":1000,"cache_creation_input_tokens":300,
			  "cache_creation":{"ephemeral_5m_input_tokens":100,"ephemeral_1h_input_tokens":200},"output_tokens":50}`,
			"0.00334", // 40 + 200 + 500 + 1600 + 1000
		},
		{
			"Claude at the long-prompt edge", "anthropic", "claude-haiku-5-5", "2026-11-22",
			`{"input_tokens":1000,"cache_read_input_tokens":99000,"output_tokens":100}`,
			"0.00114", // 100 + 990 + 50
		},
		{
			"Claude past the long-prompt edge", "anthropic", "claude-haiku-5-5", "2026-11-22",
			`{"input_tokens":1001,"cache_read_input_tokens":99000,"output_tokens":100}`,
			"0.0057005", // 500.5 + 4950 + 250
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			u, err := pricing.ParseUsage([]byte(tc.raw))
			if err != nil {
				t.Fatal(err)
			}
			p, ok := book.Lookup(pricing.Query{ProviderKind: tc.kind, Models: []string{tc.model}, At: date(tc.at)})
			if !ok {
				t.Fatal("not priced")
			}
			cost, err := pricing.Cost(u, p)
			if err != nil || cost.USD() != tc.want {
				t.Errorf("cost = %s, %v, want %s", cost, err, tc.want)
			}
		})
	}
}

func TestBuiltinIsPlausible(t *testing.T) {
	t.Parallel()
	prices, err := pricing.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range prices {
		if p.Source == "" || !strings.HasPrefix(p.Version, "builtin-") {
			t.Errorf("%s/%s has source %q, version %q", p.Provider, p.Model, p.Source, p.Version)
		}
		all := []pricing.Rates{p.Rates}
		for _, tier := range p.Tiers {
			all = append(all, tier.Rates)
		}
		for i, r := range all {
			name := p.Provider + "/" + p.Model
			embedding := strings.HasPrefix(p.Model, "text-embedding-")
			if r.Input <= 0 || (r.Output <= r.Input) != embedding {
				t.Errorf("%s: input %d, output %d", name, r.Input, r.Output)
			}
			if r.CachedInput != nil && (*r.CachedInput <= 0 || *r.CachedInput >= r.Input) {
				t.Errorf("%s: cached input %d is no discount on %d", name, *r.CachedInput, r.Input)
			}
			if r.CacheWrite != nil && *r.CacheWrite <= r.Input {
				t.Errorf("%s: cache write %d is not dearer than input %d", name, *r.CacheWrite, r.Input)
			}
			if (p.Provider == "anthropic") != (r.CacheWrite1h != nil) {
				t.Errorf("%s: one-hour cache write rate is set for Anthropic's models only", name)
			}
			if i > 0 && (r.Input <= p.Input || r.Output <= p.Output) {
				t.Errorf("%s: a tier is not dearer than its base", name)
			}
		}
	}
}

func TestBuiltinLeavesUnknownUnpriced(t *testing.T) {
	t.Parallel()
	book := mustBook(t, pricing.MustBuiltin(), nil)
	for _, q := range []pricing.Query{
		{ProviderKind: "openai", Models: []string{"gpt-4o-mini-9999"}, At: date("2026-11-22")},
		{ProviderKind: "openai", Models: []string{"gpt-4o-mini"}, ServiceTier: "flex", At: date("2026-11-22")},
		{ProviderKind: "openai", Models: []string{"gpt-6.2-sol"}, At: date("2026-11-16")},
		{ProviderKind: "openai", Models: []string{"gpt-5.6-sol"}, At: date("2026-11-22")},
		{ProviderKind: "anthropic", Models: []string{"gpt-4o-mini"}, At: date("2026-11-22")},
	} {
		if p, ok := book.Lookup(q); ok {
			t.Errorf("%+v is priced by %+v, want none", q, p)
		}
	}
}

func TestParseCSV(t *testing.T) {
	t.Parallel()
	const header = "provider_kind,models,from,until,above_input_tokens,input,cached_input,cache_write,cache_write_1h,output,per,source\n"
	got, err := pricing.ParseCSV(strings.NewReader(header +
		"k,a b,2026-01-02,2026-02-03,,1,,,,2,1000000,list\n" +
		"k,a b,2026-01-02,2026-02-03,100,3,0.5,4,5,6,1000000,list\n"))
	if err != nil {
		t.Fatal(err)
	}
	a := price("k", "a", "2026-01-02", "2026-02-03", 1_000_000)
	a.Output, a.Source = 2_000_000, "list"
	a.Tiers = []pricing.Tier{{AboveInputTokens: 100, Rates: pricing.Rates{
		Input: 3_000_000, CachedInput: new(int64(500_000)), CacheWrite: new(int64(4_000_000)), CacheWrite1h: new(int64(5_000_000)), Output: 6_000_000,
	}}}
	b := a
	b.Model = "b"
	if diff := cmp.Diff([]pricing.Price{a, b}, got); diff != "" {
		t.Errorf("prices (-want +got):\n%s", diff)
	}
	for name, tc := range map[string]struct{ csv, want string }{
		"empty":           {"", "EOF"},
		"other columns":   {strings.Replace(header, "output", "out", 1), "columns are"},
		"few columns":     {header + "k,a\n", "wrong number of fields"},
		"no model":        {header + "k, ,2026-01-02,,,1,,,,2,1000000,list\n", "line 2: models is empty"},
		"bad date":        {header + "k,a,yesterday,,,1,,,,2,1000000,list\n", "yesterday"},
		"no from":         {header + "k,a,,,,1,,,,2,1000000,list\n", "cannot parse"},
		"bad per":         {header + "k,a,2026-01-02,,,1,,,,2,0,list\n", "per must be positive"},
		"bad rate":        {header + "k,a,2026-01-02,,,1,x,,,2,1000000,list\n", `cached_input: rate "x"`},
		"rate too fine":   {header + "k,a,2026-01-02,,,0.00000005,,,,2,1000000,list\n", "line 2: input: rate"},
		"no output":       {header + "k,a,2026-01-02,,,1,,,,,1000000,list\n", "output: rate"},
		"orphan tier":     {header + "k,a,2026-01-02,,5,1,,,,2,1000000,list\n", "a tier must follow"},
		"negative tier":   {header + "k,a,2026-01-02,,-5,1,,,,2,1000000,list\n", "above_input_tokens must be positive"},
		"tier of another": {header + "k,a,2026-01-02,,,1,,,,2,1000000,list\nk,b,2026-01-02,,5,1,,,,2,1000000,list\n", "line 3: a tier must follow"},
	} {
		if _, err := pricing.ParseCSV(strings.NewReader(tc.csv)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error = %v, want one with %q", name, err, tc.want)
		}
	}
}

// Whoever serves the same model under another kind asks their own price for it.
func TestOtherKindsArePricedByTheirOperator(t *testing.T) {
	t.Parallel()
	q := pricing.Query{ProviderName: "prod", Models: []string{"gpt-4o-mini"}, At: date("2026-11-22")}
	builtin := pricing.MustBuiltin()
	own := mustBook(t, builtin, []pricing.Price{price("prod", "gpt-4o-mini", "2026-01-01", "", 7)})
	listed := mustBook(t, append(builtin, price("azure", "gpt-4o-mini", "2026-01-01", "", 9)), nil)
	for _, kind := range []string{"azure", "compatible"} {
		q.ProviderKind = kind
		if p, ok := mustBook(t, builtin, nil).Lookup(q); ok {
			t.Errorf("%s: priced by %+v, want none", kind, p)
		}
		if p, ok := own.Lookup(q); !ok || p.Input != 7 {
			t.Errorf("%s: got %d, %v, want the operator's price", kind, p.Input, ok)
		}
		if p, ok := listed.Lookup(q); ok != (kind == "azure") || ok && p.Input != 9 {
			t.Errorf("%s: got %d, %v from a book that lists azure", kind, p.Input, ok)
		}
	}
	q.ProviderName, q.ProviderKind = "other", "openai"
	if _, ok := own.Lookup(q); !ok {
		t.Error("openai: not priced")
	}
}
