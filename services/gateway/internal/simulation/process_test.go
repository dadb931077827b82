package simulation

import (
	"context"
	"errors"
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"time"
)

var errKilled = errors.New("the process is dead")

// dice makes the chances of one actor. Each has its own, so that what one draws does not
// depend on when another does.
func (w *world) dice(name string) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(name))
	return rand.New(rand.NewPCG(w.seed, h.Sum64()))
}

// process is one life of a program. What it has asked of others goes with it.
type process struct {
	w    *world
	name string
	rng  *rand.Rand
	ctx  context.Context // ends when it is killed

	gone chan struct{} // closed when it is killed
	stop chan struct{} // closed when it is told to stop
	dead func()
	told func()
}

func (w *world) spawn(name string) *process {
	ctx, cancel := context.WithCancel(context.Background())
	p := &process{w: w, name: name, rng: w.dice(name), ctx: ctx, gone: make(chan struct{}), stop: make(chan struct{})}
	p.dead = sync.OnceFunc(func() { w.note("%s dies", name); cancel(); close(p.gone) })
	p.told = sync.OnceFunc(func() { w.note("%s is told to stop", name); close(p.stop) })
	return p
}

// lives waits until the process is to end.
func (p *process) lives() {
	select {
	case <-p.gone:
	case <-p.stop:
	case <-p.w.over:
	}
}

func (p *process) killed() bool {
	select {
	case <-p.gone:
		return true
	default:
		return false
	}
}

// line is a connection of a process to something else. It is for one goroutine.
type line struct {
	*process
	rng *rand.Rand
}

func (p *process) line(name string) *line { return &line{p, p.w.dice(p.name + " " + name)} }

// chance is true once in n times, until all is calm.
func (l *line) chance(n int) bool { return l.rng.IntN(n) == 0 && !l.w.isCalm() }

// latency is how long something takes to get there.
func (l *line) latency() time.Duration {
	if l.chance(40) {
		return time.Duration(l.rng.Int64N(int64(4 * time.Second)))
	}
	return 20*time.Microsecond + time.Duration(l.rng.Int64N(int64(3*time.Millisecond)))
}

// pause waits, unless the process or ctx ends first.
func (l *line) pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-l.gone:
		return errKilled
	case <-ctx.Done():
		return ctx.Err()
	}
}

// call has do done at the other end of the line, which may happen although call fails:
// the request of a process that died was perhaps out already, and answers get lost.
func (l *line) call(ctx context.Context, do func() error) error {
	if err := l.pause(ctx, l.latency()); err != nil {
		if l.rng.IntN(2) == 0 {
			_ = do()
		}
		return err
	}
	err := do()
	if errors.Is(err, errAway) && l.rng.IntN(3) == 0 || l.chance(30) {
		return errors.Join(l.pause(ctx, time.Hour), err) // no answer
	}
	if lost := l.pause(ctx, l.latency()); lost != nil {
		return lost
	}
	return err
}
