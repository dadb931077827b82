package pricing

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
)

var (
	// ErrOverflow says that an amount does not fit an int64 of picodollars.
	ErrOverflow = errors.New("more than an int64 of picodollars holds")
	// ErrUnpriced says that a usage holds something its price has no rate for.
	ErrUnpriced = errors.New("no rate")
)

// Breakdown is a cost by bucket of Usage. Total is the exact sum of the others.
type Breakdown struct {
	Input        Picodollars // of UncachedInput
	CacheRead    Picodollars
	CacheWrite   Picodollars
	CacheWrite1h Picodollars
	Output       Picodollars
	Total        Picodollars
}

// Cost is the total of Itemize.
func Cost(u Usage, p Price) (Picodollars, error) {
	b, err := Itemize(u, p)
	return b.Total, err
}

// Itemize returns what u costs at p. It returns an error that wraps
// ErrUnpriced if p cannot price all of u, or ErrOverflow.
func Itemize(u Usage, p Price) (Breakdown, error) {
	if err := u.Validate(); err != nil {
		return Breakdown{}, err
	}
	if err := priceable(u, p); err != nil {
		return Breakdown{}, fmt.Errorf("price %s/%s: %w", p.Provider, p.Model, err)
	}
	r := p.ratesFor(u.Input())
	if !r.valid() {
		return Breakdown{}, fmt.Errorf("price %s/%s: a rate is negative", p.Provider, p.Model)
	}
	var b Breakdown
	fits := true
	for _, item := range [...]struct {
		amount       *Picodollars
		tokens, rate int64
	}{
		{&b.Input, u.UncachedInput, r.Input},
		{&b.CacheRead, u.CacheRead, r.cachedInput()},
		{&b.CacheWrite, u.CacheWrite, r.cacheWrite()},
		{&b.CacheWrite1h, u.CacheWrite1h, r.cacheWrite1h()},
		{&b.Output, u.Output, r.Output},
	} {
		fits = charge(&b.Total, item.amount, uint64(item.tokens), uint64(item.rate)) && fits //nolint:gosec // both checked ≥ 0 above
	}
	if !fits {
		return Breakdown{}, fmt.Errorf("price %s/%s: %w", p.Provider, p.Model, ErrOverflow)
	}
	return b, nil
}

func priceable(u Usage, p Price) error {
	switch {
	case u.AudioInput > 0 || u.AudioOutput > 0:
		return fmt.Errorf("%w for audio tokens", ErrUnpriced)
	case u.WebSearches > 0:
		return fmt.Errorf("%w for web searches", ErrUnpriced)
	case u.Surcharge != "":
		return fmt.Errorf("%w for calls with this %s", ErrUnpriced, u.Surcharge)
	case u.ServiceTier != "" && u.ServiceTier != standardTier(p.ServiceTier):
		return fmt.Errorf("%w for service tier %q", ErrUnpriced, u.ServiceTier)
	}
	return nil
}

// charge sets amount to tokens × rate, adds it to total, and reports whether
// both fit. *total is never negative.
func charge(total, amount *Picodollars, tokens, rate uint64) bool {
	hi, product := bits.Mul64(tokens, rate)
	if hi != 0 || product > math.MaxInt64 {
		return false
	}
	sum, carry := bits.Add64(uint64(*total), product, 0) //nolint:gosec // total ≥ 0
	if carry != 0 || sum > math.MaxInt64 {
		return false
	}
	*amount, *total = Picodollars(product), Picodollars(sum)
	return true
}
