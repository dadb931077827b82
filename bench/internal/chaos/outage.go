package chaos

import (
	"context"
	"fmt"
	"time"

	"loom.internal/bench/internal/fault"
	"loom.internal/bench/internal/ledger"
	"loom.internal/bench/internal/oracle"
	"loom.internal/bench/internal/rig"
)

// drainLimit is how long after an outage consumers may take to be level with the present.
const drainLimit = time.Minute

// drained is how a run with one outage alone came out of it.
type drained struct {
	fault.Away
	took time.Duration // from the new start until nothing of before was lacking
	left int           // traces of before that are lacking still, if it took too long
	err  error         // why it is not over, likewise
}

// drain waits after an outage until both projections have every trace that a client has
// been told of by then, and consumers are no further behind than a second of load.
func (r *run) drain(ctx context.Context, away fault.Away, book *ledger.Ledger) *drained {
	d := &drained{Away: away}
	told := book.TraceIDs()
	d.err = rig.Until(ctx, time.Until(away.Till.Add(drainLimit)), "the outage is made up for", func(ctx context.Context) error {
		var err error
		if d.left, err = r.lacking(ctx, told); err != nil {
			return err
		}
		behind, err := r.behind(ctx)
		if err != nil {
			return err
		}
		if allowed := uint64(2 * r.Rate); d.left > 0 || behind > allowed { // there are two consumers
			return fmt.Errorf("%d of %d traces lacking, %d events behind, want at most %d", d.left, len(told), behind, allowed)
		}
		return nil
	})
	d.took = time.Since(away.Till)
	return d
}

// lacking is how many of these traces are not in both projections.
func (r *run) lacking(ctx context.Context, traces []string) (int, error) {
	db, err := r.rig.Connect(ctx)
	if err != nil {
		return len(traces), err
	}
	defer func() { _ = db.Close(ctx) }()
	return oracle.Lacking(ctx, db, traces)
}

// outage prints what an outage alone has cost, and reports whether that is nothing.
func (r *run) outage(lines []ledger.Line) bool {
	if r.Faults.Alone == "" {
		return true
	}
	d := r.after
	if d == nil {
		r.say("outage          never came")
		return false
	}
	m := oracle.Meanwhile(lines, d.From, d.Till)
	r.say("outage          %s away for %s; %d requests began meanwhile, %d of them to be answered: %d were (%.2f %%)",
		d.Kind, d.Till.Sub(d.From).Round(100*time.Millisecond), m.All, m.Planned, m.Answered, 100*float64(m.Answered)/float64(max(m.Planned, 1)))
	for _, s := range m.Examples {
		r.say("  %s", s)
	}
	ms := func(d time.Duration) string { return d.Round(100 * time.Microsecond).String() }
	r.say("first byte      p50 %s, p99 %s meanwhile; p50 %s, p99 %s before", ms(m.P50), ms(m.P99), ms(m.BeforeP50), ms(m.BeforeP99))
	if d.err != nil {
		r.say("drained         NOT within %s of the new start: %v", drainLimit, d.err)
		return false
	}
	r.say("drained         %s after the new start (limit %s): both consumers level, no trace of before lacking", d.took.Round(100*time.Millisecond), drainLimit)
	return m.Planned > 0 && m.Answered == m.Planned
}
