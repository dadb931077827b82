package spool

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"loom.internal/services/gateway/internal/spool/disk/disktest"
)

var (
	simSeed  = flag.Uint64("spool.seed", 0, "run this schedule only")
	simCount = flag.Uint64("spool.schedules", 3000, "number of simulated schedules")
)

// TestSimulation runs seeded schedules: each a few lives of a spool on one disk, with
// groups of appends, reads and confirmations, and a crash at a random step of the disk.
// After every restart the world is compared with what callers were told.
func TestSimulation(t *testing.T) {
	t.Parallel()
	first, count := uint64(1), *simCount
	if *simSeed != 0 {
		first, count = *simSeed, 1
	}
	if testing.Short() {
		count = min(count, 300)
	}
	for seed := first; seed < first+count && !t.Failed(); seed++ {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, seed)
			for range 2 + w.rng.IntN(4) {
				w.life()
			}
			w.lastLife()
		})
	}
}

// world is one schedule and what its callers know.
type world struct {
	*testing.T
	seed  uint64
	rng   *rand.Rand
	disk  *disktest.Disk
	opt   Options
	power bool // crashes are losses of power

	spool *Spool
	ran   chan error
	nextN uint64
	reqs  map[[16]byte]*req
	order []*req              // of reqs
	at    map[Position]string // what was ever delivered there
	where map[string]Position // and the other way round
	done  map[uint64]uint64   // confirmed, by epoch
	epoch uint64
}

// req is a request as its caller sees it.
type req struct {
	id           [16]byte
	life         uint64 // epoch it was begun in
	begin, end   []byte
	reserve      int
	begun, ended bool // acknowledged
	mayEnd       bool // an End was tried and its outcome is unknown
	beginUnknown bool
	confirmed    bool
}

func newWorld(t *testing.T, seed uint64) *world {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 7))
	w := &world{
		T: t, seed: seed, rng: rng, disk: disktest.New(rng),
		reqs: map[[16]byte]*req{}, at: map[Position]string{}, where: map[string]Position{}, done: map[uint64]uint64{},
	}
	w.opt = Options{
		Durability: Process, MaxBytes: 20000, SegmentBytes: int64(600 + rng.IntN(3000)),
		Interrupted: func(_ [16]byte, begin []byte) ([]byte, error) { return append([]byte("!"), begin...), nil },
	}
	if rng.IntN(2) == 0 {
		w.opt.Durability = Power
		w.power = rng.IntN(3) > 0
	}
	return w
}

func (w *world) fatal(format string, args ...any) {
	w.Helper()
	w.Fatalf("seed %d, epoch %d: %s", w.seed, w.epoch, fmt.Sprintf(format, args...))
}

// start opens the spool, through as many crashes as the disk has for it.
func (w *world) start() {
	for {
		s, err := OpenOn(w.disk, w.opt)
		switch {
		case err == nil:
			w.spool, w.ran = s, make(chan error, 1)
			if s.Epoch() <= w.epoch {
				w.fatal("epoch %d after %d", s.Epoch(), w.epoch)
			}
			w.epoch = s.Epoch()
			return
		case errors.Is(err, disktest.ErrCrashed):
			w.disk.Restart(w.power)
			if w.rng.IntN(3) == 0 {
				w.disk.CrashAfter(w.rng.IntN(12))
			}
		case isFull(err):
			w.disk.Limit(0)
		default:
			w.fatal("open: %v", err)
		}
	}
}

func (w *world) life() {
	if w.rng.IntN(2) == 0 {
		w.disk.CrashAfter(w.rng.IntN(12)) // crash in recovery
	}
	w.start()
	if w.rng.IntN(4) > 0 {
		w.disk.CrashAfter(w.rng.IntN(60))
	}
	switch w.rng.IntN(8) {
	case 0:
		w.disk.Limit(w.disk.Used() + int64(w.rng.IntN(4000)))
	case 1:
		w.disk.FailSync(w.rng.IntN(20))
	case 2:
		w.disk.FailWrite(w.rng.IntN(40), syscall.EIO)
	case 3:
		w.disk.FailWrite(w.rng.IntN(40), syscall.EROFS)
	default:
		w.disk.Limit(0)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() { w.ran <- w.spool.Run(ctx) }()
	synctest.Wait()
	for range w.rng.IntN(25) {
		w.appendGroup()
		switch w.rng.IntN(4) {
		case 0:
			w.check(w.spool, false)
		case 1:
			w.confirm()
		}
		if w.disk.Crashed() {
			break
		}
		if w.rng.IntN(8) == 0 {
			w.disk.Limit(0)
		}
	}
	cancel()
	err := <-w.ran
	if err != nil && !errors.Is(err, ErrFailed) {
		w.fatal("run: %v", err)
	}
	if err := w.spool.enqueue(&op{}); !errors.Is(err, ErrClosed) && !errors.Is(err, ErrFailed) {
		w.fatal("append after Run: %v", err)
	}
	w.disk.Restart(w.power)
}

// appendGroup queues a few begins and ends at once and notes the answers.
func (w *world) appendGroup() {
	var ops []*op
	var of []*req
	for range 1 + w.rng.IntN(5) {
		r := w.pickOpen(of)
		if r == nil || w.rng.IntN(2) == 0 {
			r = &req{life: w.epoch, begin: w.payload(200), reserve: w.rng.IntN(300)}
			w.nextN++
			binary.BigEndian.PutUint64(r.id[8:], w.nextN)
			w.reqs[r.id] = r
			w.order = append(w.order, r)
			ops = append(ops, &op{kind: kindBegin, id: r.id, payload: r.begin, reserve: int64(r.reserve)})
		} else {
			r.end = w.payload(r.reserve)
			if w.rng.IntN(8) == 0 {
				r.end = w.payload(900)
			}
			ops = append(ops, &op{kind: kindEnd, id: r.id, payload: r.end})
		}
		of = append(of, r)
	}
	for _, o := range ops {
		o.sum, o.done = checksum(o.payload), make(chan error, 1)
	}
	if err := w.spool.enqueue(ops...); err != nil {
		for i, o := range ops {
			w.note(o, of[i], ErrFull) // surely not written
		}
		return
	}
	synctest.Wait()
	for i, o := range ops {
		w.note(o, of[i], <-o.done)
	}
}

func (w *world) note(o *op, r *req, err error) {
	known := err == nil || !errors.Is(err, ErrFailed)
	if o.kind == kindBegin {
		r.begun, r.beginUnknown = err == nil, !known
	} else {
		r.ended, r.mayEnd = err == nil, !known
		if errors.Is(err, ErrFull) && len(o.payload) <= r.reserve && !isStopped(w.spool) {
			w.fatal("end of %d bytes with %d set aside: %v", len(o.payload), r.reserve, err)
		}
	}
	if err != nil && !isFull(err) && !errors.Is(err, ErrFailed) {
		w.fatal("append: %v", err)
	}
}

func isStopped(s *Spool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err != nil
}

// pickOpen returns a request of this life that can be ended, and is not in the group.
func (w *world) pickOpen(group []*req) *req {
	for range 4 {
		if len(w.order) == 0 {
			return nil
		}
		r := w.order[max(len(w.order)-1-w.rng.IntN(12), 0)]
		busy := false
		for _, g := range group {
			busy = busy || g == r
		}
		if r.life == w.epoch && r.begun && !r.ended && !r.mayEnd && !busy {
			return r
		}
	}
	return nil
}

func (w *world) payload(n int) []byte {
	b := make([]byte, w.rng.IntN(n+1))
	for i := range b {
		b[i] = byte(w.rng.Uint32())
	}
	return b
}

// drain reads all that is delivered after a position.
func (w *world) drain(s *Spool, after Position) []Entry {
	var all []Entry
	for {
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		entries, err := s.Next(ctx, after, 1+w.rng.IntN(7), 1+w.rng.IntN(2000))
		cancel()
		if err != nil {
			return all
		}
		all = append(all, entries...)
		after = all[len(all)-1].Position
	}
}

// check compares what is delivered from the start with what callers were told. With
// settled, nothing is open any more.
func (w *world) check(s *Spool, settled bool) []Entry {
	entries := w.drain(s, Position{})
	times := map[[16]byte]int{}
	var last Position
	for _, e := range entries {
		if e.Epoch < last.Epoch || e.Epoch == last.Epoch && e.Seq != last.Seq+1 ||
			e.Epoch > last.Epoch && e.Seq > w.done[e.Epoch]+1 {
			w.fatal("%v delivered after %v", e.Position, last)
		}
		last = e.Position
		what := string(e.ID[:])
		if e.Lost {
			what = "lost"
			if w.opt.Durability == Process {
				w.fatal("%v is lost without a power loss", e.Position)
			}
		}
		if was, ok := w.at[e.Position]; ok && was != what {
			w.fatal("%v was %x, now %x", e.Position, was, what)
		}
		w.at[e.Position] = what
		if e.Lost {
			continue
		}
		if was, ok := w.where[what]; ok && was != e.Position {
			w.fatal("id %x is at %v and at %v", e.ID, was, e.Position)
		}
		w.where[what] = e.Position
		times[e.ID]++
		r := w.reqs[e.ID]
		switch {
		case r == nil || !r.begun && !r.beginUnknown:
			w.fatal("%v was never begun", e.Position)
		case e.Interrupted && (r.ended || r.life == w.epoch):
			w.fatal("%v ended and is interrupted", e.Position)
		case e.Interrupted && !bytes.Equal(e.Payload, append([]byte("!"), r.begin...)):
			w.fatal("%v: payload of interrupted differs", e.Position)
		case !e.Interrupted && (!r.ended && !r.mayEnd || !bytes.Equal(e.Payload, r.end)):
			w.fatal("%v: not what was ended", e.Position)
		}
	}
	for _, r := range w.order {
		must := r.ended || settled && r.begun
		if must && !r.confirmed && times[r.id] != 1 || times[r.id] > 1 {
			w.fatal("request %x (begun in %d, ended %v) delivered %d times", r.id, r.life, r.ended, times[r.id])
		}
	}
	return entries
}

// confirm confirms up to a random event.
func (w *world) confirm() {
	entries := w.check(w.spool, false)
	if len(entries) > 0 {
		w.confirmTo(entries[:w.rng.IntN(len(entries)+1)])
	}
}

func (w *world) confirmTo(entries []Entry) {
	for _, e := range entries {
		w.done[e.Epoch] = max(w.done[e.Epoch], e.Seq)
		if !e.Lost {
			w.reqs[e.ID].confirmed = true
		}
	}
	for epoch, seq := range w.done {
		w.spool.Confirm(epoch, seq)
	}
	synctest.Wait()
}

// lastLife is without faults: everything is delivered, confirmed and removed.
func (w *world) lastLife() {
	w.disk.Limit(0)
	w.start()
	ctx, cancel := context.WithCancel(context.Background())
	go func() { w.ran <- w.spool.Run(ctx) }()
	synctest.Wait()
	entries := w.check(w.spool, true)
	w.confirmTo(entries)
	if st := w.spool.Stats(); st.Events != 0 || st.Open != 0 || st.Reserved != 0 || st.Segments != 1 {
		w.fatal("left after all is confirmed: %+v", st)
	}
	cancel()
	if err := <-w.ran; err != nil {
		w.fatal("run: %v", err)
	}
	if err := w.spool.Close(); err != nil {
		w.fatal("close: %v", err)
	}
}
