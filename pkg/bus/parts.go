package bus

import (
	"context"

	"loom.internal/pkg/event"
)

const (
	partBytes  = 32 << 20 // of bodies in one transaction; a single event may have a little more
	storeLimit = ackWait  // of one transaction
)

// storeParts stores a batch in parts, one after the other; with short bodies it is one.
// Those that are stored stay if a later one fails: then all come again, which
// changes nothing.
func (p *Projection) storeParts(ctx context.Context, good []delivery, dead []event.Dead) error {
	for {
		n := p.part(good)
		if err := p.storePart(ctx, good[:n], dead); err != nil {
			return err
		}
		clear(good[:n]) // and let go of the bodies
		good, dead = good[n:], nil
		if len(good) == 0 {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx) // others will store the rest
		}
	}
}

// part is how many of the next events go together.
func (p *Projection) part(good []delivery) int {
	var sum int64
	for i, d := range good {
		sum += d.DetachedBytes()
		for _, b := range d.Bodies() {
			sum += int64(len(b.GetCiphertext()))
		}
		if sum > partBytes && i > 0 {
			return i
		}
	}
	return len(good)
}

// storePart fetches what belongs to a part, and stores it. It is finished even when ctx
// ends meanwhile.
func (p *Projection) storePart(stop context.Context, part []delivery, dead []event.Dead) error {
	ctx := context.WithoutCancel(stop)
	if p.Fetch != nil {
		whole := make([]delivery, 0, len(part))
		for _, d := range part {
			err := p.Fetch(ctx, d.TraceEvent, d.stored())
			switch {
			case err == nil:
				whole = append(whole, d)
			case p.BadData(err):
				// The copy in its gateway's spool is whole: it is not to be let go of.
				gone := died(d.msg, err)
				gone.Awaits = d.GetTraceId()
				dead = append(dead, gone)
			default:
				return err
			}
		}
		part = whole
	}
	return p.store(stop, part, dead)
}
