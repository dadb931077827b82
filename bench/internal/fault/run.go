package fault

import (
	"context"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/errgroup"

	"loom.internal/bench/internal/rig"
)

// runLimit bounds how long a fault waits for its process to be there to be killed.
const runLimit = 60 * time.Second

// Run carries out the plan, each event at its time, whatever others are still going on,
// and returns when the last process has been started again. When ctx ends what has not
// begun is left out.
func Run(ctx context.Context, r *rig.Rig, plan []Event, out io.Writer) error {
	begun := time.Now()
	var g errgroup.Group
	for _, e := range plan {
		if !wait(ctx, time.Until(begun.Add(e.At))) {
			break
		}
		_, _ = fmt.Fprintln(out, e)
		g.Go(func() error {
			if err := e.do(context.WithoutCancel(ctx), r); err != nil {
				return fmt.Errorf("%s: %w", e, err)
			}
			return nil
		})
	}
	return g.Wait()
}

func (e Event) do(ctx context.Context, r *rig.Rig) error {
	procs := r.Procs(e.Kind)
	away := func() error { wait(ctx, e.Down); return ctx.Err() }
	switch e.What {
	case Kill:
		p := procs[e.Replica%len(procs)]
		return rig.Until(ctx, runLimit, p.Name+" could be killed", func(context.Context) error { return p.Kill(ctx, away) })
	case Outage:
		return procs[0].Stop(ctx, away)
	case Restart:
		for _, p := range procs {
			if err := p.Stop(ctx, func() error { return nil }); err != nil {
				return err
			}
		}
		return nil
	case Wipe:
		return e.wipe(ctx, r)
	default:
		return fmt.Errorf("fault %q is not known", e.What)
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
		g.Go(func() error { return p.Kill(ctx, func() error { <-wiped; return nil }) })
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
