package publish

import (
	"context"
	"errors"
	"log/slog"

	"google.golang.org/protobuf/proto"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/event"
	"loom.internal/pkg/faultpoint"
)

// maxEvent is how large an event goes out with its bodies in it. Half of what the bus
// takes: nothing else that the event tells comes near the other half.
const maxEvent = event.MaxSize / 2

// maxEvent is the same where the broker takes less than the bus.
func (p *Publisher) maxEvent() int {
	if limit := p.opt.Broker.MaxPayload(); limit > 0 {
		return int(min(maxEvent, limit/2))
	}
	return maxEvent
}

// lighten puts the largest body of e, and the other one if that is not enough, where
// bodies are kept that are too large for an event. It tries until that is done; false if
// ctx ended first. There is only one such event in a batch, and at most one other copy of
// its bodies in memory: the spool reads no more than that at a time.
func (p *Publisher) lighten(ctx context.Context, e *event.TraceEvent) bool {
	for proto.Size(e) > p.maxEvent() {
		var largest event.Body
		for _, b := range e.Bodies() {
			if len(b.GetCiphertext()) > len(largest.GetCiphertext()) {
				largest = b
			}
		}
		if largest.SealedBody == nil {
			return true // the bus will say whether it takes it
		}
		err := p.put(ctx, largest)
		switch {
		case err == nil:
			faultpoint.Hit("gateway.body_put")
			p.metrics.detached.Inc()
			largest.Detach()
		case errors.Is(err, bus.ErrBodyTooLarge):
			// To wait for it would hold up every trace behind it, for ever.
			p.metrics.dropped.Inc()
			p.opt.Log.LogAttrs(ctx, slog.LevelError, "a body that the object store cannot take is lost: its trace is published without it",
				slog.String("trace_id", e.GetTraceId()), slog.Any("error", err))
			e.Drop(largest)
		default:
			return false
		}
	}
	return true
}

// put tries until the body is kept, or never can be, or ctx ends.
func (p *Publisher) put(ctx context.Context, b event.Body) error {
	told := false
	for wait := minWait; ; wait = min(2*wait, maxWait) {
		err := p.opt.Bodies.Put(ctx, b)
		if err == nil || errors.Is(err, bus.ErrBodyTooLarge) {
			return err
		}
		p.metrics.retries.Inc()
		level := slog.LevelDebug
		if wait == maxWait && !told {
			level, told = slog.LevelWarn, true
		}
		p.opt.Log.LogAttrs(ctx, level, "a body is not in the object store yet, trying again", slog.String("object", b.Object), slog.Any("error", err))
		if !pause(ctx, wait) {
			return err
		}
	}
}
