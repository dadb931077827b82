package bus

import (
	"cmp"
	"context"
	"errors"
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
	maxRaces     = 5 // for one key, before others are put
)

// Board tells gateways how far a consumer has come with their events, so that they can
// let go of what every consumer has. It holds watermarks until they are on the bus.
//
//	commit ──Mark──▶ Board ──latest of each──▶ KV LOOM_WATERMARK ──▶ gateways
//	table ──all recent ones, again and again──▶ ┘
//
// What it puts only rises, whichever replica puts it: the bucket remembers what gateways
// were told, and with that finds out that a store has lost what it had; see audit.
type Board struct {
	js       jetstream.JetStream
	consumer string
	numbers  Numbers
	log      *slog.Logger
	told     map[event.Life]told // as this process knows it; of Run alone

	wake chan struct{} // holds one: there is something to put

	mu      sync.Mutex
	waiting event.Watermarks
}

// told is a watermark in the bucket.
type told struct {
	mark     int64
	revision uint64 // 0: there is none
}

// Numbers is a consumer's store, as to which numbers of each life it has.
type Numbers interface {
	// Watermarks of the lives that have had numbers committed since.
	Watermarks(ctx context.Context, since time.Time) (event.Watermarks, error)
	// Missing are the numbers of these lives, from 1 up to the mark of each, that are
	// neither there nor given up.
	Missing(ctx context.Context, upTo event.Watermarks) (event.Gaps, error)
	// GiveUp notes that numbers will never come: watermarks pass them.
	GiveUp(ctx context.Context, gaps event.Gaps) error
}

// NewBoard makes the board of a consumer.
func NewBoard(js jetstream.JetStream, consumer string, log *slog.Logger, numbers Numbers) *Board {
	return &Board{
		js: js, consumer: consumer, numbers: numbers, log: log,
		told: make(map[event.Life]told), wake: make(chan struct{}, 1), waiting: make(event.Watermarks),
	}
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

// Run puts marks until ctx ends. What the store has lost it takes from the stream, and
// has p store it.
func (b *Board) Run(ctx context.Context, p *Projection) {
	refresh := time.NewTicker(refreshEvery)
	defer refresh.Stop()
	var audited time.Time
	for again := time.Duration(0); ; {
		if now := time.Now(); now.Sub(audited) >= auditEvery {
			if err := b.audit(ctx, p); err == nil {
				audited = now
			} else if ctx.Err() == nil {
				b.log.LogAttrs(ctx, slog.LevelDebug, "numbers not audited, trying again", slog.Any("error", err))
			}
		}
		b.refresh(ctx)
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

// refresh has the recent marks of the table put again.
func (b *Board) refresh(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, putTimeout)
	defer cancel()
	marks, err := b.numbers.Watermarks(limited, time.Now().Add(-recent))
	if err == nil {
		b.Mark(marks)
	} else if ctx.Err() == nil {
		b.log.LogAttrs(ctx, slog.LevelDebug, "watermarks not read", slog.Any("error", err))
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
		faultpoint.HitIn(b.consumer, "marking")
		if err := b.raise(ctx, kv, life, mark); err != nil {
			return fmt.Errorf("watermark of %s/%d: %w", life.ProducerID, life.Epoch, err)
		}
		faultpoint.HitIn(b.consumer, "marked")
		delete(marks, life)
	}
	return nil
}

// raise puts a watermark, unless the bucket has a higher one.
func (b *Board) raise(ctx context.Context, kv jetstream.KeyValue, life event.Life, mark int64) error {
	for range maxRaces {
		has, known := b.told[life]
		if !known {
			entry, err := kv.Get(ctx, WatermarkKey(b.consumer, life))
			switch {
			case err == nil:
				has = told{number(entry.Value()), entry.Revision()}
			case !errors.Is(err, jetstream.ErrKeyNotFound):
				return err
			}
		}
		if has.mark > mark {
			b.told[life] = has
			return nil // of an older commit; or the store has lost some: audit sees to that
		}
		err := b.replace(ctx, kv, life, has.revision, mark)
		if !isRace(err) {
			return err
		}
	}
	return errors.New("others put it at the same time")
}

// replace puts a watermark in place of the one of a revision.
func (b *Board) replace(ctx context.Context, kv jetstream.KeyValue, life event.Life, revision uint64, mark int64) (err error) {
	delete(b.told, life) // whatever comes of it
	revision, err = swap(ctx, kv, WatermarkKey(b.consumer, life), strconv.FormatInt(mark, 10), revision)
	if err == nil {
		b.told[life] = told{mark, revision}
	}
	return err
}

// swap puts a value in place of the one of a revision; 0 is none.
func swap(ctx context.Context, kv jetstream.KeyValue, key, value string, revision uint64) (uint64, error) {
	if revision == 0 {
		return kv.Create(ctx, key, []byte(value))
	}
	return kv.Update(ctx, key, []byte(value), revision)
}

// isRace reports that somebody else has put the key meanwhile.
func isRace(err error) bool {
	return errors.Is(err, jetstream.ErrKeyExists) || errors.Is(err, jetstream.ErrKeyRevisionMismatch)
}

// number reads a watermark; what is none counts as 0.
func number(text []byte) int64 {
	n, err := strconv.ParseUint(string(text), 10, 63)
	if err != nil {
		return 0
	}
	return int64(n)
}
