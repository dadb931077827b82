package seed

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"loom.internal/bench/internal/traffic"
	"loom.internal/pkg/bus"
	"loom.internal/pkg/envelope"
	"loom.internal/pkg/event"
	"loom.internal/pkg/local"
	"loom.internal/pkg/tenant"
)

const (
	inBatch      = 500               // events that are sent before any is waited for
	heaviest     = event.MaxSize / 2 // of an event; what is over leaves its bodies in the object store
	ackLimit     = 30 * time.Second
	lastWord     = 5 * time.Second
	storedLimit  = 10 * time.Minute // of recorder and analytics, for all of it
	pushedLimit  = 15 * time.Second // of the dashboard, to put tenants onto the bus
	pollInterval = 100 * time.Millisecond
)

// Publish sends the traffic as a gateway does, and waits until recorder and analytics
// have it. progress hears how many events are on the stream.
func Publish(ctx context.Context, h Home, o traffic.Options, progress func(int)) (err error) {
	ring, err := h.ring()
	if err != nil {
		return err
	}
	nc, err := bus.Connect("nats://in-process", "seed", slog.New(slog.DiscardHandler), local.DialNATS(h.NATSSocket))
	if err != nil {
		return err
	}
	defer nc.Close()
	p, err := newPublisher(ctx, nc, ring)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.say(ctx, err == nil)) }()
	for r := range traffic.Make(o) {
		if err := p.add(ctx, r); err != nil {
			return err
		}
		if len(p.sent) == inBatch {
			if err := p.flush(ctx); err != nil {
				return err
			}
			progress(int(p.acked))
		}
	}
	if err := p.flush(ctx); err != nil {
		return err
	}
	progress(int(p.acked))
	return p.stored(ctx)
}

// publisher is one life of a gateway.
type publisher struct {
	js     jetstream.JetStream
	bodies *bus.Bodies
	keys   map[string]*envelope.DataKey // by tenant
	life   event.Life
	seq    int64 // the last number given
	acked  int64 // up to here all are on the stream
	sent   []jetstream.PubAckFuture
}

func newPublisher(ctx context.Context, nc *nats.Conn, ring envelope.Wrapper) (*publisher, error) {
	p := &publisher{
		keys: make(map[string]*envelope.DataKey),
		life: event.Life{ProducerID: "seed-" + strings.ToLower(rand.Text()[:8]), Epoch: time.Now().Unix()},
	}
	var err error
	if p.js, err = jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(inBatch)); err != nil {
		return nil, err
	}
	if p.bodies, err = bus.NewBodies(nc); err != nil {
		return nil, err
	}
	kv, err := p.js.KeyValue(ctx, bus.BucketConfig)
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", bus.BucketConfig, err)
	}
	for _, id := range traffic.Tenants() {
		if p.keys[id], err = dataKey(ctx, kv, ring, id); err != nil {
			return nil, fmt.Errorf("data key of tenant %s: %w", id, err)
		}
	}
	return p, nil
}

// dataKey is what bodies of a tenant are sealed with, by its record on the bus.
func dataKey(ctx context.Context, kv jetstream.KeyValue, ring envelope.Wrapper, tenantID string) (k *envelope.DataKey, err error) {
	err = poll(ctx, pushedLimit, func(ctx context.Context) (bool, error) {
		entry, err := kv.Get(ctx, bus.PrefixTenant+tenantID)
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		var t tenant.Tenant
		if err := json.Unmarshal(entry.Value(), &t); err != nil {
			return false, err
		}
		if t.DataKey == nil {
			return false, errors.New("it has none: its keys were shredded")
		}
		k, err = t.DataKey.Unwrap(ctx, ring, tenantID)
		return err == nil, err
	})
	return k, err
}

// add seals a request, gives it the next number and sends it.
func (p *publisher) add(ctx context.Context, r *traffic.Request) error {
	e := r.TraceEvent
	if err := p.seal(r); err != nil {
		return fmt.Errorf("seal %s: %w", e.GetTraceId(), err)
	}
	p.seq++
	e.Producer = &event.Producer{Id: p.life.ProducerID, Epoch: uint64(p.life.Epoch), Seq: uint64(p.seq)} //nolint:gosec // neither is negative
	if err := p.lighten(ctx, e); err != nil {
		return err
	}
	data, err := event.Marshal(e)
	if err != nil {
		return fmt.Errorf("%s: %w", e.GetTraceId(), err)
	}
	msg := &nats.Msg{Subject: event.Subject(e), Header: nats.Header(event.Headers(e)), Data: data}
	msg.Header.Set(jetstream.MsgIDHeader, e.GetTraceId())
	ack, err := p.js.PublishMsgAsync(msg, jetstream.WithExpectStream(bus.StreamTrace))
	if err != nil {
		return fmt.Errorf("publish %s: %w", e.GetTraceId(), err)
	}
	p.sent = append(p.sent, ack)
	return nil
}

func (p *publisher) seal(r *traffic.Request) error {
	request, response := r.Bodies()
	if request == nil && response == nil {
		return nil
	}
	key, err := p.keys[r.GetTenantId()].Trace(r.GetTraceId())
	if err != nil {
		return err
	}
	if r.RequestBody, err = sealed(key, envelope.FieldRequest, request); err != nil {
		return err
	}
	r.ResponseBody, err = sealed(key, envelope.FieldResponse, response)
	return err
}

// sealed is a body as a gateway records it: cut where it is longer than is kept.
func sealed(key *envelope.TraceKey, field envelope.Field, body []byte) (*event.SealedBody, error) {
	if body == nil {
		return nil, nil
	}
	truncated := len(body) > event.MaxBody
	if truncated {
		body = body[:event.MaxBody]
		for !utf8.RuneStart(body[len(body)-1]) {
			body = body[:len(body)-1]
		}
		body = body[:len(body)-1]
	}
	s, err := key.Seal(field, body, envelope.Zstd)
	if err != nil {
		return nil, err
	}
	return &event.SealedBody{
		Ciphertext: s.Ciphertext, Iv: s.IV, Suite: uint32(s.Suite), KeyVersion: s.Epoch, Codec: uint32(s.Codec),
		PlainLength: s.PlainLen, Truncated: truncated,
	}, nil
}

// lighten leaves the bodies of a heavy event in the object store, the longer one first.
func (p *publisher) lighten(ctx context.Context, e *event.TraceEvent) error {
	for proto.Size(e) > heaviest {
		var longest event.Body
		for _, b := range e.Bodies() {
			if len(b.GetCiphertext()) > len(longest.GetCiphertext()) {
				longest = b
			}
		}
		if longest.SealedBody == nil {
			return nil // the bus will say whether it takes it
		}
		if err := p.bodies.Put(ctx, longest); err != nil {
			return err
		}
		longest.Detach()
	}
	return nil
}

// flush waits until all that was sent is on the stream, and says so.
func (p *publisher) flush(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, ackLimit)
	defer cancel()
	for _, ack := range p.sent {
		select {
		case <-ack.Ok():
			p.acked++
		case err := <-ack.Err():
			return fmt.Errorf("publish event %d: %w", p.acked+1, err)
		case <-limited.Done():
			return fmt.Errorf("publish event %d: %w", p.acked+1, context.Cause(limited))
		}
	}
	p.sent = p.sent[:0]
	return p.word(ctx, p.acked)
}

// word tells which numbers there are, and how many of them are not known to be in Postgres.
func (p *publisher) word(ctx context.Context, held int64) error {
	return bus.PutNumbered(ctx, p.js, map[event.Life]bus.Numbered{p.life: {Highest: p.acked, Held: held}})
}

// say has the last word. Where the run was cut short, what was not acknowledged never was:
// the stream has a beginning of what was sent, without a gap.
func (p *publisher) say(ctx context.Context, whole bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWord)
	defer cancel()
	if whole {
		return p.word(ctx, 0)
	}
	select {
	case <-p.js.PublishAsyncComplete():
		return p.word(ctx, 0)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// stored waits until both consumers have told that they have all numbers.
func (p *publisher) stored(ctx context.Context) error {
	kv, err := p.js.KeyValue(ctx, bus.BucketWatermark)
	if err != nil {
		return fmt.Errorf("bucket %s: %w", bus.BucketWatermark, err)
	}
	for _, consumer := range bus.Consumers() {
		err := poll(ctx, storedLimit, func(ctx context.Context) (bool, error) {
			entry, err := kv.Get(ctx, bus.WatermarkKey(consumer, p.life))
			if errors.Is(err, jetstream.ErrKeyNotFound) {
				return p.acked == 0, nil
			}
			if err != nil {
				return false, err
			}
			mark, err := strconv.ParseInt(string(entry.Value()), 10, 64)
			return mark >= p.acked, err
		})
		if err != nil {
			return fmt.Errorf("wait until the %s has %d events: %w", consumer, p.acked, err)
		}
	}
	return nil
}

// poll asks until the answer is yes.
func poll(ctx context.Context, limit time.Duration, done func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		yes, err := done(ctx)
		if yes || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}
