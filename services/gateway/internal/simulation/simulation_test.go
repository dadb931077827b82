package simulation

import (
	"flag"
	"fmt"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
)

var (
	seedFlag  = flag.Uint64("simulation.seed", 0, "run this schedule only, and tell all that happens in it")
	fromFlag  = flag.Uint64("simulation.from", 1, "the first schedule")
	countFlag = flag.Uint64("simulation.schedules", 600, "number of schedules")
)

// play runs one schedule.
func play(t *testing.T, seed uint64, loud bool) (out outcome) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { out = newWorld(t, seed, loud).run() })
	return out
}

// TestSimulation: whatever fails and whenever, what was promised to clients and providers
// is recorded, once, by both consumers.
//
//nolint:tparallel // the workers are parallel
func TestSimulation(t *testing.T) {
	t.Parallel()
	if *seedFlag != 0 {
		out := play(t, *seedFlag, true)
		t.Logf("%s\nseed %d: %s", out.journal, *seedFlag, out.sum())
		if out.failure != "" {
			t.Errorf("seed %d: %s", *seedFlag, out.failure)
		}
		return
	}
	began := time.Now()
	var next atomic.Uint64
	next.Store(*fromFlag)
	end, workers := *fromFlag+*countFlag, runtime.GOMAXPROCS(0)
	sums := make(chan outcome, workers)
	t.Run("workers", func(t *testing.T) {
		for i := range workers {
			t.Run(strconv.Itoa(i), func(t *testing.T) {
				t.Parallel()
				var sum outcome
				for !t.Failed() {
					seed := next.Add(1) - 1
					if seed >= end {
						break
					}
					out := play(t, seed, false)
					if out.failure != "" {
						next.Store(end) // the others stop
						t.Errorf("seed %d: %s\n%s\nto see more: go test ./services/gateway/internal/simulation -v -simulation.seed=%d", seed, out.failure, out.journal, seed)
					}
					sum.add(out)
				}
				sums <- sum
			})
		}
	})
	var all outcome
	for range workers {
		all.add(<-sums)
	}
	t.Logf("%d schedules from seed %d in %v: %s", *countFlag, *fromFlag, time.Since(began).Round(time.Millisecond), all.sum())
	if t.Failed() || *countFlag < 200 {
		return
	}
	for what, n := range map[string]int{
		"requests sent": all.sent, "whole answers": all.released, "interrupted requests": all.interrupted, "faults": all.faults,
		"gateways with events": all.lives, "lost disks of brokers": all.disks - int(*countFlag), "restored disks": all.restored, "adopted spools": all.adopted,
		"numbers lost by stores": all.forgotten, "numbers that were nowhere": all.nowhere,
	} {
		if n <= 0 {
			t.Errorf("there are no %s: the schedules try nothing", what)
		}
	}
}

// TestSeedsReplay: a seed tells the same story again. Nearly always: which of several
// channels a select takes is the one thing that is left to chance, and with two gateways
// there are more of them.
func TestSeedsReplay(t *testing.T) {
	t.Parallel()
	const seeds = 40
	same := 0
	for seed := uint64(1); seed <= seeds; seed++ {
		first, second := play(t, seed, false), play(t, seed, false)
		if first.journal.String() == second.journal.String() {
			same++
		}
	}
	if t.Logf("%d of %d", same, seeds); same < seeds/3 {
		t.Errorf("%d of %d seeds tell the same story twice", same, seeds)
	}
}

func (o *outcome) add(p outcome) {
	o.sent += p.sent
	o.released += p.released
	o.interrupted += p.interrupted
	o.lost += p.lost
	o.lives += p.lives
	o.disks += p.disks
	o.faults += p.faults
	o.forgotten += p.forgotten
	o.nowhere += p.nowhere
	o.restored += p.restored
	o.adopted += p.adopted
}

func (o *outcome) sum() string {
	return fmt.Sprintf("%d requests sent to a provider, %d whole answers, %d interrupted, %d numbers of what nobody was promised; %d faults, %d lives of gateways with events, %d disks of brokers, %d disks of gateways restored from a copy, %d spools adopted; %d numbers lost by stores, %d that were nowhere then",
		o.sent, o.released, o.interrupted, o.lost, o.faults, o.lives, o.disks, o.restored, o.adopted, o.forgotten, o.nowhere)
}

func uuidText(id [16]byte) string { return uuid.UUID(id).String() }

func number(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}
