package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"loom.internal/pkg/event"
)

const (
	recallBytes = 8 << 20          // of a batch, about
	recallLimit = 30 * time.Second // of one question to the stream
)

// Stream is the trace stream as Recall reads it.
type Stream interface {
	// Extent is what there is now.
	Extent(ctx context.Context) (Extent, error)
	// Read returns some of the messages from a number on, in order and without leaving any
	// out, and at least one; or ErrNoMore.
	Read(ctx context.Context, from uint64) ([]jetstream.Msg, error)
}

// Extent is which messages a stream holds.
type Extent struct {
	Made        time.Time // another one for another stream of the name, which counts anew
	First, Last uint64    // numbers
}

// ErrNoMore is that whoever answered has no message from a number on.
var ErrNoMore = errors.New("no message from there on")

// Recall reads the stream from its beginning to its present end and has stored again what
// is wanted. It says what of that it found. The durable is left as it is: what was
// acknowledged to it would never come again. No consumer is made either: who may make one
// may change those of others.
func (p *Projection) Recall(ctx context.Context, s Stream, wanted event.Gaps) (found []event.Place, err error) {
	extent, err := extentOf(ctx, s)
	if err != nil {
		return nil, err
	}
	var (
		batch []jetstream.Msg
		bytes int
	)
	for next := extent.First; next <= extent.Last; { // not what is published meanwhile
		limited, cancel := context.WithTimeout(ctx, recallLimit)
		msgs, err := s.Read(limited, next)
		cancel()
		if errors.Is(err, ErrNoMore) {
			// Either the rest has become too old meanwhile, or a replica answers that is behind.
			var now Extent
			if now, err = extentOf(ctx, s); err == nil && now.First > next {
				next = now.First
				continue
			}
			err = errors.Join(ErrNoMore, err)
		}
		if err != nil {
			return found, fmt.Errorf("read stream %s: %w", StreamTrace, err)
		}
		for _, msg := range msgs {
			meta, err := msg.Metadata()
			if err != nil {
				return found, fmt.Errorf("read stream %s: %w", StreamTrace, err)
			}
			next = meta.Sequence.Stream + 1
			if place := placeOf(msg); wanted.Has(place) {
				found = append(found, place)
				batch, bytes = append(batch, msg), bytes+len(msg.Data())
			}
			if len(batch) == BatchSize || bytes >= recallBytes {
				if err := p.Handle(ctx, batch); err != nil {
					return found, err
				}
				batch, bytes = nil, 0
			}
		}
	}
	if len(batch) > 0 {
		if err := p.Handle(ctx, batch); err != nil {
			return found, err
		}
	}
	now, err := extentOf(ctx, s)
	if err == nil && !now.Made.Equal(extent.Made) {
		err = fmt.Errorf("stream %s has been made anew meanwhile", StreamTrace)
	}
	return found, err
}

func extentOf(ctx context.Context, s Stream) (Extent, error) {
	ctx, cancel := context.WithTimeout(ctx, recallLimit)
	defer cancel()
	return s.Extent(ctx)
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
