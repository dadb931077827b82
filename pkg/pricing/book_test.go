package pricing_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"loom.internal/pkg/pricing"
)

func date(s string) time.Time {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		panic(err)
	}
	return t
}

func price(provider, model, from, until string, input int64) pricing.Price {
	p := pricing.Price{Provider: provider, Model: model, From: date(from), Rates: pricing.Rates{Input: input}}
	if until != "" {
		p.Until = date(until)
	}
	return p
}

func mustBook(t *testing.T, builtin, operator []pricing.Price) *pricing.Book {
	t.Helper()
	b, err := pricing.NewBook(builtin, operator)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestLookup(t *testing.T) {
	t.Parallel()
	flex := price("prod", "gpt-5", "2026-01-01", "", 7)
	flex.ServiceTier = "flex"
	book := mustBook(t,
		[]pricing.Price{
			price("openai", "gpt-5", "2026-01-01", "", 1),
			price("openai", "gpt-5", "2026-06-01", "", 2),
			price("openai", "gpt-5-mini", "2026-01-01", "2026-03-01", 3),
			price("openai", "gpt-5-mini", "2026-04-01", "", 4),
			price("prod", "trap", "2026-01-01", "", 5),
		},
		[]pricing.Price{price("prod", "gpt-5", "2026-05-01", "2026-08-01", 6), flex, price("openai", "trap", "2026-01-01", "", 8)},
	)
	for _, tc := range []struct {
		name       string
		provider   string
		models     []string
		tier, at   string
		wantInput  int64
		wantPriced bool
	}{
		{"built-in by kind", "other", []string{"gpt-5"}, "", "2026-05-15T00:00:00Z", 1, true},
		{"before the first day", "other", []string{"gpt-5"}, "", "2025-12-31T23:59:59.999999999Z", 0, false},
		{"first instant", "other", []string{"gpt-5"}, "", "2026-01-01T00:00:00Z", 1, true},
		{"last instant before a change", "other", []string{"gpt-5"}, "", "2026-05-31T23:59:59.999999999Z", 1, true},
		{"first instant of a change", "other", []string{"gpt-5"}, "", "2026-06-01T00:00:00Z", 2, true},
		{"the day is UTC's", "other", []string{"gpt-5"}, "", "2026-06-01T01:00:00+02:00", 1, true},
		{"last instant before until", "other", []string{"gpt-5-mini"}, "", "2026-02-28T23:59:59Z", 3, true},
		{"until is exclusive", "other", []string{"gpt-5-mini"}, "", "2026-03-01T00:00:00Z", 0, false},
		{"after a gap", "other", []string{"gpt-5-mini"}, "", "2026-04-01T00:00:00Z", 4, true},
		{"operator by name", "prod", []string{"gpt-5"}, "", "2026-05-15T00:00:00Z", 6, true},
		{"operator not yet", "prod", []string{"gpt-5"}, "", "2026-04-30T23:59:59Z", 1, true},
		{"operator no longer", "prod", []string{"gpt-5"}, "", "2026-08-01T00:00:00Z", 2, true},
		{"operator price of a later candidate", "prod", []string{"gpt-5-mini", "gpt-5"}, "", "2026-05-15T00:00:00Z", 6, true},
		{"first candidate", "other", []string{"gpt-5-mini", "gpt-5"}, "", "2026-05-15T00:00:00Z", 4, true},
		{"second candidate", "other", []string{"gpt-5-2026-09-09", "gpt-5"}, "", "2026-05-15T00:00:00Z", 1, true},
		{"no prefix guess", "other", []string{"gpt-5-2026-09-09"}, "", "2026-05-15T00:00:00Z", 0, false},
		{"no model", "other", nil, "", "2026-05-15T00:00:00Z", 0, false},
		{"names and kinds do not mix", "x", []string{"trap"}, "", "2026-05-15T00:00:00Z", 0, false},
		{"default tier", "other", []string{"gpt-5"}, "default", "2026-05-15T00:00:00Z", 1, true},
		{"standard tier", "other", []string{"gpt-5"}, "standard", "2026-05-15T00:00:00Z", 1, true},
		{"auto tier", "other", []string{"gpt-5"}, "auto", "2026-05-15T00:00:00Z", 1, true},
		{"unknown tier", "other", []string{"gpt-5"}, "priority", "2026-05-15T00:00:00Z", 0, false},
		{"tier with its own price", "prod", []string{"gpt-5"}, "flex", "2026-05-15T00:00:00Z", 7, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			at, err := time.Parse(time.RFC3339Nano, tc.at)
			if err != nil {
				t.Fatal(err)
			}
			got, ok := book.Lookup(pricing.Query{ProviderName: tc.provider, ProviderKind: "openai", Models: tc.models, ServiceTier: tc.tier, At: at})
			if ok != tc.wantPriced || got.Input != tc.wantInput {
				t.Errorf("price = %d, %v, want %d, %v", got.Input, ok, tc.wantInput, tc.wantPriced)
			}
		})
	}
}

func TestNewBookListsEveryFault(t *testing.T) {
	t.Parallel()
	broken := price("", "", "2026-01-01", "2025-01-01", -1)
	broken.From = broken.From.Add(time.Hour)
	broken.ServiceTier = strings.Repeat("x", 65)
	tiers := price("p", "tiers", "2026-01-01", "", 1)
	tiers.Tiers = []pricing.Tier{{AboveInputTokens: 10}, {AboveInputTokens: 10, Rates: pricing.Rates{Output: -1}}}
	standard := price("p", "twice", "2026-01-01", "", 2)
	standard.ServiceTier = "default"
	_, err := pricing.NewBook(
		[]pricing.Price{broken, tiers, price("p", "twice", "2026-01-01", "", 1), standard},
		[]pricing.Price{
			price("p", "overlap", "2026-01-01", "2026-02-02", 1),
			price("p", "overlap", "2026-02-01", "", 1),
			price("p", "fits", "2026-01-01", "2026-02-01", 1),
			price("p", "fits", "2026-02-01", "", 1),
		})
	if err == nil {
		t.Fatal("a book full of faults was accepted")
	}
	for _, want := range []string{
		"provider must have", "model must have", "service tier must have", "from must be midnight UTC", "until must be after from", "rates must not be negative",
		"price of p/tiers from 2026-01-01: tiers must ascend", "rates above 10 input tokens",
		"price of p/twice from 2026-01-01 is given twice",
		"price of p/overlap from 2026-02-01 overlaps the one that holds until 2026-02-02",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error does not say %q:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "p/fits") {
		t.Errorf("error blames prices that follow each other:\n%v", err)
	}
}

func TestBookKeepsItsOwnCopy(t *testing.T) {
	t.Parallel()
	in := []pricing.Price{price("p", "m", "2026-01-01", "", 1)}
	in[0].CachedInput = new(int64(1))
	in[0].Tiers = []pricing.Tier{{AboveInputTokens: 1, Rates: pricing.Rates{CacheWrite: new(int64(1))}}}
	book := mustBook(t, in, nil)
	in[0].Input, *in[0].CachedInput, *in[0].Tiers[0].CacheWrite, in[0].Tiers[0].Output = 2, 2, 2, 2
	got, _ := book.Lookup(pricing.Query{ProviderKind: "p", Models: []string{"m"}, At: date("2026-01-01")})
	want := price("p", "m", "2026-01-01", "", 1)
	want.CachedInput = new(int64(1))
	want.Tiers = []pricing.Tier{{AboveInputTokens: 1, Rates: pricing.Rates{CacheWrite: new(int64(1))}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("price changed behind the book (-want +got):\n%s", diff)
	}
}

// A book that is accepted answers like a scan over its prices.
func TestLookupAgainstScan(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		epoch := date("2026-01-01")
		name := rapid.SampledFrom([]string{"a", "b"})
		days := rapid.IntRange(0, 30)
		var input int64
		draw := rapid.Custom(func(t *rapid.T) pricing.Price {
			input++
			p := pricing.Price{
				Provider: name.Draw(t, "provider"), Model: name.Draw(t, "model"),
				From: epoch.AddDate(0, 0, days.Draw(t, "from")), Rates: pricing.Rates{Input: input},
			}
			if rapid.Bool().Draw(t, "ends") {
				p.Until = p.From.AddDate(0, 0, 1+days.Draw(t, "length"))
			}
			return p
		})
		builtin := keepDisjoint(rapid.SliceOfN(draw, 0, 8).Draw(t, "builtin"))
		operator := keepDisjoint(rapid.SliceOfN(draw, 0, 8).Draw(t, "operator"))
		book, err := pricing.NewBook(builtin, operator)
		if err != nil {
			t.Fatal(err)
		}
		q := pricing.Query{
			ProviderName: name.Draw(t, "name"), ProviderKind: name.Draw(t, "kind"),
			Models: rapid.SliceOfN(name, 0, 2).Draw(t, "models"),
			At:     epoch.Add(time.Duration(rapid.IntRange(-2, 65*24).Draw(t, "hours")) * time.Hour),
		}
		want, wantOK := scan(operator, q.ProviderName, q)
		if !wantOK {
			want, wantOK = scan(builtin, q.ProviderKind, q)
		}
		got, ok := book.Lookup(q)
		if ok != wantOK || got.Input != want.Input {
			t.Fatalf("lookup %+v = %+v, %v, want %+v, %v", q, got, ok, want, wantOK)
		}
	})
}

// keepDisjoint drops the prices that collide with an earlier one.
func keepDisjoint(prices []pricing.Price) []pricing.Price {
	var kept []pricing.Price
	for _, p := range prices {
		if _, err := pricing.NewBook(append(slices.Clone(kept), p), nil); err == nil {
			kept = append(kept, p)
		}
	}
	return kept
}

func scan(prices []pricing.Price, provider string, q pricing.Query) (best pricing.Price, ok bool) {
	for _, model := range q.Models {
		for _, p := range prices {
			if p.Provider == provider && p.Model == model && !p.From.After(q.At) && (!ok || p.From.After(best.From)) {
				best, ok = p, true
			}
		}
		if ok && (best.Until.IsZero() || q.At.Before(best.Until)) {
			return best, true
		}
		best, ok = pricing.Price{}, false
	}
	return best, ok
}

func BenchmarkLookup(b *testing.B) {
	book, err := pricing.NewBook(pricing.MustBuiltin(), nil)
	if err != nil {
		b.Fatal(err)
	}
	q := pricing.Query{ProviderKind: "openai", Models: []string{"unknown", "gpt-5.6-terra"}, At: date("2026-08-01")}
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := book.Lookup(q); !ok {
			b.Fatal("not priced")
		}
	}
}
