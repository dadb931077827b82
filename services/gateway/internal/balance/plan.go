package balance

import (
	"errors"
	"time"

	"loom.internal/pkg/catalog"
)

// Waits before a target is called again: the first, doubled each time, up to the longest.
const (
	firstBackoff = 500 * time.Millisecond
	maxBackoff   = 8 * time.Second
)

// Plan is the calls for one request. They are made one after the other, each reported
// before the next. A plan is not safe for concurrent use.
type Plan struct {
	b       *Balancer
	targets []Target
	policy  Policy

	spent    uint32  // bit i: target i has had its turn
	last     int     // target called last; -1 before the first
	repeats  int     // of the last target
	attempts int     // in all
	pending  bool    // the last call is not reported
	attempt  attempt // the last one
	verdict  verdict // on it
}

// Step is what is to be done next.
type Step struct {
	Target int           // to be called
	Wait   time.Duration // before the call; without a call, until one may be let through
}

// Next chooses the next call. Without one the last failure is the answer or, where no
// target has been called at all, that none is available for now: then Wait is what to say
// in Retry-After, in whole seconds.
func (p *Plan) Next() (Step, bool) {
	p.Close()
	if p.attempts == maxAttempts || p.last >= 0 && p.verdict.next == stop {
		return Step{}, false
	}
	now := time.Now()
	if p.verdict.next == again {
		if step, ok := p.repeat(now); ok {
			return step, true
		}
	}
	step, ok := p.choose(now)
	if !ok && p.verdict.next == lastly {
		if again, ok := p.repeat(now); ok {
			return again, true
		}
	}
	return step, ok
}

// repeat is another call of the last target, after a while. A rate limit is waited for,
// unless it is long.
func (p *Plan) repeat(now time.Time) (Step, bool) {
	if p.repeats >= p.policy.Retries {
		return Step{}, false
	}
	h := p.b.known(p.targets[p.last].Key)
	cooling := h.cooling(now)
	if cooling > maxBackoff {
		return Step{}, false
	}
	a, _, ok := p.admit(p.last, now, heedNone)
	if !ok {
		return Step{}, false
	}
	wait := p.b.jitter(min(maxBackoff, firstBackoff<<min(p.repeats, 8)))
	p.repeats++
	return p.call(p.last, a, max(wait, cooling)), true
}

// choose is the first call of a target that has not had its turn.
func (p *Plan) choose(now time.Time) (Step, bool) {
	step, ok := p.pick(now, heedAll)
	if ok || step.Wait == 0 {
		return step, ok
	}
	// None is as it should be. A limit that nobody named is better tried than refused for,
	// and a provider that is the only one tells better than the gateway when its limit ends.
	limits := heedNamed
	if len(p.targets) == 1 {
		limits = heedNone
	}
	return p.pick(now, limits)
}

// admit lets a call of target i through, if its health allows.
func (p *Plan) admit(i int, now time.Time, limits heed) (a attempt, wait time.Duration, ok bool) {
	if p.policy.Always {
		return attempt{}, 0, true
	}
	return p.b.known(p.targets[i].Key).admit(now, limits)
}

// pick passes over targets that let no call through. Where all of them do, Wait is the
// shortest time until one will; 0 when there was none left to ask.
func (p *Plan) pick(now time.Time, limits heed) (Step, bool) {
	var soonest time.Duration
	for asked := p.spent; ; {
		i := p.draw(asked)
		if i < 0 {
			return Step{Wait: wholeSeconds(soonest)}, false
		}
		asked |= 1 << i
		a, wait, ok := p.admit(i, now, limits)
		if ok {
			p.spent |= 1 << i
			if p.last >= 0 {
				p.b.metrics.fallback(p.targets[p.last].Provider)
			}
			p.repeats = 0
			return p.call(i, a, 0), true
		}
		if soonest == 0 || wait < soonest {
			soonest = wait
		}
	}
}

// draw is a target whose bit is not set, by the route's policy; -1 for none.
func (p *Plan) draw(not uint32) int {
	total, first := 0, -1
	for i, t := range p.targets {
		if not&(1<<i) == 0 {
			total += max(1, t.Weight)
			if first < 0 {
				first = i
			}
		}
	}
	if first < 0 || p.policy.Balance != catalog.Weighted {
		return first
	}
	at := p.b.weigh(total)
	for i, t := range p.targets[first:] {
		if not&(1<<(first+i)) != 0 {
			continue
		}
		if at -= max(1, t.Weight); at < 0 {
			return first + i
		}
	}
	return first // not reached: at is below the sum of weights
}

func (p *Plan) call(i int, a attempt, wait time.Duration) Step {
	p.last, p.attempt, p.pending = i, a, true
	p.attempts++
	return Step{Target: i, Wait: wait}
}

// Answering tells that the target of the last step has begun to answer with a status of
// success. A circuit that was open closes now: a probe may be a stream of many minutes.
func (p *Plan) Answering() {
	if p.pending && p.attempt.probe != nil {
		p.attempt = p.attempt.health.proven(p.attempt)
	}
}

// Report tells how the call of the last step came out, once it is over.
func (p *Plan) Report(r Result) {
	if !p.pending {
		return
	}
	t := p.targets[p.last]
	p.pending, p.verdict = false, judge(r)
	p.b.metrics.attempt(t.Provider, r.Class)
	h := p.attempt.health
	if h == nil {
		if errors.Is(p.verdict.counts, errNothing) && p.verdict.cool == 0 {
			return
		}
		h = p.b.keep(t)
	}
	if !p.policy.Always {
		h.settle(p.attempt, p.verdict.counts)
	}
	if p.verdict.cool > 0 {
		h.cool(time.Now(), p.verdict.cool, p.verdict.guessed)
	}
}

// Close gives back a call that was let through and is not going to be reported, so that
// another may be the probe. It does no harm after Report.
func (p *Plan) Close() {
	if !p.pending {
		return
	}
	p.pending, p.verdict = false, verdict{}
	if p.attempt.health != nil {
		p.attempt.health.settle(p.attempt, errNothing)
	}
}

// wholeSeconds rounds up, to what a client may be told.
func wholeSeconds(d time.Duration) time.Duration {
	return min((d + time.Second - 1).Truncate(time.Second), maxWait)
}
