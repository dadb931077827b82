// Package ledger keeps the usage ledger and its sums.
package ledger

import (
	"cmp"
	"errors"
	"time"

	"loom.internal/pkg/event"
	"loom.internal/pkg/pricing"
	"loom.internal/pkg/store"
)

// Why a trace with a usage has no cost; the words of the column unpriced_why.
const (
	UsageUnreadable = "usage_unreadable" // the provider's usage object is not in a form Loom trusts
	NoPrice         = "no_price"         // the book has none for the model, tier and date
	NoRate          = "no_rate"          // the price does not cover all of the usage, such as audio tokens
	Overflow        = "overflow"         // more than nine million dollars: not a usage that can be
)

// Reasons lists every word of unpriced_why.
func Reasons() []string { return []string{UsageUnreadable, NoPrice, NoRate, Overflow} }

// fact is a row of the ledger: an event, its usage and its cost.
type fact struct {
	*event.TraceEvent
	usage        pricing.Usage // zero if there is none or it cannot be read
	cost         *int64        // picodollars; nil unless priced
	status       string        // "priced", "unpriced" or "no_usage"
	why          string        // one of Reasons if unpriced, else ""
	priceVersion string
}

// newFact prices e. It is a pure function of the event and the book.
func newFact(e *event.TraceEvent, book *pricing.Book) fact {
	f := fact{TraceEvent: e, status: "no_usage"}
	if len(e.GetUsageRaw()) == 0 {
		return f
	}
	f.status = "unpriced"
	usage, err := pricing.ParseUsage(e.GetUsageRaw())
	if err != nil {
		f.why = UsageUnreadable
		return f
	}
	f.usage = usage
	price, ok := book.Lookup(pricing.Query{
		ProviderName: e.GetProvider(),
		ProviderKind: e.GetProviderKind(),
		Models:       models(e),
		ServiceTier:  cmp.Or(e.GetServiceTier(), usage.ServiceTier),
		At:           e.StartedAt(),
	})
	if !ok {
		f.why = NoPrice
		return f
	}
	cost, err := pricing.Cost(usage, price)
	switch {
	case errors.Is(err, pricing.ErrOverflow):
		f.why = Overflow
	case err != nil:
		f.why = NoRate
	default:
		f.status, f.cost, f.priceVersion = "priced", new(int64(cost)), price.Version
	}
	return f
}

// models are the names to look up a price under, the best first.
func models(e *event.TraceEvent) []string {
	var names []string
	for _, name := range []string{e.GetModelAnswered(), e.GetModelUpstream(), e.GetModelRequested()} {
		if name != "" {
			names = append(names, name)
		}
	}
	return names
}

var factRows = store.NewRows(
	store.Col("tenant_id", "text", fact.GetTenantId),
	store.Col("started_at", "timestamptz", func(f fact) time.Time { return f.StartedAt() }),
	store.TextCol("trace_id", "uuid", fact.GetTraceId),
	store.Col("key_id", "text", fact.GetKeyId),
	store.Col("route", "text", fact.GetRoute),
	store.Col("endpoint", "text", fact.GetEndpoint),
	store.Col("provider", "text", fact.GetProvider),
	store.Col("provider_kind", "text", fact.GetProviderKind),
	store.Col("model", "text", func(f fact) string { return f.Model() }),
	store.Col("outcome", "text", func(f fact) string { return f.GetOutcome().Kind() }),
	store.Col("http_status", "integer", fact.GetHttpStatus),
	store.Col("stream", "boolean", fact.GetStream),
	store.Col("duration_us", "bigint", fact.GetDurationUs),
	store.Col("ttft_us", "bigint", func(f fact) *int64 { return f.TtftUs }),
	store.Col("usage_source", "text", func(f fact) string { return f.GetUsageSource().Name() }),
	store.Col("input_uncached", "bigint", func(f fact) int64 { return f.usage.UncachedInput }),
	store.Col("cache_read", "bigint", func(f fact) int64 { return f.usage.CacheRead }),
	store.Col("cache_write", "bigint", func(f fact) int64 { return f.usage.CacheWrite }),
	store.Col("cache_write_1h", "bigint", func(f fact) int64 { return f.usage.CacheWrite1h }),
	store.Col("output", "bigint", func(f fact) int64 { return f.usage.Output }),
	store.Col("reasoning", "bigint", func(f fact) int64 { return f.usage.Reasoning }),
	store.Col("cost", "bigint", func(f fact) *int64 { return f.cost }),
	store.Col("cost_status", "text", func(f fact) string { return f.status }),
	store.Col("unpriced_why", "text", func(f fact) string { return f.why }),
	store.Col("price_version", "text", func(f fact) string { return f.priceVersion }),
	store.TextCol("tags", "jsonb", func(f fact) string { return f.TagsJSON() }),
	store.Col("session_id", "text", fact.GetSessionId),
	store.Col("attempts", "integer", func(f fact) int32 { return int32(len(f.GetAttempts())) }),
)
