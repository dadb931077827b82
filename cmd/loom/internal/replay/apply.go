package replay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"loom.internal/pkg/event"
	"loom.internal/pkg/store"
)

const (
	attempts  = 5        // at a transaction that others' transactions made fail
	partBytes = 32 << 20 // of fetched bodies held at a time
)

// projector puts events into the shadow of one projection.
type projector struct {
	check func(*event.TraceEvent) error
	apply func(context.Context, pgx.Tx, []*event.TraceEvent) (int, error)
	kept  bool // whether retention drops its days

	// fetch, if set, brings an event the bodies it came without.
	fetch func(context.Context, *event.TraceEvent) error
}

// batch is what was read at once and has been decoded.
type batch struct {
	last    uint64
	read    int64
	jumped  bool
	events  []*event.TraceEvent
	outside int64
	refused []string
}

// decode makes a batch of messages, all of which stand on one side of the floor.
func (r *run) decode(msgs []message) batch {
	b := batch{last: msgs[len(msgs)-1].seq, read: int64(len(msgs))}
	for _, m := range msgs {
		b.jumped = b.jumped || m.jumped
		// Before it is decoded: most may be another tenant's.
		tenant, _, err := event.ParseSubject(m.subject)
		if err == nil && m.seq <= r.st.Floor && r.opt.Tenant != "" && tenant != r.opt.Tenant {
			b.outside++
			continue
		}
		e, err := event.Decode(m.subject, m.data)
		switch {
		case err != nil:
			b.refused = append(b.refused, fmt.Sprintf("event %d: %v", m.seq, err))
		case m.seq <= r.st.Floor && !r.opt.Holds(e.GetTenantId(), e.StartedAt()):
			b.outside++
		default:
			b.events = append(b.events, e)
		}
	}
	return b
}

// apply commits a batch to the shadow of every projection, side by side, and then notes
// down that it has.
func (r *run) apply(ctx context.Context, b batch) error {
	kept, err := r.sh.keptFrom(ctx)
	if err != nil {
		return err
	}
	refused := make([][]string, len(r.projectors))
	dropped := make([]int64, len(r.projectors))
	g, gctx := errgroup.WithContext(ctx)
	for i, p := range r.projectors {
		g.Go(func() error {
			var good []*event.TraceEvent
			for _, e := range b.events {
				if p.kept && e.StartedAt().Before(kept) {
					dropped[i]++
				} else if err := p.check(e); err != nil {
					refused[i] = append(refused[i], fmt.Sprintf("trace %s: %v", e.GetTraceId(), err))
				} else {
					good = append(good, e)
				}
			}
			return r.commitParts(gctx, p, good, &refused[i])
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	c := &r.st.Counts
	c.Read += b.read
	c.OutOfScope += b.outside
	c.Applied += int64(len(b.events))
	for _, why := range b.refused {
		c.refuse(why)
	}
	for i := range r.projectors {
		c.Dropped += dropped[i]
		for _, why := range refused[i] {
			c.refuse(why)
		}
	}
	c.LostBodies, r.lost = c.LostBodies+r.lost, 0
	r.st.Applied = b.last
	r.st.Jumped = r.st.Jumped || b.jumped
	r.progress.at(r.st)
	return r.sh.save(ctx, r.st)
}

// commitParts commits events in parts, so that few bodies which have to be fetched are held
// at a time; without those it is one.
func (r *run) commitParts(ctx context.Context, p projector, events []*event.TraceEvent, refused *[]string) error {
	if p.fetch == nil {
		return r.commit(ctx, p, events, refused)
	}
	for len(events) > 0 {
		n, sum := len(events), int64(0)
		for i, e := range events {
			if sum += e.DetachedBytes(); sum > partBytes && i > 0 {
				n = i
				break
			}
		}
		if sum > 0 {
			for _, e := range events[:n] {
				if err := p.fetch(ctx, e); err != nil {
					return err
				}
			}
		}
		if err := r.commit(ctx, p, events[:n], refused); err != nil {
			return err
		}
		if sum > 0 {
			for _, e := range events[:n] { // they are in the shadow, and large
				e.RequestBody, e.ResponseBody = nil, nil
			}
		}
		events = events[n:]
	}
	return nil
}

// commit puts events into a shadow in one transaction, and halves what fails on its data
// until the bad event is alone: that one is refused.
func (r *run) commit(ctx context.Context, p projector, events []*event.TraceEvent, refused *[]string) error {
	if len(events) == 0 {
		return nil
	}
	var err error
	for range attempts {
		err = store.InTx(ctx, r.sh.pool, func(tx pgx.Tx) error {
			_, err := p.apply(ctx, tx, events)
			return err
		})
		if !errors.Is(err, store.ErrRetryable) {
			break
		}
	}
	switch {
	case err == nil:
		return nil
	case !store.IsData(err):
		return fmt.Errorf("write to the shadow: %w", err)
	case len(events) == 1:
		*refused = append(*refused, fmt.Sprintf("trace %s: %v", events[0].GetTraceId(), err))
		return nil
	}
	half := len(events) / 2
	if err := r.commit(ctx, p, events[:half], refused); err != nil {
		return err
	}
	return r.commit(ctx, p, events[half:], refused)
}

// until applies what comes until all up to seq is in the shadow.
func (r *run) until(ctx context.Context, seq uint64) error {
	idle := time.NewTicker(200 * time.Millisecond)
	defer idle.Stop()
	for r.st.Applied < seq {
		if r.hand != nil { // an attempt at it was cut short
			if err := r.take(ctx, *r.hand); err != nil {
				return err
			}
			continue
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case err := <-r.failed:
			return err
		case b := <-r.batches:
			if err := r.take(ctx, b); err != nil {
				return err
			}
			idle.Reset(200 * time.Millisecond)
		case <-idle.C:
			// What was to come may be gone from the stream.
			drained, err := r.src.drained(ctx, r.st.Applied)
			if err != nil {
				return err
			}
			if drained && len(r.batches) == 0 {
				r.st.Applied, r.st.Jumped = seq, true
				return r.sh.save(ctx, r.st)
			}
		}
	}
	return nil
}

// take applies a batch, and notes when the first beyond the floor comes. The batch is in
// hand until that is done.
func (r *run) take(ctx context.Context, b batch) error {
	r.hand = &b
	if r.st.Floored == nil && b.last > r.st.Floor {
		if err := r.passFloor(ctx); err != nil {
			return err
		}
	}
	if err := r.apply(ctx, b); err != nil {
		return err
	}
	r.hand = nil
	return nil
}

// passFloor notes, by the database's clock, that all shadow rows up to now come from events
// up to the floor.
func (r *run) passFloor(ctx context.Context) error {
	var now time.Time
	if err := r.sh.pool.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&now); err != nil {
		return fmt.Errorf("read the clock: %w", store.Wrap(err))
	}
	r.st.Floored = &now
	return r.sh.save(ctx, r.st)
}

// gather turns messages into batches, until ctx ends: as many as are there, within bounds,
// and none across the floor.
func (r *run) gather(ctx context.Context) {
	var held *message // the first of the next batch
	for {
		var msgs []message
		if held != nil {
			msgs, held = append(msgs, *held), nil
		} else {
			select {
			case m := <-r.src.out:
				msgs = append(msgs, m)
			case <-ctx.Done():
				return
			}
		}
		size, window := len(msgs[0].data), time.After(batchWindow)
	fill:
		for len(msgs) < batchEvents && size < batchBytes {
			select {
			case m := <-r.src.out:
				if m.seq > r.st.Floor && msgs[0].seq <= r.st.Floor {
					held = &m
					break fill
				}
				msgs = append(msgs, m)
				size += len(m.data)
			case <-window:
				break fill
			case <-ctx.Done():
				return
			}
		}
		select {
		case r.batches <- r.decode(msgs):
		case <-ctx.Done():
			return
		}
	}
}
