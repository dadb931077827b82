package fault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"loom.internal/bench/internal/link"
	"loom.internal/bench/internal/proc"
	"loom.internal/bench/internal/rig"
)

const (
	// runLimit bounds how long a fault waits for its process to be there to be killed:
	// longer than any outage.
	runLimit = 3 * time.Minute

	slowBy  = 500 * time.Millisecond
	trickle = 4 << 10 // bytes a second
	echoed  = 200     // events
)

// Away is when the only process of a kind was away in an outage: from its SIGTERM to its
// new start.
type Away struct {
	Kind       string
	From, Till time.Time
}

// Run carries out the plan, each event at its time, whatever others are still going on,
// and returns when the last process has been started again, with the outages that there
// were. When ctx ends what has not begun is left out.
func Run(ctx context.Context, r *rig.Rig, plan []Event, out io.Writer) ([]Away, error) {
	begun := time.Now()
	var g errgroup.Group
	aways := make([]Away, len(plan))
	for i, e := range plan {
		if !wait(ctx, time.Until(begun.Add(e.At))) {
			break
		}
		_, _ = fmt.Fprintln(out, e)
		g.Go(func() error {
			if err := e.do(context.WithoutCancel(ctx), r, &aways[i]); err != nil {
				return fmt.Errorf("%s: %w", e, err)
			}
			return nil
		})
	}
	err := g.Wait()
	return slices.DeleteFunc(aways, func(a Away) bool { return a.Till.IsZero() }), err
}

func (e Event) do(ctx context.Context, r *rig.Rig, gone *Away) error {
	procs := r.Procs(e.Kind)
	away := func() error { wait(ctx, e.Down); return ctx.Err() }
	switch e.What {
	case Kill, Replace:
		return end(ctx, procs[e.Replica%len(procs)].Kill, away)
	case Outage:
		gone.Kind, gone.From = e.Kind, time.Now()
		return end(ctx, procs[0].Stop, func() error {
			err := away()
			gone.Till = time.Now()
			return err
		})
	case Restart:
		for _, p := range procs {
			if err := end(ctx, p.Stop, func() error { return nil }); err != nil {
				return err
			}
		}
		return nil
	case Wipe:
		return e.wipe(ctx, r)
	case Cut:
		r.Link(e.Kind).Cut()
		return nil
	case Slow:
		r.Link(e.Kind).During(ctx, link.State{Delay: slowBy / 2}, e.Down) // each way
		return nil
	case Stall:
		r.Link(e.Kind).During(ctx, link.State{Stalled: true}, e.Down)
		return nil
	case Throttle:
		r.Link(e.Kind).During(ctx, link.State{Rate: trickle}, e.Down)
		return nil
	case Echo:
		return r.Echo(ctx, echoed)
	default:
		return fmt.Errorf("fault %q is not known", e.What)
	}
}

// end ends a process by how as soon as it is there to be ended.
func end(ctx context.Context, how func(context.Context, func() error) error, meanwhile func() error) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(runLimit)
	for {
		err := how(ctx, meanwhile)
		if !errors.Is(err, proc.ErrNotRunning) && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		select {
		case <-limit:
			return fmt.Errorf("not within %s: %w", runLimit, err)
		case <-tick.C:
		}
	}
}

// wipe keeps the replicas of analytics dead until the broker has lost its disk.
func (e Event) wipe(ctx context.Context, r *rig.Rig) error {
	if e.Behind == 0 {
		return r.WipeBroker(ctx)
	}
	wiped := make(chan struct{})
	var g errgroup.Group
	for _, p := range r.Procs(rig.Analytics) {
		g.Go(func() error { return end(ctx, p.Kill, func() error { <-wiped; return nil }) })
	}
	wait(ctx, e.Behind)
	err := r.WipeBroker(ctx)
	close(wiped)
	if err2 := g.Wait(); err == nil {
		err = err2
	}
	return err
}

// wait is true after d, false when ctx ends before.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
