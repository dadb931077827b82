package query

import (
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"loom.internal/pkg/pricing"
)

// Filter picks requests; a nil field picks all.
type Filter struct {
	Models    []string // as in event.TraceEvent.Model
	Providers []string
	Keys      []string // ids
	Outcomes  []string

	Tags         []Tag // a request has to have one value of each
	Sessions     []string
	HTTPStatuses []int32
	CostStatuses []string
	Stream       *bool
	Cached       *bool // input tokens came from the provider's cache
	Retried      *bool // it took more than one call of a provider
	MinCost      *pricing.Picodollars
	MinLatency   *int64 // µs
}

// Tag is a tag's name and the values that fit.
type Tag struct {
	Name   string
	Values []string
}

// Outcomes are the ways a request ends.
func Outcomes() []string { return []string{"completed", "failed", "canceled", "interrupted"} }

// Errors are the outcomes that count as an error. What a client cancelled is neither
// an error nor fine.
func Errors() []string { return []string{"failed", "interrupted"} }

// CostStatuses are what the ledger says of a cost.
func CostStatuses() []string { return []string{"priced", "unpriced", "no_usage"} }

// WithStatus narrows f to the outcomes of a status, "ok" or "error".
func (f Filter) WithStatus(status string) Filter {
	of := []string{"completed"}
	if status == "error" {
		of = Errors()
	}
	if f.Outcomes == nil {
		f.Outcomes = of
		return f
	}
	both := []string{} // not nil: nothing fits, rather than everything
	for _, o := range f.Outcomes {
		if slices.Contains(of, o) {
			both = append(both, o)
		}
	}
	f.Outcomes = both
	return f
}

// WithTag lets a value of a tag fit as well.
func (f Filter) WithTag(name, value string) Filter {
	f.Tags = slices.Clone(f.Tags)
	i := slices.IndexFunc(f.Tags, func(t Tag) bool { return t.Name == name })
	if i < 0 {
		f.Tags = append(f.Tags, Tag{Name: name, Values: []string{value}})
		return f
	}
	f.Tags[i].Values = append(slices.Clone(f.Tags[i].Values), value)
	return f
}

// WithoutTag is f without what it asks of a tag.
func (f Filter) WithoutTag(name string) Filter {
	f.Tags = slices.DeleteFunc(slices.Clone(f.Tags), func(t Tag) bool { return t.Name == name })
	return f
}

// OfRollups reports whether rollups can tell which requests fit, tags aside.
func (f Filter) OfRollups() bool {
	return f.Sessions == nil && f.HTTPStatuses == nil && f.CostStatuses == nil && f.Stream == nil && f.Cached == nil &&
		f.Retried == nil && f.MinCost == nil && f.MinLatency == nil
}

// OfLedger reports whether only the ledger can tell which requests fit.
func (f Filter) OfLedger() bool { return f.CostStatuses != nil || f.Cached != nil || f.MinCost != nil }

// Table is what differs between the tables that requests are picked from.
type Table struct {
	model, attempts string
	tag             string // one row for this tag of a request; else tags are in a column
}

// Tables with a row for each request, and those of sums.
var (
	Traces  = Table{model: "coalesce(nullif(model_answered, ''), nullif(model_upstream, ''), model_requested)", attempts: "jsonb_array_length(attempts)"}
	Ledger  = Table{model: "model", attempts: "attempts"}
	Rollups = Table{model: "model"}
)

// TagRollups are the sums of requests that have the tag of that name.
func TagRollups(name string) Table { return Table{model: "model", tag: name} }

// Where is the condition of f on rows of t, which follows another: " AND …", or nothing.
// What it compares with goes into args, under the same names for every table.
func (f Filter) Where(t Table, args pgx.NamedArgs) string {
	var w strings.Builder
	add := func(condition, name string, v any) {
		args[name] = v
		w.WriteString("\n  AND ")
		w.WriteString(condition)
	}
	anyOf := func(column, name string, values []string) {
		if values != nil {
			add(column+" = ANY (@"+name+")", name, values)
		}
	}
	anyOf(t.model, "models", f.Models)
	anyOf("provider", "providers", f.Providers)
	anyOf("key_id", "keys", f.Keys)
	anyOf("outcome", "outcomes", f.Outcomes)
	for i, tag := range f.Tags {
		values := fmt.Sprintf("tag%d", i)
		if t.tag != "" {
			anyOf("value", values, tag.Values) // of the one tag there is
			continue
		}
		args[values+"_name"] = tag.Name
		anyOf("tags ->> @"+values+"_name", values, tag.Values)
	}
	anyOf("session_id", "sessions", f.Sessions)
	if f.HTTPStatuses != nil {
		add("http_status = ANY (@statuses)", "statuses", f.HTTPStatuses)
	}
	anyOf("cost_status", "cost_statuses", f.CostStatuses)
	if f.Stream != nil {
		add("stream = @stream", "stream", *f.Stream)
	}
	if f.Cached != nil {
		add("(cache_read > 0) = @cached", "cached", *f.Cached)
	}
	if f.Retried != nil {
		add("("+t.attempts+" > 1) = @retried", "retried", *f.Retried)
	}
	if f.MinCost != nil {
		add("cost >= @min_cost", "min_cost", int64(*f.MinCost))
	}
	if f.MinLatency != nil {
		add("duration_us >= @min_latency", "min_latency", *f.MinLatency)
	}
	return w.String()
}
