// Package fault makes a plan of faults from a seed and carries it out.
package fault

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"loom.internal/bench/internal/rig"
)

// What happens.
type What string

// The faults.
const (
	Kill    What = "kill"    // SIGKILL, and a new start
	Outage  What = "outage"  // SIGTERM, and a new start after long
	Wipe    What = "wipe"    // the broker is killed and comes back with an empty disk
	Restart What = "restart" // SIGTERM and a new start, one replica after the other
	Replace What = "replace" // a gateway is killed for good, and another comes when its spool is others' business

	// On the way of all services to an engine:
	Cut      What = "cut"      // all connections are reset
	Slow     What = "slow"     // everything takes half a second longer
	Stall    What = "stall"    // nothing comes, on connections that stay
	Throttle What = "throttle" // a few KB a second come

	// Echo is that events which the stream holds are sent to it again, and stored again.
	Echo What = "echo"
)

// Event is one fault.
type Event struct {
	At      time.Duration // after the load began
	What    What
	Kind    string        // of process
	Replica int           // which of its kind, counted on over all replicas
	Down    time.Duration // until the new start, or until a way is as it was
	Behind  time.Duration // Wipe: how long analytics has been dead when the broker dies
}

func (e Event) String() string {
	s := fmt.Sprintf("%7s %s %s", e.At.Round(time.Millisecond), e.What, e.Kind)
	if e.Down > 0 {
		s += " for " + e.Down.Round(time.Millisecond).String()
	}
	if e.Behind > 0 {
		s += ", analytics dead for " + e.Behind.String() + " before"
	}
	return s
}

// Options of Plan.
type Options struct {
	Seed     uint64
	Over     time.Duration // the time of the load
	Kills    int
	Outages  int           // of broker and database together, in turn
	Length   time.Duration // of an outage
	Wipes    int
	Restarts int // of all services, rolling
	Links    int // of the ways of services to broker and database, each fault of each in turn
	Echoes   int
	Replaces int // of gateways

	// Alone is a kind of processes. If it is set nothing happens but one outage of it, in
	// the middle of the load.
	Alone string
}

const (
	maxDown = 2 * time.Second

	// vacant is how long there is one gateway less: for longer than the others take to
	// adopt what it has left.
	vacant = 40 * time.Second

	// How long a way is slow, stalled or throttled: for longer than gateways wait for an
	// acknowledgement.
	minWay = 4 * time.Second
	maxWay = 8 * time.Second
)

// Plan is the same for the same options. Kills are spread evenly over kinds, and over
// the time with the others; no two of the others begin at once.
func Plan(o Options) []Event {
	if o.Alone != "" {
		return []Event{{At: (o.Over - o.Length) / 2, What: Outage, Kind: o.Alone, Down: o.Length}}
	}
	r := rand.New(rand.NewPCG(o.Seed, 0x6661756c74)) //nolint:gosec // must be repeatable, need not be secret
	var events []Event
	kinds := rig.Kinds()
	for n := range o.Kills {
		if n%len(kinds) == 0 {
			r.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
		}
		events = append(events, Event{
			At: within(r, o.Over, n, o.Kills), What: Kill, Kind: kinds[n%len(kinds)], Replica: r.IntN(1 << 16), Down: time.Duration(r.Int64N(int64(maxDown))),
		})
	}
	var great []Event
	for n := range o.Outages {
		kind := []string{rig.NATS, rig.Postgres}[n%2]
		great = append(great, Event{What: Outage, Kind: kind, Down: o.Length})
	}
	for n := range o.Wipes {
		e := Event{What: Wipe, Kind: rig.NATS}
		if r.IntN(2) == 0 || n == 0 { // at least once, for that is the harder case
			e.Behind = maxDown
		}
		great = append(great, e)
	}
	for range o.Restarts {
		for _, kind := range []string{rig.Gateway, rig.Recorder, rig.Analytics} {
			great = append(great, Event{What: Restart, Kind: kind})
		}
	}
	ways := []What{Cut, Slow, Stall, Throttle}
	for n := range o.Links {
		e := Event{What: ways[n/2%len(ways)], Kind: []string{rig.NATS, rig.Postgres}[n%2]}
		if e.What != Cut {
			e.Down = minWay + time.Duration(r.Int64N(int64(maxWay-minWay)))
		}
		great = append(great, e)
	}
	for range o.Echoes {
		great = append(great, Event{What: Echo, Kind: rig.NATS})
	}
	for range o.Replaces {
		great = append(great, Event{What: Replace, Kind: rig.Gateway, Replica: r.IntN(1 << 16), Down: vacant})
	}
	r.Shuffle(len(great), func(i, j int) { great[i], great[j] = great[j], great[i] })
	for n := range great {
		great[n].At = within(r, o.Over, n, len(great))
	}
	events = append(events, great...)
	slices.SortStableFunc(events, func(a, b Event) int { return cmp.Compare(a.At, b.At) })
	return events
}

// within is a random moment of the n-th of so many equal parts of the time, without its
// first and last twentieth.
func within(r *rand.Rand, over time.Duration, n, parts int) time.Duration {
	part := over * 9 / 10 / time.Duration(parts)
	return over/20 + part*time.Duration(n) + time.Duration(r.Int64N(int64(part)+1))
}
