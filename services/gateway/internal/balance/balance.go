// Package balance decides which target is called next for a request. It knows how every
// target has done of late, and calls none itself.
//
//	Plan ──▶ Next ──▶ (the caller waits, and calls the target) ──▶ Report ──▶ Next …
//	           │ health of targets: circuit, rate limit                │
//	           └──────────────────────────◀───────────────────────────┘
package balance

import (
	"fmt"
	"math/rand/v2"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/prometheus/client_golang/prometheus"

	"loom.internal/pkg/catalog"
)

const (
	// maxAttempts bounds the calls for one request, and the targets looked at.
	maxAttempts = 16
	// maxTargets bounds the targets whose health is known. Only those that have
	// answered for themselves count: names that clients made up do not push out others.
	maxTargets = 1024
	// maxWait is the most that a client is told to wait. Some sleep as long as they are
	// told, and a target is asked again after that time whatever it said.
	maxWait = time.Minute
)

// Target is a place where a request can be answered.
type Target struct {
	Key      string // of what is called: targets with the same key share their health
	Provider string // for metrics
	Model    string // the provider's name for it, for metrics
	Weight   int    // 0 is 1
}

// Options of New.
type Options struct {
	Metrics prometheus.Registerer
	Rand    func() uint64 // safe for concurrent use; nil is the process's own source
}

// Balancer knows the health of targets. It outlives catalogues: what is known of a target
// stays known when a route changes. It is safe for concurrent use.
type Balancer struct {
	rand    func() uint64
	targets *lru.Cache[string, *health]
	metrics *metrics
}

// New makes a balancer to which every target is healthy.
func New(o Options) (*Balancer, error) {
	targets, err := lru.New[string, *health](maxTargets)
	if err != nil {
		return nil, fmt.Errorf("health of targets: %w", err)
	}
	b := &Balancer{rand: o.Rand, targets: targets}
	if b.rand == nil {
		b.rand = rand.Uint64
	}
	b.metrics = newMetrics(o.Metrics, targets.Values)
	return b, nil
}

// Policy is how a request tries its targets.
type Policy struct {
	Balance catalog.Balance
	Retries int // further calls of a target, where that is safe

	// Always is for a route's only target: it is called whatever its health, and its
	// failures open no circuit. To refuse would help nobody, and its own answer tells the
	// most.
	Always bool
}

// Plan begins a request that any of the targets can answer. Beyond 16 they are not
// looked at. The slice must stay as it is until the plan is closed.
func (b *Balancer) Plan(targets []Target, policy Policy) *Plan {
	return &Plan{b: b, targets: targets[:min(len(targets), maxAttempts)], policy: policy, last: -1}
}

// known is the health of a target; nil when there is nothing to know.
func (b *Balancer) known(key string) *health {
	h, _ := b.targets.Get(key)
	return h
}

// keep is the health of a target, from now on known.
func (b *Balancer) keep(t Target) *health {
	if h := b.known(t.Key); h != nil {
		return h
	}
	h := newHealth(t)
	if first, found, _ := b.targets.PeekOrAdd(t.Key, h); found {
		return first
	}
	return h
}

// weigh is a random number below n, which is over 0.
func (b *Balancer) weigh(n int) int {
	return int(b.rand() % uint64(n)) //nolint:gosec // both are small; the bias of some 10^-15 does not matter
}

// jitter is between half of d and all of it.
func (b *Balancer) jitter(d time.Duration) time.Duration {
	return d - time.Duration(b.weigh(int(d/2)+1))
}
