package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"loom.internal/pkg/event"
)

const (
	recallBytes = 8 << 20          // of a batch, about
	recallQuiet = 30 * time.Second // so long without a message is a broker that is away
)

// Recall reads the stream from its beginning to its present end and has stored again what
// is wanted. It says what of that it found. The durable is left as it is: what was
// acknowledged to it would never come again.
func (p *Projection) Recall(ctx context.Context, js jetstream.JetStream, wanted event.Gaps) (found []event.Place, err error) {
	limited, cancel := context.WithTimeout(ctx, callLimit)
	cons, err := js.OrderedConsumer(limited, StreamTrace, jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy})
	cancel()
	if err != nil {
		return nil, fmt.Errorf("read stream %s: %w", StreamTrace, err)
	}
	if cons.CachedInfo().NumPending == 0 { // just made
		return nil, nil
	}
	msgs, err := cons.Messages(jetstream.PullMaxMessagesWithBytesLimit(2*BatchSize, pullBytes))
	if err != nil {
		return nil, fmt.Errorf("read stream %s: %w", StreamTrace, err)
	}
	defer msgs.Stop()
	var (
		batch []jetstream.Msg
		bytes int
	)
	for left := cons.CachedInfo().NumPending; left > 0; {
		limited, cancel := context.WithTimeout(ctx, recallQuiet)
		msg, err := msgs.Next(jetstream.NextContext(limited))
		cancel()
		if err != nil {
			return found, fmt.Errorf("read stream %s: %w", StreamTrace, err)
		}
		meta, err := msg.Metadata()
		if err != nil {
			return found, fmt.Errorf("read stream %s: %w", StreamTrace, err)
		}
		// Not what is published meanwhile, and what has gone meanwhile does not come.
		left = min(left-1, meta.NumPending)
		if place := placeOf(msg); wanted.Has(place) {
			found = append(found, place)
			batch, bytes = append(batch, msg), bytes+len(msg.Data())
		}
		if len(batch) == BatchSize || bytes >= recallBytes || left == 0 && len(batch) > 0 {
			if err := p.Handle(ctx, batch); err != nil {
				return found, err
			}
			batch, bytes = nil, 0
		}
	}
	return found, nil
}

// placeOf is where the event of a message stands; the zero Place where it does not say.
func placeOf(msg jetstream.Msg) event.Place {
	if place, ok := event.ParsePlace(msg.Headers().Get(event.HeaderProducer), msg.Headers().Get(event.HeaderSeq)); ok {
		return place
	}
	if e, err := event.Decode(msg.Subject(), msg.Data()); err == nil {
		return e.Place()
	}
	return event.Place{}
}
