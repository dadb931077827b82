package simulation

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"loom.internal/pkg/bus"
	"loom.internal/services/gateway/internal/spool"
)

// world is one schedule.
type world struct {
	t     *testing.T
	seed  uint64
	began time.Time
	loud  bool

	durability spool.Durability
	power      bool // the gateway's machine may lose its power
	steady     bool // nothing befalls the gateway: it alone has to see what others lost
	forgetful  bool // stores lose their last transactions
	restores   bool // the gateway's disk may be one from before, when it is back
	segment    int64
	resend     time.Duration
	broker     *broker
	stores     map[string]*store
	losses     *losses
	over       chan struct{} // closed when all is to end

	mu       sync.Mutex
	place    map[string]*plot    // by name
	calm     bool                // nothing fails any more
	gateways map[int]*gateway    // that serve, by lane
	adopted  int                 // spools
	lives    map[string]*process // the present ones
	requests map[string]*request // by trace id
	journal  journal
	failure  string
}

// outcome is what a schedule came to, for the sum over all of them.
type outcome struct {
	failure                                                 string
	journal                                                 journal
	sent, released, interrupted, lost, lives, disks, faults int
	forgotten, nowhere, restored, adopted                   int
}

func newWorld(t *testing.T, seed uint64, loud bool) *world {
	t.Helper()
	w := &world{
		t: t, seed: seed, loud: loud, began: time.Now(), stores: map[string]*store{}, over: make(chan struct{}),
		place: map[string]*plot{}, gateways: map[int]*gateway{}, lives: map[string]*process{}, requests: map[string]*request{}, durability: spool.Process,
	}
	rng := w.dice("world")
	w.segment = 3000 + rng.Int64N(20000)
	w.resend = []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute}[rng.IntN(3)]
	if rng.IntN(2) == 0 {
		w.durability, w.power = spool.Power, true
	}
	w.steady = rng.IntN(4) == 0
	switch rng.IntN(4) {
	case 0:
		w.forgetful = true
	case 1:
		w.restores = !w.steady
	}
	w.losses = newLosses(w)
	w.broker = newBroker(w)
	for _, name := range bus.Consumers() {
		w.stores[name] = newStore(w, name)
	}
	return w
}

// run plays the schedule.
func (w *world) run() outcome {
	rng := w.dice("load")
	until := w.began.Add(20*time.Second + time.Duration(rng.Int64N(int64(2*time.Minute))))
	var parts, load sync.WaitGroup
	for lane := range w.lanes() {
		parts.Go(func() { w.serve(lane) })
	}
	for i, name := range bus.Consumers() {
		for replica := range 1 + int(w.seed>>i&1) { // one or two
			parts.Go(func() { w.consume(name, replica) })
		}
	}
	load.Go(func() { w.load(rng, 10+rng.IntN(60), until) })
	faults := w.misfortune(w.dice("misfortune"), until)
	load.Wait()
	w.quiet()
	close(w.over)
	parts.Wait()
	w.check()
	out := outcome{failure: w.failure, journal: w.journal, disks: w.broker.disk, faults: faults}
	for _, r := range w.requests {
		out.count(w, r)
	}
	out.lost = len(w.stores[bus.ConsumerRecorder].dead)
	out.lives = len(w.stores[bus.ConsumerRecorder].lives)
	out.adopted = w.adopted
	out.forgotten, out.nowhere, out.restored = w.losses.lost, w.losses.numbers(), w.losses.restores
	return out
}

// misfortune has something happen now and then, and sometimes much at once.
func (w *world) misfortune(rng *rand.Rand, until time.Time) (count int) {
	var undone sync.WaitGroup
	for {
		<-time.After(time.Duration(rng.Int64N(int64(12 * time.Second))))
		if time.Now().After(until) {
			break
		}
		times := 1
		if rng.IntN(4) == 0 {
			times += rng.IntN(4)
		}
		for range times {
			w.strike(rng, &undone)
			count++
		}
	}
	undone.Wait()
	return count
}

// strike has one thing fail, for a while.
func (w *world) strike(rng *rand.Rand, undone *sync.WaitGroup) {
	consumer := bus.Consumers()[rng.IntN(2)]
	after := func(most time.Duration, undo func()) {
		d := time.Duration(rng.Int64N(int64(most)))
		undone.Go(func() { <-time.After(d); undo() })
	}
	switch {
	case w.forgetful && rng.IntN(5) == 0:
		n := 1 + rng.IntN(6)
		if rng.IntN(4) == 0 {
			n = 1000
		}
		for _, name := range bus.Consumers() {
			if name == consumer || rng.IntN(2) == 0 {
				w.losses.add(name, w.stores[name].forget(n))
			}
		}
		return
	case w.restores && rng.IntN(4) == 0:
		if p := w.any(rng); p != nil {
			w.copy(p)
		}
		return
	}
	p, what := w.any(rng), rng.IntN(11)
	if w.steady || p == nil {
		what = 7 + rng.IntN(4)
	}
	switch what {
	case 0:
		p.disk.Crash()
	case 1, 2:
		p.disk.CrashAfter(rng.IntN(30))
	case 3:
		w.signal("gateway-" + strconv.Itoa(rng.IntN(w.lanes())))
	case 4:
		p.disk.FailSync(rng.IntN(10))
	case 5:
		p.disk.Limit(p.disk.Used() + rng.Int64N(20000))
		after(20*time.Second, func() { p.disk.Limit(0) })
	case 6:
		p.disk.FailWrite(rng.IntN(10), []syscall.Errno{syscall.EIO, syscall.EROFS}[rng.IntN(2)])
	case 7:
		w.kill(consumer + "-" + strconv.Itoa(rng.IntN(2)))
	case 8:
		w.note("the store of %s is away", consumer)
		w.stores[consumer].setAway(true)
		after(time.Minute, func() { w.note("the store of %s is back", consumer); w.stores[consumer].setAway(false) })
	default:
		wipe := rng.IntN(2) == 0
		w.note("the broker is down, its disk lost %v", wipe)
		w.broker.down(wipe, rng)
		after(time.Minute, func() { w.note("the broker is up"); w.broker.start() })
	}
}

// quiet lets nothing fail any more and waits until all is where it should be.
func (w *world) quiet() {
	w.mu.Lock()
	w.calm = true
	w.mu.Unlock()
	w.note("calm")
	for _, p := range w.plots() {
		p.disk.CrashAfter(-1)
		p.disk.FailSync(-1)
		p.disk.FailWrite(-1, 0)
		p.disk.Limit(0)
	}
	w.broker.start()
	for _, s := range w.stores {
		s.setAway(false)
	}
	// A number that was acknowledged and lost again is stored once its id is forgotten.
	const patience = 15 * time.Minute
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for start := time.Now(); ; <-tick.C {
		var left spool.Stats
		served, settled := map[string]bool{}, true
		for _, g := range w.servers() {
			served[g.spool.Producer()] = true
			left = g.spool.Stats()
			settled = settled && left.Events == 0 && left.Open == 0 && left.Segments == 1 && w.broker.told(g.spool)
		}
		if settled && len(served) > 0 && w.empty(served) && w.losses.settled() {
			w.note("quiet")
			return
		}
		if time.Since(start) > patience {
			w.fail("not quiet after %v: the spool holds %+v", patience, left)
			return
		}
	}
}

func (w *world) isCalm() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calm
}

func (w *world) isOver() bool {
	select {
	case <-w.over:
		return true
	default:
		return false
	}
}

// rest is the time between two lives of a program.
func (w *world) rest(rng *rand.Rand, most time.Duration) {
	if w.isCalm() {
		most = 100 * time.Millisecond
	}
	select {
	case <-time.After(time.Duration(rng.Int64N(int64(most)))):
	case <-w.over:
	}
}

// running notes who to kill.
func (w *world) running(name string, replica int, p *process) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lives[name+"-"+strconv.Itoa(replica)] = p
}

func (w *world) life(name string) *process {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lives[name]
}

func (w *world) kill(name string) {
	if p := w.life(name); p != nil {
		p.dead()
	}
}

func (w *world) signal(name string) {
	if p := w.life(name); p != nil {
		p.told()
	}
}

// serving says which gateway of a lane takes requests; nil is none.
func (w *world) serving(lane int, g *gateway) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gateways[lane] = g; g == nil {
		delete(w.gateways, lane)
	}
}

// servers are the gateways that take requests.
func (w *world) servers() []*gateway {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := make([]*gateway, 0, len(w.gateways))
	for _, lane := range slices.Sorted(maps.Keys(w.gateways)) {
		list = append(list, w.gateways[lane])
	}
	return list
}

// enter is the way in of a request, through one of the gateways. Its requests.Done is due.
func (w *world) enter(i int) *gateway {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.gateways) == 0 {
		return nil
	}
	lanes := slices.Sorted(maps.Keys(w.gateways))
	g := w.gateways[lanes[i%len(lanes)]]
	g.requests.Add(1)
	return g
}

// count takes note of what a gateway has adopted.
func (w *world) count(metrics *prometheus.Registry) {
	families, err := metrics.Gather()
	if err != nil {
		w.fail("metrics: %v", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range families {
		if f.GetName() == "loom_gateway_spools_adopted_total" {
			w.adopted += int(f.GetMetric()[0].GetCounter().GetValue())
		}
	}
}

func (w *world) know(r *request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.requests[r.begin.GetTraceId()] = r
}

// journal is what happened, and when.
type journal []entry

type entry struct {
	at   time.Duration
	what string
}

// note writes the journal, which is told when the schedule fails.
func (w *world) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.journal = append(w.journal, entry{time.Since(w.began), strings.TrimSpace(fmt.Sprintf(format, args...))})
}

// String is in an order that does not depend on who was first within a moment.
func (j journal) String() string {
	j = slices.Clone(j)
	slices.SortFunc(j, func(a, b entry) int { return cmp.Or(cmp.Compare(a.at, b.at), strings.Compare(a.what, b.what)) })
	var b strings.Builder
	for _, e := range j {
		fmt.Fprintf(&b, "%14s  %s\n", e.at, e.what)
	}
	return b.String()
}

// fail keeps the first thing that is wrong.
func (w *world) fail(format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	w.note("WRONG: %s", what)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failure == "" {
		w.failure = what
	}
}
