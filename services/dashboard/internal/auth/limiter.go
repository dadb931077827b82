package auth

import (
	"fmt"
	"net/netip"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// Failed logins of one address: so many at once, then one more every refill.
const (
	loginBurst  = 10
	loginRefill = 6 * time.Second
	addresses   = 10_000 // remembered; the longest unused goes first
)

// Limiter bounds failed logins by client address. A login takes a token and, if it
// succeeds, gives it back.
type Limiter struct {
	now func() time.Time

	mu      sync.Mutex
	buckets *lru.Cache[netip.Prefix, bucket]
}

type bucket struct {
	tokens float64
	at     time.Time
}

// NewLimiter takes the clock it goes by.
func NewLimiter(now func() time.Time) (*Limiter, error) {
	buckets, err := lru.New[netip.Prefix, bucket](addresses)
	if err != nil {
		return nil, fmt.Errorf("login limiter: %w", err)
	}
	return &Limiter{now: now, buckets: buckets}, nil
}

// Take takes a token for a client's address. Without one left it returns how long
// until the next.
func (l *Limiter) Take(address string) (wait time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	who := network(address)
	b := l.current(who)
	if b.tokens < 1 {
		return time.Duration((1 - b.tokens) * float64(loginRefill)), false
	}
	b.tokens--
	l.buckets.Add(who, b)
	return 0, true
}

// Return gives back the token of a login that succeeded.
func (l *Limiter) Return(address string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	who := network(address)
	b := l.current(who)
	b.tokens = min(loginBurst, b.tokens+1)
	l.buckets.Add(who, b)
}

func (l *Limiter) current(who netip.Prefix) bucket {
	now := l.now()
	b, ok := l.buckets.Get(who)
	if !ok {
		return bucket{tokens: loginBurst, at: now}
	}
	b.tokens = min(loginBurst, b.tokens+float64(now.Sub(b.at))/float64(loginRefill))
	b.at = now
	return b
}

// network is what is limited together: one IPv4 address, or the /64 that one IPv6
// client can pick its addresses from. What is no address is limited as one client.
func network(address string) netip.Prefix {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return netip.Prefix{}
	}
	ip = ip.Unmap().WithZone("")
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	p, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
