package bus

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Batch bounds.
const (
	BatchSize   = 200
	BatchWindow = 50 * time.Millisecond
	batchBytes  = 16 << 20 // a batch is full when it has so much
	pullBytes   = 16 << 20 // asked of the broker at a time; more than any event has
	heartbeat   = ackWait / 3
)

// Handler stores a batch. When it returns nil everything in the batch is acked, so
// what it did must be committed by then. After an error the same batch comes again:
// an event that no attempt could store has to be set aside by the handler itself. It
// bounds its own time; the end of ctx asks it to come to an end soon, with what it has
// begun or with an error.
type Handler func(ctx context.Context, batch []jetstream.Msg) error

// Consume feeds a durable consumer's messages to handle, in batches of at most
// BatchSize and about 16 MiB, waiting at most BatchWindow after the first message of each. It returns
// when ctx ends, after the batch in hand. While handle fails, the batch is kept,
// its delivery is kept alive, and handle is tried again with growing pauses: an
// outage of the store delays events and loses none. Several processes may consume
// the same durable.
func Consume(ctx context.Context, js jetstream.JetStream, durable string, log *slog.Logger, handle Handler) error {
	for {
		var (
			from *source
			msgs jetstream.MessagesContext
		)
		err := Retry(ctx, log, "consumer not ready, trying again", func(ctx context.Context) error {
			var cons jetstream.Consumer
			var err error
			if from, cons, err = open(ctx, js, durable); err != nil {
				return err
			}
			msgs, err = cons.Messages(jetstream.PullMaxMessagesWithBytesLimit(2*BatchSize, pullBytes), jetstream.PullExpiry(10*time.Second))
			return err
		})
		if err == nil {
			err = from.drain(ctx, msgs, log, handle)
			giveBack(msgs)
		}
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the end of ctx is how consuming ends well
		}
		// The consumer itself is gone, as after a broker lost its disk: find it anew.
		log.LogAttrs(ctx, slog.LevelWarn, "consumer ended, opening it again", slog.String("durable", durable), slog.Any("error", err))
	}
}

// drain settles batch after batch until ctx or the iterator ends.
func (s *source) drain(ctx context.Context, msgs jetstream.MessagesContext, log *slog.Logger, handle Handler) error {
	for {
		batch, err := gather(ctx, msgs, log)
		if len(batch) > 0 {
			if err := s.settle(ctx, batch, log, handle); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
	}
}

// giveBack returns what was fetched and not handled to the broker, so that whoever
// consumes next gets it at once and not only after ackWait.
func giveBack(msgs jetstream.MessagesContext) {
	msgs.Drain()
	for {
		msg, err := msgs.Next()
		if err != nil {
			return
		}
		_ = msg.Nak() // a failure only means a later redelivery
	}
}

// gather blocks for one message and then takes what comes within BatchWindow. What it
// returns beside an error is to be handled first.
func gather(ctx context.Context, msgs jetstream.MessagesContext, log *slog.Logger) ([]jetstream.Msg, error) {
	first, err := next(ctx, msgs, log)
	if err != nil {
		return nil, err
	}
	batch := append(make([]jetstream.Msg, 0, BatchSize), first)
	window, cancel := context.WithTimeout(ctx, BatchWindow)
	defer cancel()
	for size := len(first.Data()); len(batch) < BatchSize && size < batchBytes; size += len(batch[len(batch)-1].Data()) {
		msg, err := next(window, msgs, log)
		switch {
		case err == nil:
			batch = append(batch, msg)
		case ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
			return batch, nil
		default:
			return batch, err
		}
	}
	return batch, nil
}

// next is the next message; a passing fault of the connection is logged and waited out.
func next(ctx context.Context, msgs jetstream.MessagesContext, log *slog.Logger) (jetstream.Msg, error) {
	for {
		msg, err := msgs.Next(jetstream.NextContext(ctx))
		switch {
		case err == nil:
			return msg, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, jetstream.ErrMsgIteratorClosed), errors.Is(err, jetstream.ErrConsumerDeleted), errors.Is(err, jetstream.ErrConsumerNotFound):
			return nil, err
		}
		log.LogAttrs(ctx, slog.LevelWarn, "waiting for messages", slog.Any("error", err))
	}
}

// settle calls handle until it succeeds, then acks. Only the end of ctx makes it give
// up; the broker then delivers the batch again, to whoever consumes next. Its error says
// why nothing more is to be had of this source.
func (s *source) settle(ctx context.Context, batch []jetstream.Msg, log *slog.Logger, handle Handler) error {
	alive := time.NewTicker(heartbeat)
	defer alive.Stop()
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		// Events of a broker that has lost its disk come again from their gateways; what
		// they refer to is not on the new one.
		if err := s.same(ctx); errors.Is(err, errAnother) {
			return err
		}
		done := make(chan error, 1)
		go func() { done <- handle(ctx, batch) }()
		err := await(done, alive.C, batch)
		if err == nil {
			break
		}
		log.LogAttrs(ctx, slog.LevelWarn, "batch not stored, keeping it and trying again",
			slog.Any("error", err), slog.Int("events", len(batch)), slog.Duration("next_try", wait))
		pause := time.NewTimer(wait)
		for waiting := true; waiting; {
			select {
			case <-ctx.Done():
				pause.Stop()
				for _, msg := range batch {
					_ = msg.Nak()
				}
				return errors.Join(context.Cause(ctx), err)
			case <-alive.C:
				keepAlive(batch)
			case <-pause.C:
				waiting = false
			}
		}
	}
	err := s.ack(ctx, batch)
	if errors.Is(err, errAnother) {
		return err
	}
	if err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		log.LogAttrs(ctx, slog.LevelDebug, "ack", slog.Any("error", err))
	}
	return nil
}

// await waits for the handler's end and keeps the batch's delivery alive meanwhile.
func await(done <-chan error, tick <-chan time.Time, batch []jetstream.Msg) error {
	for {
		select {
		case err := <-done:
			return err
		case <-tick:
			keepAlive(batch)
		}
	}
}

func keepAlive(batch []jetstream.Msg) {
	for _, msg := range batch {
		_ = msg.InProgress() // a failure only means an early redelivery
	}
}
