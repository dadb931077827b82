package publish

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/event"
	"loom.internal/pkg/faultpoint"
)

// Headers of an atomic batch: all of its messages are stored, with one sync of the
// disk, or none is.
const (
	headerBatch  = "Nats-Batch-Id"
	headerSeq    = "Nats-Batch-Sequence"
	headerCommit = "Nats-Batch-Commit"
)

// NATS is a JetStream broker.
type NATS struct {
	nc *nats.Conn
	js jetstream.JetStream
}

var _ Broker = (*NATS)(nil)

// OnNATS makes the broker behind a connection, which stays the caller's.
func OnNATS(nc *nats.Conn) (*NATS, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("JetStream: %w", err)
	}
	return &NATS{nc: nc, js: js}, nil
}

// PublishBatch publishes msgs as one atomic batch.
func (b *NATS) PublishBatch(ctx context.Context, msgs []*nats.Msg) error {
	id := uuid.NewString()
	for i, m := range msgs {
		msg := &nats.Msg{Subject: m.Subject, Data: m.Data, Header: make(nats.Header, len(m.Header)+3)}
		maps.Copy(msg.Header, m.Header)
		msg.Header.Set(headerBatch, id)
		msg.Header.Set(headerSeq, strconv.Itoa(i+1))
		if i < len(msgs)-1 {
			if err := b.nc.PublishMsg(msg); err != nil {
				return err
			}
			continue
		}
		msg.Header.Set(headerCommit, "1")
		reply, err := b.request(ctx, msg)
		if err != nil {
			return err
		}
		return batchError(reply.Data, len(msgs))
	}
	return nil
}

// request sends msg and waits for the answer.
func (b *NATS) request(ctx context.Context, msg *nats.Msg) (*nats.Msg, error) {
	msg.Reply = b.nc.NewInbox()
	answer, err := b.nc.SubscribeSync(msg.Reply)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Unsubscribe() }() // of a connection that has gone, it is gone too
	if err := b.nc.PublishMsg(msg); err != nil {
		return nil, err
	}
	faultpoint.Hit("gateway.published")
	return answer.NextMsgWithContext(ctx)
}

// batchError reads the broker's answer to a batch.
func batchError(reply []byte, want int) error {
	var ack struct {
		Stream string              `json:"stream"`
		Error  *jetstream.APIError `json:"error"`
		Count  int                 `json:"count"`
	}
	if err := json.Unmarshal(reply, &ack); err != nil {
		return fmt.Errorf("answer to a batch: %w", err)
	}
	switch {
	case ack.Error != nil:
		return fmt.Errorf("%w: %w", ErrRefused, ack.Error)
	case ack.Stream != bus.StreamTrace || ack.Count != want:
		return fmt.Errorf("answer to a batch: stream %q has taken %d of %d messages", ack.Stream, ack.Count, want)
	}
	return nil
}

// Publish publishes msgs side by side, each with its own acknowledgement.
func (b *NATS) Publish(ctx context.Context, msgs []*nats.Msg) (left []*nats.Msg, err error) {
	acks := make([]jetstream.PubAckFuture, len(msgs))
	for i, m := range msgs {
		if acks[i], err = b.js.PublishMsgAsync(m, jetstream.WithExpectStream(bus.StreamTrace)); err != nil {
			acks = acks[:i]
			break
		}
	}
	faultpoint.Hit("gateway.published")
	left = append(left, msgs[len(acks):]...)
	for i, ack := range acks {
		select {
		case <-ack.Ok():
		case failed := <-ack.Err():
			left, err = append(left, msgs[i]), failed
		case <-ctx.Done():
			left, err = append(left, msgs[i]), ctx.Err()
		}
	}
	return left, err
}

// Number puts words into the bucket in which consumers put watermarks.
func (b *NATS) Number(ctx context.Context, words map[event.Life]bus.Numbered) error {
	return bus.PutNumbered(ctx, b.js, words)
}

// Watermarks reads the bucket in which consumers put them.
func (b *NATS) Watermarks(ctx context.Context, lives []event.Life) (map[string]event.Watermarks, error) {
	kv, err := b.js.KeyValue(ctx, bus.BucketWatermark)
	if err != nil {
		return nil, nil //nolint:nilerr,nilnil // not there, or not now: it will be asked again
	}
	marks := make(map[string]event.Watermarks, len(bus.Consumers()))
	var faults []error
	for _, consumer := range bus.Consumers() {
		marks[consumer] = make(event.Watermarks, len(lives))
		for _, life := range lives {
			mark, err := watermark(ctx, kv, bus.WatermarkKey(consumer, life))
			switch {
			case err == nil:
				marks[consumer][life] = mark
			case !errors.Is(err, jetstream.ErrKeyNotFound) && ctx.Err() == nil:
				faults = append(faults, err)
			}
		}
	}
	return marks, errors.Join(faults...)
}

func watermark(ctx context.Context, kv jetstream.KeyValue, key string) (int64, error) {
	entry, err := kv.Get(ctx, key)
	if err != nil {
		return 0, err
	}
	mark, err := strconv.ParseUint(string(entry.Value()), 10, 63)
	if err != nil {
		return 0, fmt.Errorf("watermark %s: %w", key, err)
	}
	return int64(mark), nil
}
