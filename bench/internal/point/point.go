// Package point has processes die at Loom's fault points, until each point has killed
// often enough. What is armed is decided at each start of a process, by what is lacking.
package point

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"

	"loom.internal/pkg/faultpoint"
)

// Kinds of processes that have points.
const (
	gateway   = "gateway"
	recorder  = "recorder"
	analytics = "analytics"
)

// usual is the rate of requests that chances are for.
const usual = 60

// chance of dying at one hit, at the usual rate. Those that are seldom reached are
// certain, or they would hardly ever be.
func chance(name string, rate float64) float64 {
	often := min(1, usual/max(rate, 1))
	switch _, point, _ := strings.Cut(name, "."); point {
	case "after_state": // once a life
		return 0.3
	case "after_carry": // at the end of a segment, with requests open in it
		return 1
	case "after_remove":
		return 0.5
	case "confirmed", "body_put": // when a watermark moves; for a long body
		return 0.2
	case "after_sync": // by one gateway alone
		return 0.02 * often
	case "received", "committed", "acked", "facts_inserted": // a batch
		return 0.04
	default: // a request
		return 0.01 * often
	}
}

// kindOf the process that has a point.
func kindOf(name string) string {
	switch part, _, _ := strings.Cut(name, "."); part {
	case recorder, analytics:
		return part
	default:
		return gateway
	}
}

// Options of New.
type Options struct {
	Want int     // kills by each point
	Rate float64 // requests a second
	Seed uint64
	Log  string // file that dying processes append to
}

// Points arms processes and counts their deaths.
type Points struct {
	Options

	mu       sync.Mutex
	starts   uint64
	disarmed bool
}

// New arms nothing when no kills are wanted.
func New(o Options) *Points { return &Points{Options: o, disarmed: o.Want == 0} }

// Env is what the next life of a process of this kind is to have in its environment.
func (p *Points) Env(kind string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.disarmed {
		return nil
	}
	kills := p.Kills()
	var armed []string
	for _, name := range faultpoint.Names() {
		if kindOf(name) == kind && kills[name] < p.Want {
			armed = append(armed, fmt.Sprintf("%s=%g", name, chance(name, p.Rate)))
		}
	}
	p.starts++
	return []string{
		"LOOM_FAULTPOINTS=" + strings.Join(armed, ","), "LOOM_FAULTPOINT_LOG=" + p.Log,
		fmt.Sprintf("LOOM_FAULTPOINT_SEED=%d", p.Seed<<24+p.starts),
	}
}

// Disarm lets processes that are started from now on live.
func (p *Points) Disarm() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.disarmed = true
}

// Kills so far by each point.
func (p *Points) Kills() map[string]int {
	kills := make(map[string]int)
	b, err := os.ReadFile(p.Log)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		panic(err) // the run's own file
	}
	for name := range strings.Lines(string(b)) {
		kills[strings.TrimSuffix(name, "\n")]++
	}
	return kills
}

// Lacking lists the points that have not killed often enough.
func (p *Points) Lacking() []string {
	kills := p.Kills()
	var names []string
	for _, name := range faultpoint.Names() {
		if kills[name] < p.Want {
			names = append(names, name)
		}
	}
	return names
}
