package stats

import (
	"time"

	"loom.internal/services/dashboard/internal/query"
)

// slot is the step of an axis that a row of a source lies in.
const slot = "date_bin(@step::interval, at, 'epoch') AS slot"

// axis cuts a window into steps.
type axis struct {
	step time.Duration
	t    []int64 // start of each, Unix seconds
}

// axisOf is the finest axis of w with no more than that many steps, none shorter than
// finest.
func axisOf(w query.Window, finest time.Duration, points int) axis {
	ax := axis{step: stepOf(w, finest, points)}
	for at := floor(w.From, ax.step); at.Before(w.To); at = at.Add(ax.step) {
		ax.t = append(ax.t, at.Unix())
	}
	return ax
}

// partial reports whether the last step has not ended.
func (ax axis) partial(now time.Time) bool {
	return time.Unix(ax.t[len(ax.t)-1], 0).Add(ax.step).After(now)
}

// place is the index of the step that starts at slot.
func (ax axis) place(slot time.Time) int {
	return int((slot.Unix() - ax.t[0]) / int64(ax.step/time.Second))
}

func stepOf(w query.Window, finest time.Duration, points int) time.Duration {
	for _, step := range []time.Duration{
		time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
		hour, 2 * hour, 3 * hour, 6 * hour, 12 * hour, day, 2 * day, 4 * day,
	} {
		if step >= finest && w.To.Sub(floor(w.From, step)) <= time.Duration(points)*step {
			return step
		}
	}
	return 16 * day // of query.Longest, 24 at most
}

// floor is the start of the step that t lies in; steps are counted from the Unix epoch,
// as the statements here do.
func floor(t time.Time, step time.Duration) time.Time {
	seconds := int64(step / time.Second)
	return time.Unix(t.Unix()/seconds*seconds, 0)
}
