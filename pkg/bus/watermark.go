package bus

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"loom.internal/pkg/event"
	"loom.internal/pkg/faultpoint"
)

const (
	refreshEvery = 15 * time.Second // also heals a bucket that the broker lost
	recent       = 24 * time.Hour   // lives refreshed: those that had events within
	retryAfter   = time.Second
	putTimeout   = 5 * time.Second
)

// Board tells gateways how far a consumer has come with their events, so that they can
// let go of what every consumer has. It holds watermarks until they are on the bus.
//
//	commit ──Mark──▶ Board ──latest of each──▶ KV LOOM_WATERMARK ──▶ gateways
//	table ──all recent ones, again and again──▶ ┘
//
// A gateway takes the highest it has seen: that two replicas may put theirs in any order
// does no harm.
type Board struct {
	js       jetstream.JetStream
	consumer string
	read     func(ctx context.Context, since time.Time) (event.Watermarks, error)
	log      *slog.Logger

	wake chan struct{} // holds one: there is something to put

	mu      sync.Mutex
	waiting event.Watermarks
}

// NewBoard makes the board of a consumer; read gives the watermarks of the lives that have
// had events committed since.
func NewBoard(js jetstream.JetStream, consumer string, log *slog.Logger, read func(ctx context.Context, since time.Time) (event.Watermarks, error)) *Board {
	return &Board{js: js, consumer: consumer, read: read, log: log, wake: make(chan struct{}, 1), waiting: make(event.Watermarks)}
}

// Mark takes watermarks to be put. It does not wait.
func (b *Board) Mark(marks event.Watermarks) {
	b.mu.Lock()
	for life, mark := range marks {
		b.waiting[life] = max(b.waiting[life], mark)
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
	b.waiting = make(event.Watermarks)
	b.mu.Unlock()
	if len(marks) == 0 {
		return 0
	}
	ctx, cancel := context.WithTimeout(ctx, putTimeout)
	defer cancel()
	if err := b.putAll(ctx, marks); err != nil {
		b.log.LogAttrs(ctx, slog.LevelDebug, "watermarks not put, trying again", slog.Any("error", err))
		b.mu.Lock()
		for life, mark := range marks {
			b.waiting[life] = max(b.waiting[life], mark)
		}
		b.mu.Unlock()
		return retryAfter
	}
	return 0
}

// putAll takes out of marks what it has put.
func (b *Board) putAll(ctx context.Context, marks event.Watermarks) error {
	kv, err := b.js.KeyValue(ctx, BucketWatermark)
	if err != nil {
		return fmt.Errorf("bucket %s: %w", BucketWatermark, err)
	}
	lives := slices.SortedFunc(maps.Keys(marks), func(a, b event.Life) int {
		return cmp.Or(cmp.Compare(a.ProducerID, b.ProducerID), cmp.Compare(a.Epoch, b.Epoch))
	})
	for _, life := range lives {
		mark := marks[life]
		if mark == 0 {
			continue // nothing to let go of
		}
		faultpoint.HitIn(b.consumer, "marking")
		if _, err := kv.PutString(ctx, WatermarkKey(b.consumer, life), strconv.FormatInt(mark, 10)); err != nil {
			return fmt.Errorf("watermark of %s/%d: %w", life.ProducerID, life.Epoch, err)
		}
		faultpoint.HitIn(b.consumer, "marked")
		delete(marks, life)
	}
	return nil
}
