package stored

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"loom.internal/pkg/bus"
)

const (
	maxBatch  = 256
	maxFlying = 32              // of a batch's writes at the same time
	lastTry   = 5 * time.Second // for what is left at the end
)

// write is a change to the bucket; without a value the key is deleted.
type write struct {
	key   key
	value []byte
}

func (s *Store) enqueue(w write) {
	select {
	case s.queue <- w:
	default:
		s.dropped.Inc()
	}
}

// Run writes what Put and Delete have taken until ctx ends, and what is left then if the
// broker takes it. While the broker is away it tries again and again.
func (s *Store) Run(ctx context.Context) error {
	for {
		batch := make(map[key]write)
		select {
		case <-ctx.Done():
		case w := <-s.queue:
			s.gather(batch, w)
			err := bus.Retry(ctx, s.opt.Log, "responses not stored, trying again", func(ctx context.Context) error {
				return s.writeAll(ctx, batch)
			})
			if err == nil {
				continue
			}
		}
		s.finish(context.WithoutCancel(ctx), batch)
		return nil
	}
}

// gather adds w and what else is there. Of writes to one key the last one counts.
func (s *Store) gather(batch map[key]write, w write) {
	for {
		batch[w.key] = w
		if len(batch) >= maxBatch {
			return
		}
		select {
		case w = <-s.queue:
		default:
			return
		}
	}
}

// finish writes what is left, once, and counts what the broker did not take.
func (s *Store) finish(ctx context.Context, batch map[key]write) {
	ctx, cancel := context.WithTimeout(ctx, lastTry)
	defer cancel()
	for {
		if err := s.writeAll(ctx, batch); err != nil {
			left := len(batch) + len(s.queue)
			s.dropped.Add(float64(left))
			s.opt.Log.LogAttrs(ctx, slog.LevelWarn, "responses not stored at the end", slog.Int("left", left), slog.Any("error", err))
			return
		}
		select {
		case w := <-s.queue:
			s.gather(batch, w)
		default:
			return
		}
	}
}

// writeAll takes out of batch what is done with, and returns an error if that is not all.
func (s *Store) writeAll(ctx context.Context, batch map[key]write) error {
	if len(batch) == 0 {
		return nil
	}
	if err := bus.Ready(s.opt.NATS); err != nil {
		return err
	}
	kv, err := s.bucket(ctx)
	if err != nil {
		return err
	}
	var (
		mu   sync.Mutex
		done []key
		g    errgroup.Group
	)
	g.SetLimit(maxFlying)
	for k, w := range batch {
		g.Go(func() error {
			err := put(ctx, kv, w)
			if isRefusal(err) {
				s.dropped.Inc()
				s.opt.Log.LogAttrs(ctx, slog.LevelError, "response not stored: the bucket refuses it", slog.Any("error", err))
				err = nil
			}
			if err == nil {
				mu.Lock()
				defer mu.Unlock()
				done = append(done, k)
			}
			return err
		})
	}
	err = g.Wait()
	for _, k := range done {
		delete(batch, k)
	}
	return err
}

func put(ctx context.Context, kv jetstream.KeyValue, w write) error {
	if w.value == nil {
		return kv.Purge(ctx, w.key.String())
	}
	_, err := kv.Put(ctx, w.key.String(), w.value)
	return err
}

// isRefusal is for what the broker will never take, such as a value over a limit that was
// made smaller. A bucket that is missing may come back.
func isRefusal(err error) bool {
	refused, ok := errors.AsType[*jetstream.APIError](err)
	return ok && refused.Code == http.StatusBadRequest
}
