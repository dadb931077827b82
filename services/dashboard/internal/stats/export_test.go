package stats

import (
	"context"
	"time"

	"loom.internal/services/dashboard/internal/query"
)

// Segment is segment, for tests.
type Segment struct {
	Grain    string
	From, To time.Time
}

// Segments is segments, for tests.
func Segments(w query.Window, coarsest time.Duration) []Segment {
	var all []Segment
	for _, s := range segments(w, coarsest) {
		all = append(all, Segment{s.grain, s.from, s.to})
	}
	return all
}

// StepOf is stepOf of a time series and floor, for tests.
func StepOf(w query.Window) (step time.Duration, first time.Time) {
	step = stepOf(w, time.Minute, MaxPoints)
	return step, floor(w.From, step)
}

// ReadHist reads what the database has sent, and returns it as package histogram has it.
func ReadHist(sent []byte) ([]int64, error) {
	var h hist
	err := h.add(sent)
	return h.flat(), err
}

// Turns is turns, for tests.
type Turns struct{ *turns }

// NewTurns is newTurns, for tests.
func NewTurns(connections int) Turns { return Turns{newTurns(connections)} }

// Take is take, for tests.
func (t Turns) Take(ctx context.Context, tenantID string) (func(), error) {
	return t.take(ctx, tenantID)
}

// Tenants is how many are remembered.
func (t Turns) Tenants() int { return len(t.tenants) }
