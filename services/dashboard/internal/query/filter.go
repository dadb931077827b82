package query

import "slices"

// Filter picks requests; a nil list picks all.
type Filter struct {
	Models    []string // as in event.TraceEvent.Model
	Providers []string
	Keys      []string // ids
	Outcomes  []string
}

// Outcomes are the ways a request ends.
func Outcomes() []string { return []string{"completed", "failed", "canceled", "interrupted"} }

// Errors are the outcomes that count as an error. What a client cancelled is neither
// an error nor fine.
func Errors() []string { return []string{"failed", "interrupted"} }

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
