package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"loom.internal/pkg/event"
	"loom.internal/pkg/faultpoint"
)

// maxReason bounds what is kept of an error's text with a dead event, in bytes.
const maxReason = 1 << 10

// Projection keeps a store in step with the stream: events that decode go to Store, the
// others are set aside with it.
//
//	batch ──Decode, Check──▶ events ──Fetch──┐
//	             └─────────▶ dead  ──────────┴▶ Store (one transaction) ──▶ ack
//	                                              └ its data is bad: halve, until the bad event is alone and dead
type Projection struct {
	Durable string // consumer of StreamTrace

	// Store commits events and dead together and says how many of the events it did
	// not have yet. It may be given what it has stored before.
	Store func(ctx context.Context, events []*event.TraceEvent, dead []event.Dead) (fresh int, err error)

	// Check, if set, refuses an event that decoded but that Store cannot take.
	Check func(*event.TraceEvent) error

	// Fetch, if set, brings an event, which the stream took at the time stored, the
	// bodies it came without. An event of bad data is set aside and awaited again from
	// its gateway, see event.Dead. A batch with many of them is stored in several
	// transactions, so that few are held at a time.
	Fetch func(ctx context.Context, e *event.TraceEvent, stored time.Time) error

	// BadData reports whether an error of Store is the fault of an event, so that the
	// same events can never be stored together, or one of Fetch that of its event. Any
	// other error is the store's: the batch is kept and tried again.
	BadData func(error) bool

	// Stream is where events that the store has lost are looked for; nil is the broker's.
	Stream Stream

	Metrics *ProjectionMetrics
	Log     *slog.Logger
}

// Run consumes the projection's durable until ctx ends; see Consume.
func (p *Projection) Run(ctx context.Context, js jetstream.JetStream) error {
	return Consume(ctx, js, p.Durable, p.Log, p.Handle)
}

// Handle stores one batch. It is a [Handler].
func (p *Projection) Handle(ctx context.Context, batch []jetstream.Msg) error {
	faultpoint.HitIn(p.Durable, "received")
	from := time.Now()
	var (
		good []delivery
		dead []event.Dead
	)
	for _, msg := range batch {
		e, err := p.decode(msg)
		if err != nil {
			dead = append(dead, died(msg, err))
			continue
		}
		good = append(good, delivery{msg, e})
	}
	err := p.storeParts(ctx, good, dead)
	p.Metrics.batch(len(batch), time.Since(from), err)
	if err == nil {
		faultpoint.HitIn(p.Durable, "committed")
	}
	return err
}

// delivery is a message and the event in it.
type delivery struct {
	msg jetstream.Msg
	*event.TraceEvent
}

// stored is when the stream took the message; now if it does not say.
func (d delivery) stored() time.Time {
	meta, err := d.msg.Metadata()
	if err != nil {
		return time.Now()
	}
	return meta.Timestamp
}

func (p *Projection) decode(msg jetstream.Msg) (*event.TraceEvent, error) {
	e, err := event.Decode(msg.Subject(), msg.Data())
	if err == nil && p.Check != nil {
		err = p.Check(e)
	}
	return e, err
}

// store halves a batch that fails on its data, or that takes too long. What one half has
// committed stays: if the other has to be tried again, so is the whole batch, which
// changes nothing. A transaction is finished even when stop ends meanwhile.
func (p *Projection) store(stop context.Context, good []delivery, dead []event.Dead) error {
	events := make([]*event.TraceEvent, len(good))
	for i, d := range good {
		events[i] = d.TraceEvent
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(stop), storeLimit)
	defer cancel()
	fresh, err := p.Store(ctx, events, dead)
	half := len(good) / 2
	switch {
	case err == nil:
		p.settled(ctx, fresh, len(events)-fresh, dead)
		return nil
	case len(good) > 1 && ctx.Err() != nil && stop.Err() == nil:
		// A store that answers nobody is not asked for the other half as well.
		if err := p.store(stop, good[:half], dead); err != nil {
			return err
		}
		return p.store(stop, good[half:], nil)
	case !p.BadData(err) || len(good) == 0:
		return err
	case len(good) == 1:
		return p.store(stop, nil, append(dead, died(good[0].msg, err)))
	}
	return errors.Join(p.store(stop, good[:half], dead), p.store(stop, good[half:], nil))
}

func (p *Projection) settled(ctx context.Context, fresh, known int, dead []event.Dead) {
	p.Metrics.settled(fresh, known, len(dead))
	if len(dead) > 0 {
		p.Metrics.told.Do(func() {
			p.Log.LogAttrs(ctx, slog.LevelError, "events set aside in dead_events, for one",
				slog.String("consumer", p.Durable), slog.Int64("stream_seq", dead[0].StreamSeq), slog.String("reason", dead[0].Reason))
		})
	}
}

func died(msg jetstream.Msg, why error) event.Dead {
	d := event.Dead{
		Subject: text(msg.Subject(), event.MaxText),
		MsgID:   text(msg.Headers().Get(nats.MsgIdHdr), event.MaxText),
		Data:    msg.Data(),
		Reason:  text(why.Error(), maxReason),
	}
	if place, ok := event.ParsePlace(msg.Headers().Get(event.HeaderProducer), msg.Headers().Get(event.HeaderSeq)); ok {
		d.Place = place
	}
	if meta, err := msg.Metadata(); err == nil {
		d.StreamSeq = int64(meta.Sequence.Stream) //nolint:gosec // the broker counts from 1, not to 2^63
	}
	if d.Data == nil {
		d.Data = []byte{}
	}
	return d
}

// text makes a stranger's bytes fit a text column: UTF-8, without NUL, cut to limit.
func text(s string, limit int) string {
	s = strings.ReplaceAll(s, "\x00", "\uFFFD")
	return strings.ToValidUTF8(s[:min(len(s), limit)], "\uFFFD")
}

// Lag is how many events of the stream durable has not settled: those not yet
// delivered and those delivered and not acked. The ack floor would not do: it stays
// behind a single slow event. An event published a moment ago may not be counted yet.
func Lag(ctx context.Context, js jetstream.JetStream, durable string) (uint64, error) {
	consumer, err := js.Consumer(ctx, StreamTrace, durable)
	if err != nil {
		return 0, fmt.Errorf("consumer %s: %w", durable, err)
	}
	info := consumer.CachedInfo() // just fetched
	return info.NumPending + uint64(max(0, info.NumAckPending)), nil
}

// Progress is how far a durable has come.
type Progress struct {
	Unsettled uint64    // as Lag counts
	Settled   time.Time // every event that was stored before, by the broker's clock, is settled

	Pending     uint64 // of those not settled, not delivered yet
	Redelivered int    // of those delivered and not settled, more than once
}

// ProgressOf asks how far durable has come by now.
func ProgressOf(ctx context.Context, js jetstream.JetStream, durable string, now time.Time) (Progress, error) {
	stream, err := js.Stream(ctx, StreamTrace)
	if err != nil {
		return Progress{}, fmt.Errorf("stream %s: %w", StreamTrace, err)
	}
	consumer, err := stream.Consumer(ctx, durable)
	if err != nil {
		return Progress{}, fmt.Errorf("consumer %s: %w", durable, err)
	}
	info := consumer.CachedInfo() // just fetched
	p := Progress{
		Unsettled: info.NumPending + uint64(max(0, info.NumAckPending)), Settled: now,
		Pending: info.NumPending, Redelivered: info.NumRedelivered,
	}
	if p.Unsettled == 0 {
		return p, nil
	}
	// The oldest that is not settled. The stream may have let go of those before it.
	first := max(info.AckFloor.Stream+1, stream.CachedInfo().State.FirstSeq)
	msg, err := stream.GetMsg(ctx, first)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound): // settled meanwhile and gone
	case err != nil:
		return Progress{}, fmt.Errorf("event %d of stream %s: %w", first, StreamTrace, err)
	case msg.Time.Before(now):
		p.Settled = msg.Time.UTC()
	}
	return p, nil
}
