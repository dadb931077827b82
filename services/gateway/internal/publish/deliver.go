package publish

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/event"
	"loom.internal/services/gateway/internal/spool"
)

const ackTimeout = 5 * time.Second

// Headers of an atomic batch: all of its messages are stored, with one sync of the
// disk, or none is.
const (
	headerBatch  = "Nats-Batch-Id"
	headerSeq    = "Nats-Batch-Sequence"
	headerCommit = "Nats-Batch-Commit"
)

// lostSubject carries the place of an event that the spool could not read any more. No
// consumer takes it for a trace; all of them set it aside, and count its number.
const lostSubject = event.SubjectPrefix + "_.lost"

// deliver tries until the broker has acknowledged all entries; false if ctx ended first.
func (p *Publisher) deliver(ctx context.Context, entries []spool.Entry, producer string) bool {
	msgs := make([]*nats.Msg, 0, len(entries))
	for _, e := range entries {
		msgs = append(msgs, p.message(ctx, e, producer))
	}
	for wait := minWait; len(msgs) > 0; wait = min(2*wait, maxWait) {
		left, err := p.send(ctx, msgs)
		p.metrics.published.Add(float64(len(msgs) - len(left)))
		if len(left) < len(msgs) {
			wait = minWait
		}
		if msgs = left; len(msgs) == 0 {
			break
		}
		if ctx.Err() != nil {
			return false
		}
		p.metrics.retries.Inc()
		p.opt.Log.LogAttrs(ctx, slog.LevelDebug, "traces not published, trying again", slog.Int("traces", len(msgs)), slog.Any("error", err))
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return false
		case <-timer.C:
		}
	}
	return true
}

// message is an entry as it goes over the bus.
func (p *Publisher) message(ctx context.Context, e spool.Entry, producer string) *nats.Msg {
	place := event.Place{ProducerID: producer, Epoch: int64(e.Epoch), Seq: int64(e.Seq)} //nolint:gosec // both count from 1
	data, err := event.WithPlace(e.Payload, place)
	trace := new(event.TraceEvent)
	if err == nil {
		err = proto.Unmarshal(data, trace)
	}
	if err == nil && !e.Lost {
		msg := &nats.Msg{Subject: event.Subject(trace), Header: nats.Header(event.Headers(trace)), Data: data}
		msg.Header.Set(jetstream.MsgIDHeader, trace.GetTraceId())
		return msg
	}
	p.metrics.lost.Inc()
	p.opt.Log.LogAttrs(ctx, slog.LevelError, "a trace in the spool was damaged: only its place is published",
		slog.Uint64("epoch", e.Epoch), slog.Uint64("seq", e.Seq), slog.Any("error", err))
	msg := &nats.Msg{Subject: lostSubject, Header: nats.Header{}, Data: []byte("damaged in the spool of " + producer)}
	msg.Header.Set(event.HeaderProducer, producer+"/"+strconv.FormatUint(e.Epoch, 10))
	msg.Header.Set(event.HeaderSeq, strconv.FormatUint(e.Seq, 10))
	msg.Header.Set(jetstream.MsgIDHeader, fmt.Sprintf("lost-%s-%d-%d", producer, e.Epoch, e.Seq))
	return msg
}

// send publishes msgs and returns those that are not known to be stored.
func (p *Publisher) send(ctx context.Context, msgs []*nats.Msg) (left []*nats.Msg, err error) {
	ctx, cancel := context.WithTimeout(ctx, ackTimeout)
	defer cancel()
	if len(msgs) > 1 {
		err := p.sendBatch(ctx, msgs)
		if err == nil {
			return nil, nil
		}
		if _, refused := errors.AsType[*jetstream.APIError](err); !refused {
			return msgs, err
		}
		// Such as for an event that the stream has already: one by one it is no fault.
		p.metrics.unbatched.Inc()
	}
	return p.sendSingly(ctx, msgs)
}

// sendBatch publishes msgs as one atomic batch.
func (p *Publisher) sendBatch(ctx context.Context, msgs []*nats.Msg) error {
	id := uuid.NewString()
	for i, m := range msgs {
		msg := &nats.Msg{Subject: m.Subject, Data: m.Data, Header: make(nats.Header, len(m.Header)+3)}
		maps.Copy(msg.Header, m.Header)
		msg.Header.Set(headerBatch, id)
		msg.Header.Set(headerSeq, strconv.Itoa(i+1))
		if i < len(msgs)-1 {
			if err := p.opt.NATS.PublishMsg(msg); err != nil {
				return err
			}
			continue
		}
		msg.Header.Set(headerCommit, "1")
		reply, err := p.opt.NATS.RequestMsgWithContext(ctx, msg)
		if err != nil {
			return err
		}
		return batchError(reply.Data, len(msgs))
	}
	return nil
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
		return ack.Error
	case ack.Stream != bus.StreamTrace || ack.Count != want:
		return fmt.Errorf("answer to a batch: stream %q has taken %d of %d messages", ack.Stream, ack.Count, want)
	}
	return nil
}

// sendSingly publishes msgs side by side, each with its own acknowledgement.
func (p *Publisher) sendSingly(ctx context.Context, msgs []*nats.Msg) (left []*nats.Msg, err error) {
	acks := make([]jetstream.PubAckFuture, len(msgs))
	for i, m := range msgs {
		if acks[i], err = p.js.PublishMsgAsync(m, jetstream.WithExpectStream(bus.StreamTrace)); err != nil {
			acks = acks[:i]
			break
		}
	}
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
