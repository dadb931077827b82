package replay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"loom.internal/pkg/bus"
)

// Names of the consumers, one each: the rights of a user of the broker name whole tokens,
// so that a fixed name is what can be granted.
const (
	SlotReplay = "replay"
	SlotExport = "replay_out"
)

const (
	batchEvents  = 1000
	batchBytes   = 8 << 20
	batchWindow  = 10 * time.Millisecond // for a batch to fill
	pullMessages = 4 * batchEvents
	pullBytes    = 4 * batchBytes
	slotLife     = 5 * time.Minute  // of a slot that nobody reads
	patience     = 30 * time.Second // with a broker that does not answer
)

// message is an event as it came.
type message struct {
	seq     uint64
	at      time.Time
	subject string
	data    []byte
	jumped  bool // some before it were not to be had any more
}

// source reads the stream in order, from one place on, for ever.
type source struct {
	js     jetstream.JetStream
	slot   string
	stream jetstream.Stream
	log    *slog.Logger

	out  chan message
	errs chan error
}

// openSource finds the stream. It reads nothing yet.
func openSource(ctx context.Context, js jetstream.JetStream, slot string, log *slog.Logger) (*source, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	stream, err := js.Stream(ctx, bus.StreamTrace)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", bus.StreamTrace, err)
	}
	return &source{js: js, slot: slot, stream: stream, log: log}, nil
}

// info asks what the stream holds now.
func (s *source) info(ctx context.Context) (*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	info, err := s.stream.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", bus.StreamTrace, err)
	}
	return info, nil
}

// floor is the place up to which every live consumer has settled all events.
func (s *source) floor(ctx context.Context) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var floor uint64
	for i, durable := range bus.Consumers() {
		c, err := s.stream.Consumer(ctx, durable)
		if err != nil {
			return 0, fmt.Errorf("consumer %s: %w", durable, err)
		}
		if at := c.CachedInfo().AckFloor.Stream; i == 0 || at < floor {
			floor = at
		}
	}
	return floor, nil
}

// start reads what follows seq, until ctx ends. wait returns when it has stopped.
func (s *source) start(ctx context.Context, seq uint64) (wait func()) {
	s.out, s.errs = make(chan message, 16), make(chan error, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.run(ctx, seq); err != nil && ctx.Err() == nil {
			s.errs <- err
		}
	}()
	return func() { <-done }
}

// run opens the slot again whenever reading fails, and gives up where that does not help.
func (s *source) run(ctx context.Context, seq uint64) error {
	var failing time.Time // since when
	for wait := 100 * time.Millisecond; ctx.Err() == nil; wait = min(2*wait, 2*time.Second) {
		from, began := seq, time.Now()
		err := s.read(ctx, &seq)
		switch {
		case seq > from, time.Since(began) > patience:
			failing, wait = time.Time{}, 100*time.Millisecond
		case failing.IsZero():
			failing = time.Now()
		case time.Since(failing) > patience:
			return fmt.Errorf("read stream %s after event %d: %w", bus.StreamTrace, seq, err)
		}
		if ctx.Err() == nil {
			s.log.LogAttrs(ctx, slog.LevelInfo, "reading the stream again", slog.Uint64("after", seq), slog.Any("error", err))
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
		case <-timer.C:
		}
	}
	s.remove(ctx)
	return nil
}

var errMissed = errors.New("a message was missed")

// read passes on messages until one is missed or the broker goes; seq is the last one's.
func (s *source) read(ctx context.Context, seq *uint64) error {
	s.remove(ctx) // what a killed run has left
	opening, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	consumer, err := s.stream.CreateConsumer(opening, jetstream.ConsumerConfig{
		Name: s.slot, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: *seq + 1,
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: slotLife,
	})
	if err != nil {
		return err
	}
	msgs, err := consumer.Messages(jetstream.PullMaxMessagesWithBytesLimit(pullMessages, pullBytes))
	if err != nil {
		return err
	}
	defer msgs.Stop()
	for want := uint64(1); ; want++ {
		msg, err := msgs.Next(jetstream.NextContext(ctx))
		if err != nil {
			return err
		}
		meta, err := msg.Metadata()
		if err != nil {
			return err
		}
		if meta.Sequence.Consumer != want {
			return errMissed
		}
		m := message{
			seq: meta.Sequence.Stream, at: meta.Timestamp, subject: msg.Subject(), data: msg.Data(),
			jumped: meta.Sequence.Stream != *seq+1,
		}
		select {
		case s.out <- m:
			*seq = m.seq
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// remove deletes the slot, if it is there.
func (s *source) remove(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err := s.stream.DeleteConsumer(ctx, s.slot)
	if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		s.log.LogAttrs(ctx, slog.LevelDebug, "slot not removed", slog.Any("error", err)) // it goes by itself
	}
}

// drained reports whether nothing follows seq in the stream, nor on its way from there.
func (s *source) drained(ctx context.Context, seq uint64) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	consumer, err := s.stream.Consumer(ctx, s.slot)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return false, nil // it is being opened again
	}
	if err != nil {
		return false, fmt.Errorf("consumer %s: %w", s.slot, err)
	}
	at := consumer.CachedInfo()
	return at.NumPending == 0 && at.Delivered.Stream <= seq, nil
}
