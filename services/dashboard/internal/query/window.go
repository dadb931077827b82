// Package query is what every read has in common: the part of the past it looks at,
// and which requests of it.
package query

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Longest is the longest window a query may ask for.
const Longest = 366 * 24 * time.Hour

// DefaultRange is the window of a query that names none.
const DefaultRange = "24h"

type named struct {
	name string
	span time.Duration
}

var ranges = []named{
	{"15m", 15 * time.Minute},
	{"1h", time.Hour},
	{"6h", 6 * time.Hour},
	{"24h", 24 * time.Hour},
	{"7d", 7 * 24 * time.Hour},
	{"30d", 30 * 24 * time.Hour},
}

// Window is the time from From up to but not including To, both in UTC.
type Window struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// Ranges are the names of the windows that end now.
func Ranges() []string {
	names := make([]string, len(ranges))
	for i, r := range ranges {
		names[i] = r.name
	}
	return names
}

// Last is the window of that name which ends at now.
func Last(name string, now time.Time) (Window, error) {
	i := slices.IndexFunc(ranges, func(r named) bool { return r.name == name })
	if i < 0 {
		return Window{}, fmt.Errorf("%q: use one of %v", name, Ranges())
	}
	now = micro(now)
	return Window{From: now.Add(-ranges[i].span), To: now}, nil
}

// New is the window between two times.
func New(from, to time.Time) (Window, error) {
	switch {
	case !from.Before(to):
		return Window{}, fmt.Errorf("from %s is not before to %s", from.Format(time.RFC3339), to.Format(time.RFC3339))
	case to.Sub(from) > Longest:
		return Window{}, fmt.Errorf("the window is longer than %d days", int(Longest.Hours()/24))
	case from.Year() < 2000 || to.Year() > 2200:
		return Window{}, errors.New("the window is not of this age")
	}
	return Window{From: micro(from), To: micro(to)}, nil
}

// micro is t as precisely as the database keeps it.
func micro(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// Minutes widens w to whole minutes, which is as fine as rollups go.
func (w Window) Minutes() Window {
	to := w.To.Truncate(time.Minute)
	if to.Before(w.To) {
		to = to.Add(time.Minute)
	}
	return Window{From: w.From.Truncate(time.Minute), To: to}
}

// Before is the window of the same length that ends where w starts.
func (w Window) Before() Window { return Window{From: w.From.Add(-w.To.Sub(w.From)), To: w.From} }
