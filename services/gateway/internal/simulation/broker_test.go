package simulation

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/event"
	"loom.internal/services/gateway/internal/publish"
	"loom.internal/services/gateway/internal/spool"
)

const (
	dedupeWindow = 5 * time.Minute
	ackWait      = 30 * time.Second
)

var errAway = errors.New("cannot be reached")

// broker is a JetStream of one server that syncs before it answers: what it has said to
// have, it has, until its disk is lost.
type broker struct {
	w *world

	mu       sync.Mutex
	up       bool
	disk     int // how many it has had
	made     time.Time
	downs    uint64
	ready    bool
	stream   []*nats.Msg // by sequence, from 1
	known    map[string]time.Time
	durables map[string]*durable
	kv       map[string]kept
	revision uint64
	words    map[event.Life]bus.Numbered
	changed  chan struct{} // closed when there may be something to fetch
}

// durable is a consumer's place in the stream.
type durable struct {
	next    uint64
	pending map[uint64]time.Time // delivered, and when again
	acked   map[uint64]bool
}

func newBroker(w *world) *broker {
	b := &broker{w: w, up: true, changed: make(chan struct{})}
	b.format()
	b.ready = true
	return b
}

// format makes an empty disk; mu is held.
func (b *broker) format() {
	b.disk++
	b.made = time.Now()
	b.ready, b.stream = false, nil
	b.known, b.kv, b.durables = map[string]time.Time{}, map[string]kept{}, map[string]*durable{}
	b.words = map[event.Life]bus.Numbered{}
	for _, name := range bus.Consumers() {
		b.durables[name] = &durable{next: 1, pending: map[uint64]time.Time{}, acked: map[uint64]bool{}}
	}
}

func (b *broker) broadcast() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// do has f done while the broker is up and its stream is there.
func (b *broker) do(f func() error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.up || !b.ready {
		return errAway
	}
	return f()
}

// down stops the broker. What it knows of acknowledgements may be a little old when it
// is back, and with wipe it has nothing.
func (b *broker) down(wipe bool, rng *rand.Rand) {
	if wipe {
		defer func() { b.w.losses.look() }()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.up = false
	b.downs++
	for _, name := range bus.Consumers() {
		d := b.durables[name]
		for _, seq := range slices.Sorted(maps.Keys(d.acked)) {
			if rng.IntN(10) == 0 {
				delete(d.acked, seq)
				d.pending[seq] = time.Now()
			}
		}
	}
	if wipe {
		b.format()
	}
	b.broadcast()
}

// start brings the broker back, and whatever makes its streams.
func (b *broker) start() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.up, b.ready = true, true
	b.broadcast()
}

// told reports whether the last word about each epoch in s is right, once all is confirmed.
func (b *broker) told(s *spool.Spool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for epoch, n := range s.Numbers() {
		life := event.Life{ProducerID: s.Producer(), Epoch: int64(epoch)}
		if b.words[life] != (bus.Numbered{Highest: int64(n.Highest)}) {
			return false
		}
	}
	return true
}

func id(m *nats.Msg) string { return m.Header.Get(jetstream.MsgIDHeader) }

// knows reports whether an id was stored within the window; mu is held.
func (b *broker) knows(m *nats.Msg) bool {
	at, ok := b.known[id(m)]
	return ok && time.Since(at) < dedupeWindow
}

// store takes a message in, unless it has it; mu is held.
func (b *broker) store(m *nats.Msg) {
	if b.knows(m) {
		return
	}
	b.known[id(m)] = time.Now()
	b.stream = append(b.stream, m)
	b.broadcast()
}

// storeBatch stores all or none; mu is held.
func (b *broker) storeBatch(msgs []*nats.Msg, refuse bool) error {
	if refuse || slices.ContainsFunc(msgs, b.knows) {
		return fmt.Errorf("%w: a message id is known (10201)", publish.ErrRefused)
	}
	for _, m := range msgs {
		b.store(m)
	}
	return nil
}

// fetch gives at most n messages, those to be delivered again first, and when to ask
// again. disk is that on which the caller found the durable.
func (b *broker) fetch(name string, disk, n int) (batch []*delivery, again <-chan struct{}, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case !b.up || !b.ready:
		return nil, b.changed, nil
	case b.disk != disk:
		return nil, nil, jetstream.ErrConsumerDeleted
	}
	d, now := b.durables[name], time.Now()
	for _, seq := range slices.Sorted(maps.Keys(d.pending)) {
		if len(batch) < n && !d.pending[seq].After(now) {
			batch = append(batch, &delivery{msg: b.stream[seq-1], seq: seq, durable: name})
		}
	}
	for ; len(batch) < n && d.next <= uint64(len(b.stream)); d.next++ {
		batch = append(batch, &delivery{msg: b.stream[d.next-1], seq: d.next, durable: name})
	}
	for _, m := range batch {
		d.pending[m.seq] = now.Add(ackWait)
	}
	return batch, b.changed, nil
}

// has is which of these places are on the stream.
func (b *broker) has(places map[event.Place]bool) map[event.Place]bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	found := map[event.Place]bool{}
	for _, m := range b.stream {
		if p, ok := event.ParsePlace(m.Header.Get(event.HeaderProducer), m.Header.Get(event.HeaderSeq)); ok && places[p] {
			found[p] = true
		}
	}
	return found
}

// settle changes what is to become of a delivery. The broker knows it by its number
// alone: that of a message on a disk it has lost may be that of another one now.
func (b *broker) settle(m *delivery, f func(*durable)) error {
	return b.do(func() error {
		if d := b.durables[m.durable]; !d.pending[m.seq].IsZero() {
			f(d)
		}
		return nil
	})
}
