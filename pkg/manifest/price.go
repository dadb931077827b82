package manifest

import (
	"cmp"
	"time"

	"loom.internal/pkg/pricing"
)

// DefaultPer is the number of tokens a price is for when it does not say.
const DefaultPer = 1_000_000

// Rates are what a Price comes to, in picodollars a token. A nil rate was not given.
type Rates struct {
	From                                  time.Time
	Input, Output                         int64
	CachedInput, CacheWrite, CacheWrite1h *int64
}

// Rates converts the price exactly. The faults carry paths relative to the price,
// such as ".input".
func (p Price) Rates() (Rates, []Fault) {
	var (
		r      Rates
		faults []Fault
	)
	fault := func(path, message string) { faults = append(faults, Fault{Path: path, Message: message}) }

	from, err := time.Parse(time.DateOnly, p.From)
	if err != nil {
		fault(".from", "must be a date such as 2026-01-31")
	}
	r.From = from

	per := cmp.Or(p.Per, DefaultPer)
	if per < 1 || per > 1_000_000_000 {
		fault(".per", "between 1 and 1000000000 tokens")
		return r, faults
	}
	rate := func(path, usd string) *int64 {
		if usd == "" {
			return nil
		}
		n, err := pricing.ParseRate(usd, per)
		if err != nil {
			fault(path, err.Error())
		}
		return &n
	}
	if n := rate(".input", p.Input); n != nil {
		r.Input = *n
	} else {
		fault(".input", "is missing: US dollars as a quoted decimal, such as \"0.15\"")
	}
	if n := rate(".output", p.Output); n != nil {
		r.Output = *n
	} else {
		fault(".output", "is missing: US dollars as a quoted decimal, such as \"0.60\"")
	}
	r.CachedInput = rate(".cached_input", p.CachedInput)
	r.CacheWrite = rate(".cache_write", p.CacheWrite)
	r.CacheWrite1h = rate(".cache_write_1h", p.CacheWrite1h)
	return r, faults
}

func (v *validator) price(path string, p Price) {
	v.name(path+".provider", p.Provider)
	v.text(path+".model", p.Model)
	v.once(path, "price", p.Provider, p.Model, p.From)
	_, faults := p.Rates()
	for _, f := range faults {
		v.faults = append(v.faults, Fault{Path: path + f.Path, Message: f.Message})
	}
}
