package admin

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"loom.internal/pkg/manifest"
)

type priceKey struct{ provider, model, from string }

type storedPrice struct {
	Provider     string
	Model        string
	FromDate     time.Time
	Input        int64
	CachedInput  *int64
	CacheWrite   *int64
	CacheWrite1h *int64
	Output       int64
}

func (s storedPrice) key() priceKey {
	return priceKey{s.Provider, s.Model, s.FromDate.Format(time.DateOnly)}
}

func (p *plan) prices(ctx context.Context) error {
	if len(p.m.Prices) == 0 {
		return nil
	}
	var providers []string
	for _, want := range p.m.Prices {
		providers = append(providers, want.Provider)
	}
	stored, err := collect(ctx, p.Tx, storedPrice.key, `
		SELECT provider, model, from_date, input, cached_input, cache_write, cache_write_1h, output
		FROM prices WHERE provider = ANY ($1)`, providers)
	if err != nil {
		return err
	}
	known, err := p.providerNames(ctx)
	if err != nil {
		return err
	}
	for i, want := range p.m.Prices {
		path := fmt.Sprintf("prices[%d]", i)
		if p.broken[path] {
			continue
		}
		if !known[want.Provider] {
			p.fault(path+".provider", "there is no provider %q: declare it under providers", want.Provider)
			continue
		}
		if err := p.price(ctx, path, want, stored); err != nil {
			return err
		}
	}
	return nil
}

func (p *plan) price(ctx context.Context, path string, want manifest.Price, stored map[priceKey]storedPrice) error {
	rates, faults := want.Rates()
	for _, f := range faults {
		p.fault(path+f.Path, "%s", f.Message)
	}
	if len(faults) > 0 {
		return nil
	}
	key := priceKey{want.Provider, want.Model, rates.From.Format(time.DateOnly)}
	have, exists := stored[key]
	fields := fieldSet{}
	fields.add("input", !exists || have.Input != rates.Input)
	fields.add("cached_input", !sameRate(have.CachedInput, rates.CachedInput))
	fields.add("cache_write", !sameRate(have.CacheWrite, rates.CacheWrite))
	fields.add("cache_write_1h", !sameRate(have.CacheWrite1h, rates.CacheWrite1h))
	fields.add("output", !exists || have.Output != rates.Output)
	if len(fields) == 0 {
		return nil
	}
	action := "create"
	if exists {
		action = "update"
	}
	name := key.provider + "/" + key.model + " from " + key.from
	revision, err := p.record(ctx, "", Change{Action: action, Kind: "price", Name: name, Fields: fields})
	if err != nil {
		return err
	}
	p.Write(`
		INSERT INTO prices (provider, model, from_date, input, cached_input, cache_write, cache_write_1h, output, revision)
		VALUES (@provider, @model, @from, @input, @cached_input, @cache_write, @cache_write_1h, @output, @revision)
		ON CONFLICT (provider, model, from_date) DO UPDATE SET input = @input, cached_input = @cached_input,
		    cache_write = @cache_write, cache_write_1h = @cache_write_1h, output = @output, revision = @revision`,
		pgx.NamedArgs{
			"provider": want.Provider, "model": want.Model, "from": rates.From,
			"input": rates.Input, "cached_input": rates.CachedInput, "cache_write": rates.CacheWrite,
			"cache_write_1h": rates.CacheWrite1h, "output": rates.Output, "revision": revision,
		})
	return nil
}

func sameRate(a, b *int64) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}
