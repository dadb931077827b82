package simulation

import (
	"context"
	"errors"
	"maps"
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

func (p publishing) Watermarks(ctx context.Context, lives []event.Life) (map[string]event.Watermarks, error) {
	marks := make(map[string]event.Watermarks)
	err := p.call(ctx, func() error {
		return p.w.broker.do(func() error {
			for _, consumer := range bus.Consumers() {
				marks[consumer] = make(event.Watermarks)
				for _, life := range lives {
					if text, ok := p.w.broker.kv[bus.WatermarkKey(consumer, life)]; ok {
						marks[consumer][life] = number(text)
					}
				}
			}
			return nil
		})
	})
	if err != nil {
		return nil, nil //nolint:nilerr,nilnil // as the broker that cannot be asked
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

func (b bucket) PutString(ctx context.Context, key, value string) (uint64, error) {
	return 0, b.call(ctx, func() error {
		return b.w.broker.do(func() error {
			b.w.note("%s puts %s %s", b.name, key[strings.IndexByte(key, '.'):], value)
			b.w.broker.kv[key] = value
			return nil
		})
	})
}
