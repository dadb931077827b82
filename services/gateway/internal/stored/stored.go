// Package stored is which provider keeps a response of the Responses API, so that what
// asks for it by its id later is asked of the same one, and by the same tenant only.
//
//	Put ──▶ local cache
//	  └───▶ queue ──Run──▶ KV LOOM_RESPONSES ──▶ Get of any gateway
package stored

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"loom.internal/pkg/bus"
)

var (
	// ErrUnknown means that the tenant has no such response.
	ErrUnknown = errors.New("no such response")
	// ErrUnavailable is for a response that this gateway does not remember while the
	// broker cannot be asked.
	ErrUnavailable = errors.New("stored responses cannot be looked up")
)

const (
	readTimeout = 2 * time.Second // on a request's path
	maxValue    = 2 << 10         // of an encoded Ref
)

// Ref is who keeps a response.
type Ref struct {
	Provider string `json:"provider"`
	Model    string `json:"model,omitempty"` // the provider's name for it
	Asked    string `json:"asked,omitempty"` // the name it was asked for by

	// Uncounted says that its usage was not known when it was made: it goes on in the
	// background. Whoever fetches it first once it is done counts it, by Claim.
	Uncounted bool `json:"uncounted,omitempty"`
}

// Options of New.
type Options struct {
	NATS    *nats.Conn
	Log     *slog.Logger
	Metrics prometheus.Registerer
	Cache   int // responses remembered here
	Queue   int // that wait to be put into the bucket
}

// Store is what a gateway knows of responses. It is safe for concurrent use.
type Store struct {
	opt     Options
	js      jetstream.JetStream
	kv      atomic.Pointer[jetstream.KeyValue]
	cache   *lru.Cache[key, entry]
	queue   chan write
	dropped prometheus.Counter
}

// entry is a response as this gateway last heard of it.
type entry struct {
	ref  Ref
	gone bool
}

// key tells a tenant's response. Ids may be of any length and of any characters.
type key [sha256.Size]byte

func keyOf(tenant, id string) key { return sha256.Sum256([]byte(tenant + "\x00" + id)) }

func (k key) String() string { return base64.RawURLEncoding.EncodeToString(k[:]) }

// New makes a store, whose connection stays the caller's. It starts nothing.
func New(o Options) (*Store, error) {
	if o.Cache < 1 || o.Queue < 1 {
		return nil, fmt.Errorf("stored responses: cache of %d, queue of %d: both must be over 0", o.Cache, o.Queue)
	}
	js, err := jetstream.New(o.NATS)
	if err != nil {
		return nil, fmt.Errorf("JetStream: %w", err)
	}
	cache, err := lru.New[key, entry](o.Cache)
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	s := &Store{opt: o, js: js, cache: cache, queue: make(chan write, o.Queue), dropped: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "loom_gateway_stored_responses_dropped_total",
		Help: "Responses whose provider only this gateway remembers, since the broker could not be told in time or would not have it.",
	})}
	o.Metrics.MustRegister(s.dropped)
	return s, nil
}

// Put remembers who keeps a tenant's response. It does not wait: this gateway knows at
// once, the others as soon as Run has told the broker.
func (s *Store) Put(tenant, id string, ref Ref) {
	value, err := json.Marshal(ref)
	if err != nil || len(value) > maxValue {
		s.dropped.Inc()
		return
	}
	k := keyOf(tenant, id)
	s.cache.Add(k, entry{ref: ref})
	s.enqueue(write{key: k, value: value})
}

// Delete forgets a tenant's response, as Put remembers it.
func (s *Store) Delete(tenant, id string) {
	k := keyOf(tenant, id)
	s.cache.Add(k, entry{gone: true})
	s.enqueue(write{key: k})
}

// Get is who keeps a tenant's response. The error is ErrUnknown or ErrUnavailable.
func (s *Store) Get(ctx context.Context, tenant, id string) (Ref, error) {
	k := keyOf(tenant, id)
	if e, ok := s.cache.Get(k); ok {
		if e.gone {
			return Ref{}, ErrUnknown
		}
		return e.ref, nil
	}
	if err := bus.Ready(s.opt.NATS); err != nil {
		return Ref{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	ref, err := s.read(ctx, k)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return Ref{}, ErrUnknown
	case err != nil:
		return Ref{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	// Unless a Put or Delete was faster.
	if e, ok, _ := s.cache.PeekOrAdd(k, entry{ref: ref}); ok && e.gone {
		return Ref{}, ErrUnknown
	}
	return ref, nil
}

// Claim reports whether the caller is to count the usage of an uncounted response; of all
// callers on all gateways one is. While the broker cannot be asked nobody is.
func (s *Store) Claim(ctx context.Context, tenant, id string) bool {
	k := keyOf(tenant, id)
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	kv, err := s.bucket(ctx)
	if err != nil {
		return false
	}
	found, err := kv.Get(ctx, k.String())
	if err != nil {
		return false
	}
	var ref Ref
	if err := json.Unmarshal(found.Value(), &ref); err != nil || !ref.Uncounted {
		return false
	}
	ref.Uncounted = false
	value, err := json.Marshal(ref)
	if err != nil {
		return false
	}
	if _, err = kv.Update(ctx, k.String(), value, found.Revision()); err != nil {
		return false // somebody was faster, or the next one who fetches it will be
	}
	s.cache.Add(k, entry{ref: ref})
	return true
}

func (s *Store) read(ctx context.Context, k key) (ref Ref, err error) {
	kv, err := s.bucket(ctx)
	if err != nil {
		return ref, err
	}
	found, err := kv.Get(ctx, k.String())
	if err != nil {
		return ref, err
	}
	return ref, json.Unmarshal(found.Value(), &ref)
}

// bucket is looked up once: it is the same by its name, even if it is made anew.
func (s *Store) bucket(ctx context.Context) (jetstream.KeyValue, error) {
	if kv := s.kv.Load(); kv != nil {
		return *kv, nil
	}
	kv, err := s.js.KeyValue(ctx, bus.BucketResponses)
	if err != nil {
		return nil, err
	}
	s.kv.Store(&kv)
	return kv, nil
}
