package publish

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"loom.internal/pkg/event"
	"loom.internal/services/gateway/internal/spool"
)

const ackTimeout = 5 * time.Second

// lostSubject carries the place of an event that the spool could not read any more. No
// consumer takes it for a trace; all of them set it aside, and count its number.
const lostSubject = event.SubjectPrefix + "_.lost"

// deliver tries until the broker has acknowledged all entries; false if ctx ended first.
func (p *Publisher) deliver(ctx context.Context, entries []spool.Entry, producer string) bool {
	msgs := make([]*nats.Msg, 0, len(entries))
	heavy := make(map[*nats.Msg]spool.Entry) // whose bodies are kept apart
	for _, e := range entries {
		msg, ok := p.message(ctx, e, producer)
		if !ok {
			return false
		}
		if msgs = append(msgs, msg); len(e.Payload) > p.maxEvent() {
			heavy[msg] = e
		}
	}
	told := false
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
		level := slog.LevelDebug
		if wait == maxWait && !told {
			level, told = slog.LevelWarn, true
		}
		p.opt.Log.LogAttrs(ctx, level, "traces not published, trying again; all behind them wait", slog.Int("traces", len(msgs)), slog.Any("error", err))
		if !pause(ctx, wait) {
			return false
		}
		for i, msg := range msgs {
			e, ok := heavy[msg]
			if !ok {
				continue
			}
			// The broker may have lost its disk meanwhile, and the bodies with it.
			if msgs[i], ok = p.message(ctx, e, producer); !ok {
				return false
			}
			delete(heavy, msg)
			heavy[msgs[i]] = e
		}
	}
	if told {
		p.opt.Log.LogAttrs(ctx, slog.LevelInfo, "traces are published again")
	}
	return true
}

// pause waits; false if ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// message is an entry as it goes over the bus; false if ctx ended before its bodies were
// where they have to be.
func (p *Publisher) message(ctx context.Context, e spool.Entry, producer string) (*nats.Msg, bool) {
	trace := new(event.TraceEvent)
	err := proto.Unmarshal(e.Payload, trace)
	if err == nil && !e.Lost {
		trace.Producer = &event.Producer{Id: producer, Epoch: e.Epoch, Seq: e.Seq}
		var data []byte
		if len(e.Payload) <= p.maxEvent() {
			data, err = event.WithPlace(e.Payload, trace.Place())
		} else if !p.lighten(ctx, trace) {
			return nil, false
		} else {
			data, err = event.Marshal(trace)
		}
		if err == nil {
			msg := &nats.Msg{Subject: event.Subject(trace), Header: nats.Header(event.Headers(trace)), Data: data}
			msg.Header.Set(jetstream.MsgIDHeader, trace.GetTraceId())
			return msg, true
		}
	}
	p.metrics.lost.Inc()
	p.opt.Log.LogAttrs(ctx, slog.LevelError, "a trace in the spool was damaged: only its place is published",
		slog.Uint64("epoch", e.Epoch), slog.Uint64("seq", e.Seq), slog.Any("error", err))
	msg := &nats.Msg{Subject: lostSubject, Header: nats.Header{}, Data: []byte("damaged in the spool of " + producer)}
	msg.Header.Set(event.HeaderProducer, producer+"/"+strconv.FormatUint(e.Epoch, 10))
	msg.Header.Set(event.HeaderSeq, strconv.FormatUint(e.Seq, 10))
	msg.Header.Set(jetstream.MsgIDHeader, fmt.Sprintf("lost-%s-%d-%d", producer, e.Epoch, e.Seq))
	return msg, true
}

// send publishes msgs and returns those that are not known to be stored.
func (p *Publisher) send(ctx context.Context, msgs []*nats.Msg) (left []*nats.Msg, err error) {
	ctx, cancel := context.WithTimeout(ctx, ackTimeout)
	defer cancel()
	if len(msgs) > 1 {
		err := p.opt.Broker.PublishBatch(ctx, msgs)
		if err == nil {
			return nil, nil
		}
		if !errors.Is(err, ErrRefused) {
			return msgs, err
		}
		// Such as for an event that the stream has already: one by one it is no fault.
		p.metrics.unbatched.Inc()
	}
	return p.opt.Broker.Publish(ctx, msgs)
}
