package pricing

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Book finds the price of a call. It does not change once built and may be
// read by any number of goroutines; the prices it returns share its memory and
// must not be written to.
type Book struct {
	operator index // by provider name
	builtin  index // by provider kind
}

// Query names a call to price.
type Query struct {
	ProviderName string    // as the operator configured it
	ProviderKind string    // "openai", "anthropic", "demo", …
	Models       []string  // candidates in order: the model that answered, then the one asked for upstream
	ServiceTier  string    // as the answer names it; "", "default", "standard" and "auto" are the standard tier
	At           time.Time // when the call started
}

// series is the key under which prices follow each other in time.
type series struct{ provider, model, tier string }

// index holds each series ascending by From, without overlaps.
type index map[series][]Price

// NewBook builds a book of built-in prices, matched by provider kind, and
// operator prices, matched by provider name. A later price of the same
// provider, model and service tier ends an open-ended earlier one. Its error
// lists every price that is invalid, doubled, or overlaps its successor.
func NewBook(builtin, operator []Price) (*Book, error) {
	b, errBuiltin := newIndex(builtin)
	o, errOperator := newIndex(operator)
	if err := errors.Join(errBuiltin, errOperator); err != nil {
		return nil, fmt.Errorf("price book: %w", err)
	}
	return &Book{operator: o, builtin: b}, nil
}

func newIndex(prices []Price) (index, error) {
	var errs []error
	x := make(index, len(prices))
	for _, p := range prices {
		if err := p.Validate(); err != nil {
			errs = append(errs, err)
			continue
		}
		p.ServiceTier = standardTier(p.ServiceTier)
		key := series{p.Provider, p.Model, p.ServiceTier}
		x[key] = append(x[key], p.clone())
	}
	for _, s := range x {
		slices.SortFunc(s, func(a, b Price) int {
			return cmp.Or(a.From.Compare(b.From), a.Until.Compare(b.Until))
		})
		for i := 1; i < len(s); i++ {
			switch prev := s[i-1]; {
			case prev.From.Equal(s[i].From):
				errs = append(errs, fmt.Errorf("price of %s is given twice", s[i].label()))
			case prev.Until.After(s[i].From):
				errs = append(errs, fmt.Errorf("price of %s overlaps the one that holds until %s",
					s[i].label(), prev.Until.Format(time.DateOnly)))
			}
		}
	}
	slices.SortFunc(errs, func(a, b error) int { return cmp.Compare(a.Error(), b.Error()) })
	return x, errors.Join(errs...)
}

// Lookup returns the price in force for q: the first of q.Models with an
// operator price, else the first with a built-in one. It reports false when
// the book has none, in particular for a service tier of its own.
func (b *Book) Lookup(q Query) (Price, bool) {
	tier := standardTier(q.ServiceTier)
	for _, m := range q.Models {
		if p, ok := b.operator.at(series{q.ProviderName, m, tier}, q.At); ok {
			return p, true
		}
	}
	for _, m := range q.Models {
		if p, ok := b.builtin.at(series{q.ProviderKind, m, tier}, q.At); ok {
			return p, true
		}
	}
	return Price{}, false
}

// at returns the price with the latest From not after t, if it still holds.
func (x index) at(key series, t time.Time) (Price, bool) {
	s := x[key]
	i, found := slices.BinarySearchFunc(s, t, func(p Price, t time.Time) int { return p.From.Compare(t) })
	if !found {
		i--
	}
	if i < 0 || (!s[i].Until.IsZero() && !t.Before(s[i].Until)) {
		return Price{}, false
	}
	return s[i], true
}

// clone copies what p shares with the caller.
func (p Price) clone() Price {
	p.Rates = p.Rates.clone()
	p.Tiers = slices.Clone(p.Tiers)
	for i := range p.Tiers {
		p.Tiers[i].Rates = p.Tiers[i].clone()
	}
	return p
}

func (r Rates) clone() Rates {
	for _, rate := range []**int64{&r.CachedInput, &r.CacheWrite, &r.CacheWrite1h} {
		if *rate != nil {
			*rate = new(**rate)
		}
	}
	return r
}
