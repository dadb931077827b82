package simulation

import (
	"sync"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/event"
)

// losses is what stores have lost and what has gone with disks: what still is somewhere
// has to come back, and what is nowhere may be missing.
type losses struct {
	w *world

	mu       sync.Mutex
	astray   map[string]map[event.Place]bool // by store: lost, and not back
	gone     map[string]map[event.Place]bool // of those, what was nowhere at some time
	traces   map[event.Place]string          // by where their ends stand
	ids      map[string]bool                 // traces that were begun on a disk that is gone, and not ended
	double   map[string]bool                 // traces that may have ended twice
	lost     int                             // numbers that stores have lost
	restores int
}

func newLosses(w *world) *losses {
	l := &losses{w: w, astray: map[string]map[event.Place]bool{}, gone: map[string]map[event.Place]bool{}, traces: map[event.Place]string{}, ids: map[string]bool{}, double: map[string]bool{}}
	for _, name := range bus.Consumers() {
		l.astray[name], l.gone[name] = map[event.Place]bool{}, map[event.Place]bool{}
	}
	return l
}

// add takes what a store has lost.
func (l *losses) add(store string, places []event.Place) {
	l.mu.Lock()
	for _, p := range places {
		l.astray[store][p] = true
	}
	l.lost += len(places)
	l.mu.Unlock()
	l.look()
}

// look is vanished for all disks.
func (l *losses) look() {
	for _, p := range l.w.plots() {
		files := p.disk.Files()
		l.vanished(producer(files), files)
	}
}

// back takes what a store has stored.
func (l *losses) back(store string, places []event.Place, events []*event.TraceEvent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range events {
		l.traces[e.Place()] = e.GetTraceId()
	}
	for _, p := range places {
		delete(l.astray[store], p)
	}
}

// vanished is called when something has gone from somewhere: from then on, what is astray
// of this producer, and neither on the stream nor on its disk, is nowhere.
func (l *losses) vanished(producer string, files map[string][]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := map[event.Place]bool{}
	for _, of := range l.astray {
		for p := range of {
			if p.ProducerID == producer {
				all[p] = true
			}
		}
	}
	if len(all) == 0 {
		return
	}
	on, disk := l.w.broker.has(all), ends(files)
	for name, of := range l.astray {
		for p := range of {
			if all[p] && !on[p] && disk[[2]uint64{uint64(p.Epoch), uint64(p.Seq)}] == ([16]byte{}) {
				l.gone[name][p] = true
			}
		}
	}
}

// ends are those in segments, with their traces.
func ends(files map[string][]byte) map[[2]uint64][16]byte {
	all := map[[2]uint64][16]byte{}
	for name, data := range files {
		if isSegment(name) {
			for _, r := range records(data) {
				if !r.begin {
					all[[2]uint64{r.epoch, r.seq}] = r.id
				}
			}
		}
	}
	return all
}

// begins are the traces begun in segments.
func begins(files map[string][]byte) map[[16]byte]bool {
	all := map[[16]byte]bool{}
	for name, data := range files {
		if isSegment(name) {
			for _, r := range records(data) {
				if r.begin {
					all[r.id] = true
				}
			}
		}
	}
	return all
}

// restored is called when a disk is one from before.
func (l *losses) restored(was, is map[string][]byte) {
	of := producer(was)
	isEnd, isBegun := ends(is), begins(is)
	left, ended := map[[16]byte]bool{}, map[[16]byte]bool{}
	for _, id := range isEnd {
		left[id] = true
	}
	for at, id := range ends(was) {
		ended[id] = true
		if _, still := isEnd[at]; still {
			continue
		}
		p := event.Place{ProducerID: of, Epoch: int64(at[0]), Seq: int64(at[1])}
		for name, s := range l.w.stores {
			if !s.hasSeq(of, at[0], at[1]) {
				l.mu.Lock()
				l.astray[name][p], l.traces[p] = true, uuidText(id)
				l.mu.Unlock()
			}
		}
	}
	l.mu.Lock()
	l.restores++
	for id := range begins(was) {
		if !isBegun[id] && !left[id] && !ended[id] {
			l.ids[uuidText(id)] = true
		}
	}
	// What ended and went from the disk since the copy was made is there again, begun.
	for id := range isBegun {
		if !left[id] {
			l.double[uuidText(id)] = true
		}
	}
	l.mu.Unlock()
	l.vanished(of, is)
}

func (l *losses) isDouble(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.double[id]
}

// settled reports whether all that is somewhere is back.
func (l *losses) settled() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, of := range l.astray {
		for p := range of {
			if !l.gone[name][p] {
				return false
			}
		}
	}
	return true
}

func (l *losses) isGone(store string, p event.Place) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.gone[store][p]
}

// mayLack reports whether a store may lack a trace.
func (l *losses) mayLack(store, id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p := range l.gone[store] {
		if l.traces[p] == id {
			return true
		}
	}
	return l.ids[id]
}

// numbers is how many were nowhere.
func (l *losses) numbers() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, of := range l.gone {
		n += len(of)
	}
	return n
}

func (l *losses) isAstray(store, producer string, epoch, seq uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.astray[store][event.Place{ProducerID: producer, Epoch: int64(epoch), Seq: int64(seq)}]
}
