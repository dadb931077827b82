// Package stats sums up what requests cost and how long they took. It reads rollups where
// they tell apart what is asked for, else the ledger, never the traces, and is exact to
// the minute: a window is cut into whole days, the whole hours around them and the
// minutes at its edges, and each part is read at its own grain.
package stats

import (
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"loom.internal/services/dashboard/internal/query"
)

// Reader reads sums through a pool of the role loom_dashboard.
type Reader struct {
	db    *pgxpool.Pool
	turns *turns
}

// NewReader takes the pool.
func NewReader(db *pgxpool.Pool) *Reader {
	return &Reader{db: db, turns: newTurns(int(db.Config().MaxConns))}
}

const (
	hour = time.Hour
	day  = 24 * time.Hour
)

// finest is how short a step may be. The sums of hours in a month are more than anybody
// waits for; and where there are none of minutes, hours are as fine as it gets.
func (s selection) finest() time.Duration {
	switch span := s.window.To.Sub(s.window.From); {
	case span > 14*day:
		return day
	case span > 6*hour && !s.byMinute():
		return hour
	default:
		return time.Minute
	}
}

// segment is a part of a window and the grain of the rollups that make it up.
type segment struct {
	grain    string
	from, to time.Time
}

// segments cuts a window of whole minutes into rollups no coarser than coarsest.
func segments(w query.Window, coarsest time.Duration) []segment {
	var all []segment
	add := func(grain string, from, to time.Time) {
		if from.Before(to) {
			all = append(all, segment{grain, from, to})
		}
	}
	// around calls inner on the whole units within [from, to) and edge on what is left.
	around := func(unit time.Duration, from, to time.Time, edge, inner func(from, to time.Time)) {
		first, last := from.Truncate(unit), to.Truncate(unit)
		if first.Before(from) {
			first = first.Add(unit)
		}
		if coarsest < unit || !first.Before(last) {
			edge(from, to)
			return
		}
		edge(from, first)
		inner(first, last)
		edge(last, to)
	}
	minutes := func(from, to time.Time) { add("minute", from, to) }
	hours := func(from, to time.Time) { add("hour", from, to) }
	days := func(from, to time.Time) { add("day", from, to) }
	around(hour, w.From, w.To, minutes, func(from, to time.Time) { around(day, from, to, hours, days) })
	return all
}
