package directory

import (
	"fmt"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// state of a cached record.
type state int

const (
	unknown state = iota
	fresh         // as the bucket has it
	stale         // it may have changed: the bucket was not watched all the time
	absent        // the bucket had none a moment ago
)

// cache holds the records asked for most recently, and apart from them the names that
// led nowhere, so that made-up keys cannot push good ones out.
type cache[K comparable, V any] struct {
	metrics cacheMetrics
	ttl     time.Duration
	decode  func(name string, data []byte) (V, error) // of a record of the bucket

	mu       sync.Mutex
	known    *lru.Cache[K, record[V]]
	missing  *lru.Cache[K, time.Time] // until when
	gen      uint64                   // grows with every change of the bucket that was seen
	epoch    uint64                   // of the watch; records of an earlier one are stale
	watching bool
}

type record[V any] struct {
	value V
	epoch uint64
}

func newCache[K comparable, V any](size int, ttl time.Duration, m cacheMetrics, decode func(string, []byte) (V, error)) (*cache[K, V], error) {
	known, err := lru.New[K, record[V]](size)
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	missing, err := lru.New[K, time.Time](size)
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	return &cache[K, V]{known: known, missing: missing, ttl: ttl, metrics: m, decode: decode}, nil
}

func (c *cache[K, V]) get(key K) (V, state) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r, ok := c.known.Get(key); ok {
		c.metrics.hits.Inc()
		if c.watching && r.epoch == c.epoch {
			return r.value, fresh
		}
		return r.value, stale
	}
	var none V
	if until, ok := c.missing.Get(key); ok && c.watching {
		if time.Now().Before(until) {
			c.metrics.negative.Inc()
			return none, absent
		}
		c.missing.Remove(key)
	}
	c.metrics.misses.Inc()
	return none, unknown
}

// peek is the cached record, out of date or not.
func (c *cache[K, V]) peek(key K) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, ok := c.known.Peek(key)
	return r.value, ok
}

// generation is to be taken before a read of the bucket and given to add with what
// was read: what a change overtook meanwhile is not kept.
func (c *cache[K, V]) generation() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gen
}

func (c *cache[K, V]) add(key K, v V, generation uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if generation != c.gen {
		return
	}
	c.missing.Remove(key)
	if c.known.Add(key, record[V]{v, c.epoch}) {
		c.metrics.evictions.Inc()
	}
}

func (c *cache[K, V]) addAbsent(key K, generation uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if generation != c.gen {
		return
	}
	c.known.Remove(key)
	c.missing.Add(key, time.Now().Add(c.ttl))
}

// replace takes over a changed record. One that nobody asked for stays out.
func (c *cache[K, V]) replace(key K, v V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gen++
	c.missing.Remove(key)
	if c.known.Contains(key) {
		c.known.Add(key, record[V]{v, c.epoch})
	}
}

func (c *cache[K, V]) remove(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gen++
	c.known.Remove(key)
}

// trust begins an epoch in which changes are seen: what is read from now on is fresh.
func (c *cache[K, V]) trust() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gen++
	c.epoch++
	c.watching = true
}

// outdate ends it.
func (c *cache[K, V]) outdate() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gen++
	c.watching = false
}
