package pricing_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"loom.internal/pkg/pricing"
)

func TestUSD(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		pico pricing.Picodollars
		want string
	}{
		{0, "0"},
		{1, "0.000000000001"},
		{120_000_000, "0.00012"},
		{1_000_000_000_000, "1"},
		{10_000_000_000_000, "10"},
		{12_500_000_000_000, "12.5"},
		{-3_500_000_000_000, "-3.5"},
		{-1, "-0.000000000001"},
		{math.MaxInt64, "9223372.036854775807"},
		{math.MinInt64, "-9223372.036854775808"},
	} {
		if got := tc.pico.USD(); got != tc.want {
			t.Errorf("%d USD() = %q, want %q", int64(tc.pico), got, tc.want)
		}
		if got := tc.pico.String(); got != tc.want {
			t.Errorf("%d String() = %q, want %q", int64(tc.pico), got, tc.want)
		}
		if got, err := pricing.ParseUSD(tc.want); err != nil || got != tc.pico {
			t.Errorf("ParseUSD(%q) = %d, %v, want %d", tc.want, int64(got), err, int64(tc.pico))
		}
	}
}

func TestParseUSDReadsOtherSpellings(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]pricing.Picodollars{
		"1.50": 1_500_000_000_000, "007": 7_000_000_000_000, "-0": 0, "0.0000000000010000": 1,
	} {
		if got, err := pricing.ParseUSD(in); err != nil || got != want {
			t.Errorf("ParseUSD(%q) = %d, %v, want %d", in, int64(got), err, int64(want))
		}
	}
}

func TestParseUSDRefuses(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"": "not a decimal", "-": "not a decimal", ".5": "not a decimal", "5.": "not a decimal", "+1": "not a decimal",
		"1e3": "not a decimal", "1,000": "not a decimal", " 1": "not a decimal", "--1": "not a decimal", "1.-5": "not a decimal",
		"$1": "not a decimal", "NaN": "not a decimal", "١": "not a decimal", "0x10": "not a decimal",
		"0.0000000000001":         "finer than a picodollar",
		"9223372.036854775808":    "more than an int64",
		"-9223372.036854775809":   "more than an int64",
		strings.Repeat("1", 65):   "longer than 64",
		strings.Repeat("x", 1000): "longer than 64",
	} {
		got, err := pricing.ParseUSD(in)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseUSD(%q) = %d, %v, want an error with %q", in, int64(got), err, want)
		}
		if err != nil && len(err.Error()) > 300 {
			t.Errorf("ParseUSD(%d bytes) repeats its input in the error", len(in))
		}
	}
}

func TestParseRate(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		usd  string
		per  int64
		want int64
	}{
		{"0.15", 1_000_000, 150_000},
		{"0.005", 1_000_000, 5_000},
		{"75", 1_000_000, 75_000_000},
		{"0.0015", 1000, 1_500_000},
		{"0.000001", 1_000_000, 1},
		{"0.000000000001", 1, 1},
		{"3.00", 3, 1_000_000_000_000},
		{"0", 1_000_000, 0},
	} {
		got, err := pricing.ParseRate(tc.usd, tc.per)
		if err != nil || got != tc.want {
			t.Errorf("ParseRate(%q, %d) = %d, %v, want %d", tc.usd, tc.per, got, err, tc.want)
		}
	}
	if got, want := pricing.FormatRate(150_000, 1_000_000), "0.15"; got != want {
		t.Errorf("FormatRate = %q, want %q", got, want)
	}
}

func TestParseRateRefuses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		usd  string
		per  int64
		want string
	}{
		{"0.00000005", 1_000_000, `"0.00000005" per 1000000 tokens is finer than a picodollar per token`},
		{"1", 3, "finer"},
		{"-1", 1000, "negative"},
		{"1", 0, "per must be"},
		{"1", -5, "per must be"},
		{"1", math.MaxInt64, "per must be"},
		{"1e-6", 1, "not a decimal"},
		{"9223373", 1, "more than an int64"},
	} {
		got, err := pricing.ParseRate(tc.usd, tc.per)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("ParseRate(%q, %d) = %d, %v, want an error with %q", tc.usd, tc.per, got, err, tc.want)
		}
	}
	if _, err := pricing.ParseRate("9223373", 1); !errors.Is(err, pricing.ErrOverflow) {
		t.Errorf("error = %v, want ErrOverflow", err)
	}
}

func TestMoneyRoundTrips(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := pricing.Picodollars(rapid.Int64().Draw(t, "pico"))
		if got, err := pricing.ParseUSD(p.USD()); err != nil || got != p {
			t.Fatalf("ParseUSD(%q) = %d, %v, want %d", p.USD(), int64(got), err, int64(p))
		}
		rate := rapid.Int64Min(0).Draw(t, "rate")
		per := rapid.Int64Range(1, 1_000_000_000_000).Draw(t, "per")
		if got, err := pricing.ParseRate(pricing.FormatRate(rate, per), per); err != nil || got != rate {
			t.Fatalf("ParseRate(%q, %d) = %d, %v, want %d", pricing.FormatRate(rate, per), per, got, err, rate)
		}
	})
}
