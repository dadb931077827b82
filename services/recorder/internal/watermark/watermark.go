// Package watermark tells gateways how far their events have come, so that they can
// let go of what Postgres has.
//
//	commit ──Marked──▶ Board ──latest of each producer──▶ KV LOOM_WATERMARK ──▶ gateways
//	producers ──all recent ones, again and again──▶ ┘
package watermark

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"loom.internal/pkg/bus"
	"loom.internal/services/recorder/internal/traces"
)

const (
	refreshEvery = 15 * time.Second // also heals a bucket that the broker lost
	recent       = 24 * time.Hour   // producers refreshed: those that wrote within
	retryAfter   = time.Second
	putTimeout   = 5 * time.Second
)

// Board holds watermarks until they are on the bus. A gateway takes the highest it has
// seen: that two recorders may put theirs in any order does no harm.
type Board struct {
	js   jetstream.JetStream
	read func(ctx context.Context, since time.Time) (traces.Watermarks, error)
	log  *slog.Logger

	wake chan struct{} // holds one: there is something to put

	mu      sync.Mutex
	waiting traces.Watermarks
}

// New makes a board; read gives the watermarks of the producers that have had events
// recorded since.
func New(js jetstream.JetStream, log *slog.Logger, read func(ctx context.Context, since time.Time) (traces.Watermarks, error)) *Board {
	return &Board{js: js, read: read, log: log, wake: make(chan struct{}, 1), waiting: make(traces.Watermarks)}
}

// Mark takes watermarks to be put. It does not wait.
func (b *Board) Mark(marks traces.Watermarks) {
	b.mu.Lock()
	for p, mark := range marks {
		b.waiting[p] = max(b.waiting[p], mark)
	}
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// Run puts marks until ctx ends.
func (b *Board) Run(ctx context.Context) {
	refresh := time.NewTicker(refreshEvery)
	defer refresh.Stop()
	for again := time.Duration(0); ; {
		if marks, err := b.read(ctx, time.Now().Add(-recent)); err == nil {
			b.Mark(marks)
		} else if ctx.Err() == nil {
			b.log.LogAttrs(ctx, slog.LevelDebug, "watermarks not read", slog.Any("error", err))
		}
		for waiting := true; waiting; {
			timer := time.NewTimer(again)
			if again == 0 {
				timer.Stop()
			}
			select {
			case <-ctx.Done():
				timer.Stop()
				return
			case <-refresh.C:
				waiting = false
			case <-b.wake:
				again = b.put(ctx)
			case <-timer.C:
				again = b.put(ctx)
			}
			timer.Stop()
		}
	}
}

// put puts what waits. What could not be put waits on; then it says when to try again.
func (b *Board) put(ctx context.Context) (again time.Duration) {
	b.mu.Lock()
	marks := b.waiting
	b.waiting = make(traces.Watermarks)
	b.mu.Unlock()
	if len(marks) == 0 {
		return 0
	}
	ctx, cancel := context.WithTimeout(ctx, putTimeout)
	defer cancel()
	if err := put(ctx, b.js, marks); err != nil {
		b.log.LogAttrs(ctx, slog.LevelDebug, "watermarks not put, trying again", slog.Any("error", err))
		b.mu.Lock()
		for p, mark := range marks {
			b.waiting[p] = max(b.waiting[p], mark)
		}
		b.mu.Unlock()
		return retryAfter
	}
	return 0
}

func put(ctx context.Context, js jetstream.JetStream, marks traces.Watermarks) error {
	kv, err := js.KeyValue(ctx, bus.BucketWatermark)
	if err != nil {
		return fmt.Errorf("bucket %s: %w", bus.BucketWatermark, err)
	}
	for p, mark := range marks {
		if mark == 0 {
			continue // nothing to let go of
		}
		if _, err := kv.PutString(ctx, bus.WatermarkKey(p.ID, p.Epoch), strconv.FormatInt(mark, 10)); err != nil {
			return fmt.Errorf("watermark of %s/%d: %w", p.ID, p.Epoch, err)
		}
	}
	return nil
}
