package balance

import (
	"errors"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"
)

const (
	tripStreak   = 5  // failures in a row open a circuit,
	tripCalls    = 20 // and so does half of that many calls
	tripWindow   = 10 * time.Second
	windowBucket = time.Second
	openTime     = 15 * time.Second
	// probeWait is what is said of a target that is being probed: the answer may come at
	// any time.
	probeWait = time.Second
)

// Results that a circuit is told; nil is a success.
var (
	errFailure = errors.New("failure")
	errNothing = errors.New("nothing learned")
)

// health is what is known of one target. The breaker would count a result to the time when
// the call began, and a call that hung for longer than the window to none; so while the
// circuit is closed it hears of a call only when the result is there.
type health struct {
	provider, model string // for metrics

	mu        sync.Mutex // held around every use of breaker, so that its callbacks have it
	breaker   *gobreaker.TwoStepCircuitBreaker[struct{}]
	era       uint // grows when the circuit opens and when it closes
	open      bool // since the circuit opened, until a probe has succeeded
	openUntil time.Time
	streak    int // failures in a row
	coolUntil time.Time
	guessed   bool // coolUntil is: the provider named no time
}

func newHealth(t Target) *health {
	h := &health{provider: label(t.Provider), model: label(t.Model)}
	h.breaker = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Interval:     tripWindow,
		BucketPeriod: windowBucket,
		Timeout:      openTime - 1, // it stays open up to and with its last instant
		ReadyToTrip: func(c gobreaker.Counts) bool {
			return h.streak >= tripStreak || c.Requests >= tripCalls && 2*c.TotalFailures >= c.Requests
		},
		OnStateChange: func(_ string, _, to gobreaker.State) { h.changed(to) },
		IsExcluded:    func(err error) bool { return errors.Is(err, errNothing) },
	})
	return h
}

func (h *health) changed(to gobreaker.State) {
	switch to {
	case gobreaker.StateOpen:
		if !h.open {
			h.era++
		}
		h.open, h.openUntil = true, time.Now().Add(openTime)
	case gobreaker.StateClosed:
		h.era++
		h.open, h.streak = false, 0
	case gobreaker.StateHalfOpen:
	}
}

// attempt is a call that may be made.
type attempt struct {
	health *health // nil when nothing was known of the target
	era    uint    // when the call was let through
	probe  func(error)
}

// heed is which rate limits keep a target from being called.
type heed int

const (
	heedAll   heed = iota
	heedNamed      // those for which the provider has named a time
	heedNone
)

// admit lets a call through, or tells how long none will be. For a target with an open
// circuit whose time is over that is one call, the probe.
func (h *health) admit(now time.Time, limits heed) (a attempt, wait time.Duration, ok bool) {
	if h == nil {
		return attempt{}, 0, true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if limits == heedAll || limits == heedNamed && !h.guessed {
		wait = max(0, h.coolUntil.Sub(now))
	}
	a = attempt{health: h, era: h.era}
	if !h.open {
		return a, wait, wait == 0
	}
	if h.breaker.State() == gobreaker.StateOpen {
		return attempt{}, max(wait, h.openUntil.Sub(now), 1), false
	}
	if wait > 0 {
		return attempt{}, wait, false
	}
	probe, err := h.breaker.Allow()
	if err != nil {
		return attempt{}, probeWait, false
	}
	a.probe = probe
	return a, 0, true
}

// settle counts the result of a call. What began before the circuit last opened or closed
// says nothing of how the target does now.
func (h *health) settle(a attempt, result error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case a.probe != nil:
		a.probe(result)
		return
	case a.era != h.era, errors.Is(result, errNothing):
		return
	case result == nil:
		h.streak = 0
	default:
		h.streak++
	}
	if done, err := h.breaker.Allow(); err == nil { // always: the circuit is closed
		done(result)
	}
}

// proven settles a probe as soon as it is known to have succeeded; the call goes on and is
// counted like any other from now on.
func (h *health) proven(a attempt) attempt {
	h.mu.Lock()
	defer h.mu.Unlock()
	a.probe(nil)
	return attempt{health: h, era: h.era}
}

// cool keeps the target from being called for d.
func (h *health) cool(now time.Time, d time.Duration, guessed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if until := now.Add(min(d, maxWait)); until.After(h.coolUntil) {
		h.coolUntil, h.guessed = until, guessed
	}
}

// cooling is how long the target is still to be left alone for its rate limit.
func (h *health) cooling(now time.Time) time.Duration {
	if h == nil {
		return 0
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return max(0, h.coolUntil.Sub(now))
}

// circuit reports whether the circuit is open, if it ever was.
func (h *health) circuit() (open, ever bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.open, h.era > 0
}
