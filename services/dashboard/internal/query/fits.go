package query

import "slices"

// Request is what a Filter looks at, of a request that is not in a table's row.
type Request struct {
	Model, Provider, Key, Outcome, Session string

	Tags       map[string]string
	HTTPStatus int
	CostStatus string // "pending" where it is not accounted yet
	Cost       int64  // picodollars, if priced
	Stream     bool
	Cached     bool
	Attempts   int
	Latency    int64 // µs
}

// Fits says of a request what Where says of its row. One that is not accounted yet does
// not fit where a filter asks for what only the ledger knows.
func (f Filter) Fits(r Request) bool {
	oneOf := func(values []string, v string) bool { return values == nil || slices.Contains(values, v) }
	is := func(want *bool, v bool) bool { return want == nil || *want == v }
	for _, tag := range f.Tags {
		if v, ok := r.Tags[tag.Name]; !ok || !slices.Contains(tag.Values, v) {
			return false
		}
	}
	return oneOf(f.Models, r.Model) && oneOf(f.Providers, r.Provider) && oneOf(f.Keys, r.Key) && oneOf(f.Outcomes, r.Outcome) &&
		oneOf(f.Sessions, r.Session) && (f.HTTPStatuses == nil || slices.Contains(f.HTTPStatuses, int32(r.HTTPStatus))) && //nolint:gosec // of three digits
		is(f.Stream, r.Stream) && is(f.Retried, r.Attempts > 1) && (f.MinLatency == nil || r.Latency >= *f.MinLatency) &&
		(!f.OfLedger() || r.CostStatus != "pending" && oneOf(f.CostStatuses, r.CostStatus) && is(f.Cached, r.Cached) &&
			(f.MinCost == nil || r.CostStatus == "priced" && r.Cost >= int64(*f.MinCost)))
}
