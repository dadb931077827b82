package up

import (
	"context"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"loom.internal/pkg/bus"
)

// catchUpPatience is how long a stop waits for the consumers. What they do not get to
// is in the stream and comes first at the next start.
const catchUpPatience = time.Second

// catchUp returns when recorder and analytics have stored all that is in the stream,
// or when its patience ends.
func catchUp(ctx context.Context, js jetstream.JetStream, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(ctx, catchUpPatience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		left, err := pending(ctx, js)
		if err == nil && left == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			log.LogAttrs(ctx, slog.LevelInfo, "events are left for the next start", slog.Uint64("events", left))
			return
		}
	}
}

// pending is how many deliveries the consumers have not finished.
func pending(ctx context.Context, js jetstream.JetStream) (uint64, error) {
	var n uint64
	for _, durable := range []string{bus.ConsumerRecorder, bus.ConsumerAnalytics} {
		c, err := js.Consumer(ctx, bus.StreamTrace, durable)
		if err != nil {
			return 0, err
		}
		info := c.CachedInfo()
		n += info.NumPending + uint64(max(0, info.NumAckPending))
	}
	return n, nil
}
