package simulation

import (
	"context"
	"errors"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/event"
	"loom.internal/services/gateway/internal/publish"
)

// publishing is the broker as a gateway sees it.
type publishing struct {
	publish.Broker // what no event here is large enough for
	*line
}

func (p publishing) PublishBatch(ctx context.Context, msgs []*nats.Msg) error {
	refuse := p.chance(30)
	return p.call(ctx, func() error {
		return p.w.broker.do(func() error { return p.w.broker.storeBatch(msgs, refuse) })
	})
}

func (p publishing) Publish(ctx context.Context, msgs []*nats.Msg) (left []*nats.Msg, err error) {
	err = p.call(ctx, func() error {
		return p.w.broker.do(func() error {
			for _, m := range msgs {
				if p.chance(20) {
					left = append(left, m) // it does not get there
					continue
				}
				if p.w.broker.store(m); p.chance(20) {
					left = append(left, m) // nobody hears that it did
				}
			}
			return nil
		})
	})
	if err != nil {
		return msgs, err
	}
	if len(left) > 0 {
		err = errAway
	}
	return left, err
}

func (p publishing) MaxPayload() int64 { return 0 }

func (p publishing) Watermarks(ctx context.Context, lives []event.Life) (event.Watermarks, error) {
	marks := make(event.Watermarks)
	err := p.call(ctx, func() error {
		return p.w.broker.do(func() error {
			for _, life := range lives {
				least, all := int64(math.MaxInt64), true
				for _, consumer := range bus.Consumers() {
					kept, ok := p.w.broker.kv[bus.WatermarkKey(consumer, life)]
					if all = all && ok; ok {
						least = min(least, number(kept.value))
					}
				}
				if all {
					marks[life] = least
				}
			}
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return marks, nil
}

func (p publishing) Number(ctx context.Context, words map[event.Life]bus.Numbered) error {
	return p.call(ctx, func() error {
		return p.w.broker.do(func() error {
			maps.Copy(p.w.broker.words, words)
			return nil
		})
	})
}

func (p publishing) Gone(ctx context.Context, life event.Life, upTo int64) error {
	_, err := bucket{line: p.line}.put(ctx, bus.GoneKey(life), strconv.FormatInt(upTo, 10), nil)
	return err
}

func (p publishing) Made(ctx context.Context) (made time.Time, err error) {
	err = p.call(ctx, func() error {
		return p.w.broker.do(func() error {
			made = p.w.broker.made
			return nil
		})
	})
	return made, err
}

// stream is the broker as a consumer sees it.
type stream struct {
	jetstream.JetStream
	*line
}

func (s stream) Consumer(ctx context.Context, _, durable string) (jetstream.Consumer, error) {
	c := &consumer{line: s.line, durable: durable}
	err := s.call(ctx, func() error {
		return s.w.broker.do(func() error {
			c.info.Created = s.w.broker.made
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Conn tells how often the connection was lost.
func (s stream) Conn() *nats.Conn {
	s.w.broker.mu.Lock()
	defer s.w.broker.mu.Unlock()
	return &nats.Conn{Statistics: nats.Statistics{Reconnects: s.w.broker.downs}}
}

type consumer struct {
	jetstream.Consumer
	*line
	durable string
	info    jetstream.ConsumerInfo
}

func (c *consumer) CachedInfo() *jetstream.ConsumerInfo { return &c.info }

func (c *consumer) Messages(...jetstream.PullMessagesOpt) (jetstream.MessagesContext, error) {
	c.w.broker.mu.Lock()
	defer c.w.broker.mu.Unlock()
	return &messages{line: c.line, durable: c.durable, disk: c.w.broker.disk}, nil
}

// messages delivers to one replica of a consumer.
type messages struct {
	*line
	durable string
	disk    int
	fetched []*delivery
	last    time.Time // when Next gave a message
	drained bool
}

var errNothing = errors.New("no message for a while")

// Next does not see the context in its options, so it comes back after a while: soon
// after a message, when the caller may want to close its batch.
func (m *messages) Next(...jetstream.NextOpt) (jetstream.Msg, error) {
	wait := 3 * time.Second
	if time.Since(m.last) <= bus.BatchWindow {
		wait = bus.BatchWindow + time.Millisecond
	}
	give := time.NewTimer(wait + time.Duration(m.rng.Int64N(int64(time.Millisecond))))
	defer give.Stop()
	for len(m.fetched) == 0 {
		if m.drained || m.killed() {
			return nil, jetstream.ErrMsgIteratorClosed
		}
		if m.pause(context.Background(), m.latency()) != nil {
			continue
		}
		batch, again, err := m.w.broker.fetch(m.durable, m.disk, 1+m.rng.IntN(30))
		if err != nil {
			return nil, err
		}
		if m.fetched = batch; len(batch) > 0 {
			break
		}
		select {
		case <-again:
		case <-m.gone:
		case <-give.C:
			return nil, errNothing
		}
	}
	next := m.fetched[0]
	next.line = m.line
	m.fetched, m.last = m.fetched[1:], time.Now()
	return next, nil
}

func (m *messages) Drain() { m.drained = true }
func (m *messages) Stop()  { m.drained, m.fetched = true, nil }

// delivery is a message on its way to a consumer.
type delivery struct {
	jetstream.Msg
	*line
	msg     *nats.Msg
	seq     uint64
	durable string
}

func (d *delivery) Subject() string      { return d.msg.Subject }
func (d *delivery) Data() []byte         { return d.msg.Data }
func (d *delivery) Headers() nats.Header { return d.msg.Header }
func (d *delivery) Metadata() (*jetstream.MsgMetadata, error) {
	return &jetstream.MsgMetadata{Sequence: jetstream.SequencePair{Stream: d.seq}}, nil
}

func (d *delivery) Ack() error {
	return d.tell(func(of *durable) {
		delete(of.pending, d.seq)
		of.acked[d.seq] = true
	})
}

func (d *delivery) Nak() error {
	return d.tell(func(of *durable) { of.pending[d.seq] = time.Now() })
}

func (d *delivery) InProgress() error {
	if d.killed() {
		return errKilled
	}
	return d.w.broker.settle(d, func(of *durable) { of.pending[d.seq] = time.Now().Add(ackWait) })
}

// tell says something to the broker, which may not hear it.
func (d *delivery) tell(f func(*durable)) error {
	if d.killed() {
		return errKilled
	}
	if d.chance(30) {
		return nil
	}
	return d.w.broker.settle(d, f)
}

// bucket is the one for watermarks, as a consumer sees it.
type bucket struct {
	jetstream.KeyValue
	*line
}

func (s stream) KeyValue(context.Context, string) (jetstream.KeyValue, error) {
	return bucket{line: s.line}, nil
}

// put keeps a value, if what is there is of the wanted revision.
func (b bucket) put(ctx context.Context, key, value string, revision *uint64) (made uint64, err error) {
	err = b.call(ctx, func() error {
		return b.w.broker.do(func() error {
			if revision != nil && b.w.broker.kv[key].revision != *revision {
				return jetstream.ErrKeyRevisionMismatch
			}
			b.w.note("%s puts %s %s", b.name, key[strings.IndexByte(key, '.'):], value)
			b.w.broker.revision++
			made = b.w.broker.revision
			b.w.broker.kv[key] = kept{value: value, revision: made}
			return nil
		})
	})
	return made, err
}

func (b bucket) Create(ctx context.Context, key string, value []byte, _ ...jetstream.KVCreateOpt) (uint64, error) {
	return b.put(ctx, key, string(value), new(uint64(0)))
}

func (b bucket) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	return b.put(ctx, key, string(value), &revision)
}

func (b bucket) Get(ctx context.Context, key string) (entry jetstream.KeyValueEntry, err error) {
	err = b.call(ctx, func() error {
		return b.w.broker.do(func() error {
			found, ok := b.w.broker.kv[key]
			if !ok {
				return jetstream.ErrKeyNotFound
			}
			found.key = key
			entry = found
			return nil
		})
	})
	return entry, err
}

// WatchFiltered gives what is there and nothing that comes.
func (b bucket) WatchFiltered(ctx context.Context, filters []string, _ ...jetstream.WatchOpt) (jetstream.KeyWatcher, error) {
	var all []jetstream.KeyValueEntry
	err := b.call(ctx, func() error {
		return b.w.broker.do(func() error {
			for _, key := range slices.Sorted(maps.Keys(b.w.broker.kv)) {
				if slices.ContainsFunc(filters, func(f string) bool { return strings.HasSuffix(key, strings.TrimLeft(f, "*.")) }) {
					found := b.w.broker.kv[key]
					found.key = key
					all = append(all, found)
				}
			}
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	updates := make(chan jetstream.KeyValueEntry, len(all)+1)
	for _, entry := range append(all, nil) {
		updates <- entry
	}
	return watcher{updates: updates}, nil
}

type watcher struct {
	jetstream.KeyWatcher
	updates chan jetstream.KeyValueEntry
}

func (w watcher) Updates() <-chan jetstream.KeyValueEntry { return w.updates }
func (w watcher) Stop() error                             { return nil }

// kept is an entry of the bucket.
type kept struct {
	jetstream.KeyValueEntry
	key, value string
	revision   uint64
}

func (k kept) Key() string      { return k.key }
func (k kept) Value() []byte    { return []byte(k.value) }
func (k kept) Revision() uint64 { return k.revision }

// Extent is what the stream holds. A broker without its disk makes it anew.
func (s stream) Extent(ctx context.Context) (e bus.Extent, err error) {
	err = s.call(ctx, func() error {
		return s.w.broker.do(func() error {
			e = bus.Extent{Made: s.w.broker.made, First: 1, Last: uint64(len(s.w.broker.stream))}
			return nil
		})
	})
	return e, err
}

// Read gives some of the messages from a number on.
func (s stream) Read(ctx context.Context, from uint64) (msgs []jetstream.Msg, err error) {
	many := 1 + s.rng.IntN(30)
	err = s.call(ctx, func() error {
		return s.w.broker.do(func() error {
			all := s.w.broker.stream
			for seq := from; seq <= uint64(len(all)) && len(msgs) < many; seq++ {
				msgs = append(msgs, &delivery{line: s.line, msg: all[seq-1], seq: seq})
			}
			if len(msgs) == 0 {
				return bus.ErrNoMore
			}
			return nil
		})
	})
	return msgs, err
}
