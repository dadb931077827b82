package publish

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"strconv"
	"sync"
	"time"

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

	mu sync.Mutex
	kv jetstream.KeyValue // nil until the bucket was there
}

var _ Broker = (*NATS)(nil)

// OnNATS makes the broker behind a connection, which stays the caller's.
func OnNATS(nc *nats.Conn) (*NATS, error) {
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncTimeout(ackTimeout))
	if err != nil {
		return nil, fmt.Errorf("JetStream: %w", err)
	}
	return &NATS{nc: nc, js: js}, nil
}

// MaxPayload is what the server said when the connection was made.
func (b *NATS) MaxPayload() int64 { return b.nc.MaxPayload() }

// batchHeaders is about what the headers of a batch add to a message, in bytes.
const batchHeaders = 256

// PublishBatch publishes msgs as one atomic batch.
func (b *NATS) PublishBatch(ctx context.Context, msgs []*nats.Msg) error {
	limit := b.nc.MaxPayload()
	for _, m := range msgs {
		if limit > 0 && int64(m.Size()+batchHeaders) > limit { // Size has the subject too
			return fmt.Errorf("%w: %w", ErrRefused, nats.ErrMaxPayload)
		}
	}
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
		ack, refused := b.js.PublishMsgAsync(m, jetstream.WithExpectStream(bus.StreamTrace))
		if refused != nil { // such as one that is too large: the others are not
			left, err = append(left, m), refused
			continue
		}
		acks[i] = ack
	}
	faultpoint.Hit("gateway.published")
	for i, ack := range acks {
		if ack == nil {
			continue
		}
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

// Watermarks reads the bucket in which consumers put them, life by life.
func (b *NATS) Watermarks(ctx context.Context, lives []event.Life) (event.Watermarks, error) {
	kv, err := b.bucket(ctx)
	if err != nil {
		return nil, err
	}
	marks := make(event.Watermarks, len(lives))
	var faults []error
	for _, life := range lives {
		mark, err := lowest(ctx, kv, life)
		switch {
		case err == nil:
			marks[life] = mark
		case !errors.Is(err, jetstream.ErrKeyNotFound):
			faults = append(faults, err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	if faults != nil {
		b.unbind()
	}
	return marks, errors.Join(faults...)
}

// lowest is the number up to which every consumer has the events of a life.
func lowest(ctx context.Context, kv jetstream.KeyValue, life event.Life) (int64, error) {
	least := int64(math.MaxInt64)
	for _, consumer := range bus.Consumers() {
		key := bus.WatermarkKey(consumer, life)
		entry, err := kv.Get(ctx, key)
		if err != nil {
			return 0, err
		}
		mark, err := strconv.ParseUint(string(entry.Value()), 10, 63)
		if err != nil {
			return 0, fmt.Errorf("watermark %s: %w", key, err)
		}
		least = min(least, int64(mark))
	}
	return least, nil
}

// Gone puts it into the same bucket.
func (b *NATS) Gone(ctx context.Context, life event.Life, upTo int64) error {
	kv, err := b.bucket(ctx)
	if err == nil {
		_, err = kv.PutString(ctx, bus.GoneKey(life), strconv.FormatInt(upTo, 10))
	}
	return err
}

// Made asks the broker.
func (b *NATS) Made(ctx context.Context) (time.Time, error) {
	stream, err := b.js.Stream(ctx, bus.StreamTrace)
	if err != nil {
		return time.Time{}, err
	}
	return stream.CachedInfo().Created, nil // just fetched
}

// bucket finds the bucket, once as long as it answers.
func (b *NATS) bucket(ctx context.Context) (kv jetstream.KeyValue, err error) {
	b.mu.Lock()
	kv = b.kv
	b.mu.Unlock()
	if kv != nil {
		return kv, nil
	}
	if kv, err = b.js.KeyValue(ctx, bus.BucketWatermark); err != nil {
		return nil, fmt.Errorf("bucket %s: %w", bus.BucketWatermark, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.kv = kv
	return kv, nil
}

func (b *NATS) unbind() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.kv = nil
}
