package pricing

import (
	"errors"
	"fmt"
	"time"
)

// Rates are picodollars per token. A nil rate falls back: CachedInput and
// CacheWrite to Input, CacheWrite1h to CacheWrite. Zero is free.
type Rates struct {
	Input        int64
	CachedInput  *int64
	CacheWrite   *int64
	CacheWrite1h *int64
	Output       int64
}

// Tier replaces all rates of a call whose whole input, cached tokens included,
// is more than AboveInputTokens.
type Tier struct {
	AboveInputTokens int64
	Rates
}

// Price says what a model costs at a provider from one date on.
type Price struct {
	Provider    string    // the provider's name (operator prices) or kind (built-in ones)
	Model       string    // exact model name
	ServiceTier string    // "" for the standard tier, else "flex", "priority", …
	From        time.Time // first day, midnight UTC; zero for ever since
	Until       time.Time // first day it no longer holds, midnight UTC; zero for open-ended
	Rates
	Tiers   []Tier // ascending by AboveInputTokens
	Source  string // where the figures come from, in words
	Version string // the book the price came from; stored beside each cost
}

const (
	day          = 24 * time.Hour
	maxNameBytes = 256
)

// Validate reports everything that is wrong with p on its own.
func (p Price) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("price of %s: "+format, append([]any{p.label()}, args...)...))
		}
	}
	check(p.Provider != "" && len(p.Provider) <= maxNameBytes, "provider must have 1 to %d bytes", maxNameBytes)
	check(p.Model != "" && len(p.Model) <= maxNameBytes, "model must have 1 to %d bytes", maxNameBytes)
	check(len(p.ServiceTier) <= maxTierBytes, "service tier must have at most %d bytes", maxTierBytes)
	check(isDate(p.From), "from must be midnight UTC, not %s", p.From)
	check(isDate(p.Until), "until must be midnight UTC, not %s", p.Until)
	check(p.Until.IsZero() || p.Until.After(p.From), "until must be after from")
	check(p.valid(), "rates must not be negative")
	above := int64(0)
	for _, t := range p.Tiers {
		check(t.valid(), "rates above %d input tokens must not be negative", t.AboveInputTokens)
		check(t.AboveInputTokens > above, "tiers must ascend from a positive number of input tokens")
		above = t.AboveInputTokens
	}
	return errors.Join(errs...)
}

func (p Price) label() string {
	s := p.Provider + "/" + p.Model
	if p.ServiceTier != "" {
		s += " (" + p.ServiceTier + ")"
	}
	return s + " from " + p.From.Format(time.DateOnly)
}

// ratesFor returns the rates of a call with so many input tokens.
func (p Price) ratesFor(input int64) Rates {
	rates := p.Rates
	for _, t := range p.Tiers {
		if input > t.AboveInputTokens {
			rates = t.Rates
		}
	}
	return rates
}

func (r Rates) cachedInput() int64  { return or(r.CachedInput, r.Input) }
func (r Rates) cacheWrite() int64   { return or(r.CacheWrite, r.Input) }
func (r Rates) cacheWrite1h() int64 { return or(r.CacheWrite1h, r.cacheWrite()) }

func (r Rates) valid() bool {
	return min(r.Input, r.cachedInput(), r.cacheWrite(), r.cacheWrite1h(), r.Output) >= 0
}

func or(rate *int64, fallback int64) int64 {
	if rate == nil {
		return fallback
	}
	return *rate
}

func isDate(t time.Time) bool {
	_, offset := t.Zone()
	return offset == 0 && t.Truncate(day).Equal(t)
}

// standardTier maps every name of the standard service tier to "".
func standardTier(tier string) string {
	switch tier {
	case "default", "standard", "auto":
		return ""
	}
	return tier
}
