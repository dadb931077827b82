package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"loom.internal/pkg/faultpoint"
)

// errAnother is of a consumer that was made anew since it was opened.
var errAnother = errors.New("the consumer is another one now")

// source is a durable consumer as it was opened.
//
// A broker that has lost its disk makes its streams anew and counts from 1 again. An event
// from before must not be acknowledged then: the broker would take that for another event
// of the same number, which may be in nobody's store yet.
type source struct {
	js      jetstream.JetStream
	durable string
	made    time.Time // as the broker tells
	seen    uint64    // reconnects of the connection when made was last asked for
}

func open(ctx context.Context, js jetstream.JetStream, durable string) (*source, jetstream.Consumer, error) {
	s := &source{js: js, durable: durable, seen: js.Conn().Stats().Reconnects}
	cons, err := js.Consumer(ctx, StreamTrace, durable)
	if err != nil {
		return nil, nil, err
	}
	s.made = cons.CachedInfo().Created // just fetched
	return s, cons, nil
}

// same asks, once the connection has been another for a while, whether the consumer is
// still the one that was opened. Over one connection it is.
func (s *source) same(ctx context.Context) error {
	now := s.js.Conn().Stats().Reconnects
	if now == s.seen {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, putTimeout)
	defer cancel()
	cons, err := s.js.Consumer(ctx, StreamTrace, s.durable)
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound), errors.Is(err, jetstream.ErrStreamNotFound):
		return errors.Join(errAnother, err)
	case err != nil:
		return fmt.Errorf("consumer %s: %w", s.durable, err)
	case !cons.CachedInfo().Created.Equal(s.made):
		return errAnother
	}
	s.seen = now
	return nil
}

// ack acknowledges a batch that is committed. What could not be acknowledged is delivered
// again; storing it twice changes nothing.
func (s *source) ack(ctx context.Context, batch []jetstream.Msg) (err error) {
	// What is in hand is finished even when ctx ends meanwhile.
	if err = s.same(context.WithoutCancel(ctx)); err == nil {
		for _, msg := range batch {
			err = cmp.Or(err, msg.Ack())
		}
		faultpoint.HitIn(s.durable, "acked")
	}
	return err
}
