// Package push carries the configuration from Postgres to the bus, where gateways
// watch it.
//
//	providers, routes    ──▶ catalog
//	api_keys             ──▶ key.<hash>     } bucket LOOM_CONFIG, highest revision stays
//	tenants, tenant_keys ──▶ tenant.<id>
//	system_keys          ──▶ pepper
//
// Any number of replicas may push at once: a value only ever gives way to a newer one.
//
// A broker that has lost its disk gets its streams, consumers and buckets again first.
package push

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"loom.internal/pkg/bus"
)

const (
	interval = 5 * time.Second  // between looks for changes other replicas made
	timeout  = 30 * time.Second // of one push by the loop
	writers  = 16               // puts at once
)

// Pusher pushes what has changed since it last did. It reads with the role loom_admin.
type Pusher struct {
	db     *pgxpool.Pool
	nc     *nats.Conn
	js     jetstream.JetStream
	layout bus.Layout
	log    *slog.Logger
	report func(error)

	turn   chan struct{} // holds one token: whoever has it pushes and may touch pushed
	pushed int64         // everything up to this revision is on the bus
	whole  bool          // a whole push has succeeded, and the bus has kept it since
}

// New takes the connection to push over, and the layout of what is missing there. report hears of every push the loop makes,
// nil for one that succeeded.
func New(db *pgxpool.Pool, nc *nats.Conn, layout bus.Layout, log *slog.Logger, report func(error)) (*Pusher, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("JetStream: %w", err)
	}
	return &Pusher{db: db, nc: nc, js: js, layout: layout, log: log, report: report, turn: make(chan struct{}, 1)}, nil
}

// Run pushes everything at the start and again whenever the bus may have lost it, and
// every few seconds what has changed. It returns when ctx ends.
func (p *Pusher) Run(ctx context.Context) error {
	status := p.nc.StatusChanged(nats.CONNECTED)
	defer p.nc.RemoveStatusListener(status)
	tick := time.NewTicker(interval)
	defer tick.Stop()
	failing := false
	for {
		err := p.attempt(ctx)
		if ctx.Err() != nil {
			return nil // asked to stop
		}
		if err != nil && !failing {
			p.log.LogAttrs(ctx, slog.LevelWarn, "configuration not pushed to the bus, trying again", slog.Any("error", err))
		}
		if err == nil && failing {
			p.log.LogAttrs(ctx, slog.LevelInfo, "configuration pushed to the bus again")
		}
		failing = err != nil
		p.report(err)
		select {
		case <-ctx.Done():
			return nil
		case _, open := <-status:
			if !open {
				status = nil // the connection is closed for good
			}
			if err := p.forget(ctx); err != nil {
				return nil // only the end of ctx ends the wait
			}
		case <-tick.C:
		}
	}
}

func (p *Pusher) attempt(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return p.Push(ctx)
}

// Push brings to the bus what has been committed and is not there yet. When it returns
// nil, gateways have been told.
func (p *Pusher) Push(ctx context.Context) error {
	if err := p.take(ctx); err != nil {
		return err
	}
	defer p.release()
	if err := p.push(ctx); err != nil {
		p.whole = false // what was put is not known: start over
		return fmt.Errorf("push configuration: %w", err)
	}
	return nil
}

func (p *Pusher) take(ctx context.Context) error {
	select {
	case p.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("push configuration: %w", ctx.Err())
	}
}

func (p *Pusher) release() { <-p.turn }

// forget makes the next push a whole one: after a loss of the connection the server
// may be another, or the same one without its disk.
func (p *Pusher) forget(ctx context.Context) error {
	if err := p.take(ctx); err != nil {
		return err
	}
	defer p.release()
	p.whole = false
	return nil
}

func (p *Pusher) push(ctx context.Context) error {
	if err := bus.Ready(p.nc); err != nil {
		return err
	}
	kv, err := p.bucket(ctx)
	if err != nil {
		return err
	}
	after := p.pushed
	kept, err := keptCatalog(ctx, kv)
	if err != nil {
		return err
	}
	if !p.whole || !kept {
		after = everything
	}
	c, err := read(ctx, p.db, after)
	if err != nil {
		return err
	}
	g, putting := errgroup.WithContext(ctx)
	g.SetLimit(writers)
	for key, v := range c.entries {
		g.Go(func() error { return bus.PutNewer(putting, kv, key, v.revision, v.value) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	// Last: a route never shows before the tenants and keys of the same change.
	if c.catalog != nil {
		if err := bus.PutNewer(ctx, kv, bus.KeyCatalog, c.catalog.Revision, c.catalog); err != nil {
			return err
		}
	}
	p.pushed, p.whole = c.revision, true
	return nil
}

// bucket opens the bucket of the configuration. Where the broker may be another than the
// last time, or is seen to have lost its disk, it first makes all that is missing there:
// nobody else does while Loom runs.
func (p *Pusher) bucket(ctx context.Context) (jetstream.KeyValue, error) {
	kv, err := p.js.KeyValue(ctx, bus.BucketConfig)
	lost := errors.Is(err, jetstream.ErrBucketNotFound)
	if p.whole && !lost || err != nil && !lost {
		return kv, wrap(err)
	}
	made, err := bus.Restore(ctx, p.js, p.layout)
	if len(made) > 0 {
		p.log.LogAttrs(ctx, slog.LevelWarn, "the broker lacked streams or buckets, which are made again", slog.Any("made", made))
	}
	if err != nil {
		return nil, fmt.Errorf("restore the broker's layout: %w", err)
	}
	kv, err = p.js.KeyValue(ctx, bus.BucketConfig)
	return kv, wrap(err)
}

func wrap(err error) error {
	if err != nil {
		return fmt.Errorf("bucket %s: %w", bus.BucketConfig, err)
	}
	return nil
}

// keptCatalog reports whether the bucket still holds a catalogue. Every push leaves
// one; a bucket without has been made anew since.
func keptCatalog(ctx context.Context, kv jetstream.KeyValue) (bool, error) {
	entry, err := kv.Get(ctx, bus.KeyCatalog)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read %s: %w", bus.KeyCatalog, err)
	}
	return json.Valid(entry.Value()), nil
}
