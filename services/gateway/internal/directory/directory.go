// Package directory is what the gateway knows of tenants, keys and models. All of it
// comes out of one KV bucket and is kept up to date by watching it.
//
//	KV key.<hash>, tenant.<id> ──get, watch──▶ caches ──▶ Authenticate
//	KV catalog, pepper ──watch──▶ Catalogue, Authenticate
package directory

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/envelope"
	"loom.internal/pkg/event"
	"loom.internal/pkg/tenant"
	"loom.internal/services/gateway/internal/provider"
)

// ErrUnavailable is Authenticate's error for a key that is not cached while the
// broker cannot be asked.
var ErrUnavailable = errors.New("directory not reachable")

// readTimeout bounds one read from the broker on a request's path.
const readTimeout = 2 * time.Second

// Options of New.
type Options struct {
	NATS        *nats.Conn
	Keys        envelope.Wrapper
	Opener      provider.Opener
	Log         *slog.Logger
	Metrics     *Metrics
	CacheSize   int           // keys kept; as many unknown ones, and as many tenants
	NegativeTTL time.Duration // how long an unknown key is refused without asking again
	OnReady     func()        // called when the bucket is watched for the first time
}

// Directory answers who a key belongs to and where a model leads. It is safe for
// concurrent use.
type Directory struct {
	opt     Options
	keys    *cache[tenant.Hash, tenant.Key]
	tenants *cache[string, account]
	hasher  atomic.Pointer[tenant.Hasher] // nil until the pepper is known
	flight  singleflight.Group
	kv      atomic.Pointer[jetstream.KeyValue]
	models  atomic.Pointer[Catalogue]
	ready   sync.Once
}

// New makes a directory that knows nothing until Run.
func New(o Options) (*Directory, error) {
	if o.CacheSize < 1 || o.NegativeTTL <= 0 {
		return nil, fmt.Errorf("directory: cache of %d keys, unknown ones for %s: both must be over 0", o.CacheSize, o.NegativeTTL)
	}
	d := &Directory{opt: o}
	var err error
	d.keys, err = newCache[tenant.Hash](o.CacheSize, o.NegativeTTL, o.Metrics.of("key"), decodeKey)
	if err != nil {
		return nil, err
	}
	d.tenants, err = newCache[string](o.CacheSize, o.NegativeTTL, o.Metrics.of("tenant"), d.decodeAccount)
	if err != nil {
		return nil, err
	}
	return d, nil
}

// Authenticate finds who the key in text form belongs to. The error is
// [tenant.ErrUnauthorized] whatever is wrong with the key, or ErrUnavailable when
// that cannot be told.
func (d *Directory) Authenticate(ctx context.Context, text string) (*Caller, error) {
	parsed, err := tenant.ParseKeyText(text)
	if err != nil {
		return nil, err
	}
	hasher := d.hasher.Load()
	if hasher == nil {
		return nil, fmt.Errorf("%w: what keys are hashed with is not known yet", ErrUnavailable)
	}
	hash := hasher.Hash(parsed)
	key, err := lookup(ctx, d, d.keys, hash, bus.PrefixKey+hex.EncodeToString(hash[:]))
	if err != nil {
		return nil, err
	}
	if !key.Valid(time.Now()) || !event.ValidTenant(key.TenantID) {
		return nil, tenant.ErrUnauthorized
	}
	owner, err := lookup(ctx, d, d.tenants, key.TenantID, bus.PrefixTenant+key.TenantID)
	if err != nil {
		return nil, err
	}
	if owner.Status != tenant.Active {
		return nil, tenant.ErrUnauthorized
	}
	return &Caller{Principal: tenant.Principal{Tenant: owner.Tenant, Key: key}, DataKey: owner.key, Redactor: owner.redactor, NoRules: owner.noRules}, nil
}

// lookup is the cached record, else the bucket's. What is not there is
// ErrUnauthorized. A record that may be out of date is used while the broker is away.
func lookup[K comparable, V any](ctx context.Context, d *Directory, c *cache[K, V], key K, name string) (V, error) {
	old, state := c.get(key)
	switch state {
	case fresh:
		return old, nil
	case absent:
		return old, tenant.ErrUnauthorized
	case unknown, stale:
	}
	// One read serves everyone who asks for this name now, so it must not die with
	// the first of them: it has its own time limit.
	result := d.flight.DoChan(name, func() (any, error) {
		read, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
		defer cancel()
		return load(read, d, c, key, name)
	})
	select {
	case r := <-result:
		v, _ := r.Val.(V)
		if errors.Is(r.Err, ErrUnavailable) && state == stale {
			return old, nil
		}
		return v, r.Err
	case <-ctx.Done():
		return old, fmt.Errorf("%w: %w", ErrUnavailable, context.Cause(ctx))
	}
}

// load reads a record from the bucket into the cache.
func load[K comparable, V any](ctx context.Context, d *Directory, c *cache[K, V], key K, name string) (V, error) {
	var v V
	kv := d.kv.Load()
	if kv == nil || d.opt.NATS.Status() != nats.CONNECTED {
		return v, ErrUnavailable
	}
	generation := c.generation()
	entry, err := (*kv).Get(ctx, name)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		c.addAbsent(key, generation)
		return v, tenant.ErrUnauthorized
	case err != nil:
		return v, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if v, err = c.decode(name, entry.Value()); err != nil {
		d.opt.Log.LogAttrs(ctx, slog.LevelError, "record in the bucket cannot be read", slog.String("name", name), slog.Any("error", err))
		c.addAbsent(key, generation)
		return v, tenant.ErrUnauthorized
	}
	c.add(key, v, generation)
	return v, nil
}

// Run watches the bucket until ctx ends. After every loss of the connection, and
// whenever watching breaks off, what is cached counts as out of date until it has
// been read again.
func (d *Directory) Run(ctx context.Context) error {
	js, err := jetstream.New(d.opt.NATS)
	if err != nil {
		return fmt.Errorf("JetStream: %w", err)
	}
	for ctx.Err() == nil {
		err := d.watch(ctx, js)
		d.keys.outdate()
		d.tenants.outdate()
		if ctx.Err() == nil {
			d.opt.Log.LogAttrs(ctx, slog.LevelWarn, "watch of the bucket ended, starting it again", slog.Any("error", err))
		}
	}
	return nil
}

// watch returns when it is over: nil, or what went wrong.
func (d *Directory) watch(ctx context.Context, js jetstream.JetStream) error {
	status := d.opt.NATS.StatusChanged(nats.RECONNECTING, nats.DISCONNECTED, nats.CLOSED)
	defer d.opt.NATS.RemoveStatusListener(status)
	var records, snapshots jetstream.KeyWatcher
	err := bus.Retry(ctx, d.opt.Log, "keys and catalogue not reachable, trying again", func(attempt context.Context) error {
		for len(status) > 0 { // what happened before the watchers stand is of no interest
			<-status
		}
		kv, err := js.KeyValue(attempt, bus.BucketConfig)
		if err != nil {
			return err
		}
		// The watchers live as long as this watch, not as long as the attempt.
		records, err = kv.WatchFiltered(ctx, []string{bus.PrefixKey + ">", bus.PrefixTenant + ">"}, jetstream.UpdatesOnly())
		if err != nil {
			return err
		}
		snapshots, err = kv.WatchFiltered(ctx, []string{bus.KeyPepper, bus.KeyCatalog})
		if err != nil {
			return errors.Join(err, records.Stop())
		}
		d.kv.Store(&kv)
		return nil
	})
	if err != nil {
		return err
	}
	defer func() { _, _ = records.Stop(), snapshots.Stop() }() // without a connection there is nothing to stop
	if err := bus.Ready(d.opt.NATS); err != nil {
		return err
	}
	d.keys.trust()
	d.tenants.trust()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.follow(ctx, records, status) })
	g.Go(func() error { return d.followCatalogue(ctx, snapshots) })
	return g.Wait()
}

var errWatchEnded = errors.New("watch ended")

func (d *Directory) follow(ctx context.Context, records jetstream.KeyWatcher, status <-chan nats.Status) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case s := <-status:
			return fmt.Errorf("NATS is %s", s)
		case entry, ok := <-records.Updates():
			if !ok {
				return errWatchEnded
			}
			if entry != nil {
				d.update(ctx, entry)
			}
		}
	}
}
