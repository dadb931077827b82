package replay

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/event"
	"loom.internal/pkg/store"
)

// fetch brings e its large bodies from the object store. Where they are no longer there
// the live row is the one that has them: the event goes without, and the row is carried
// over as a whole.
func (r *run) fetch(ctx context.Context, e *event.TraceEvent) error {
	err := attach(ctx, r.bodies, e)
	if !errors.Is(err, bus.ErrNoBody) {
		return err
	}
	r.lost++
	live, err := r.hasBodies(ctx, e)
	if err != nil {
		return err
	}
	for _, b := range e.Bodies() {
		if live || b.GetDetached() {
			e.Drop(b)
		}
	}
	return nil
}

// attach is bodies.Attach for a broker that may never have had a large body.
func attach(ctx context.Context, bodies *bus.Bodies, e *event.TraceEvent) error {
	if e.DetachedBytes() == 0 {
		return nil
	}
	err := bodies.Attach(ctx, e)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("%w: %w", bus.ErrNoBody, err)
	}
	return err
}

// hasBodies reports whether the live table has the bodies of e.
func (r *run) hasBodies(ctx context.Context, e *event.TraceEvent) (has bool, err error) {
	var there bool
	if err := r.sh.pool.QueryRow(ctx, `SELECT to_regclass('public.trace_bodies') IS NOT NULL`).Scan(&there); err != nil || !there {
		return false, store.Wrap(err)
	}
	err = r.sh.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM public.trace_bodies WHERE tenant_id = $1 AND started_at = $2 AND trace_id = $3::text::uuid)`,
		e.GetTenantId(), e.StartedAt(), e.GetTraceId()).Scan(&has)
	if err != nil {
		return false, fmt.Errorf("look for the bodies of %s: %w", e.GetTraceId(), store.Wrap(err))
	}
	return has, nil
}
