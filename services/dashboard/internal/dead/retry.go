package dead

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/event"
	"loom.internal/pkg/store"
)

// publishLimit is how long the broker may take to store an event.
const publishLimit = 5 * time.Second

var (
	// ErrBus means that the event could not be published and stays where it is.
	ErrBus = errors.New("the bus did not take the event")
	// ErrSubject means that no consumer can ever take the event: its subject is none
	// of a trace event's.
	ErrSubject = errors.New("its subject is not that of a trace event, so that no consumer can ever take it")
)

// Retried is an event that is on the stream again.
type Retried struct {
	ID        int64  `json:"id"`         // that it had as a dead event
	StreamSeq uint64 `json:"stream_seq"` // where it is now
	MsgID     string `json:"msg_id"`     // the dedupe id it went under
}

// Retry publishes an event again, to all consumers, and then lets go of it; both leave
// their line in the access log. The others store nothing twice. One that still cannot
// be taken dies again and gets a new id. The errors are store.ErrNotFound, ErrSubject
// and ErrBus.
func (d *Desk) Retry(ctx context.Context, actor string, id int64) (Retried, error) {
	out := Retried{ID: id}
	err := store.InTx(ctx, d.db, func(tx pgx.Tx) error {
		var data []byte
		// Deleted first, which keeps others off the row; published before that is final,
		// so that it is twice on the stream rather than nowhere.
		e, err := scan(tx.QueryRow(ctx, `DELETE FROM dead_events WHERE id = $1 RETURNING `+columns+`, data`, id), &data)
		if err != nil {
			return err
		}
		tenantID, _, err := event.ParseSubject(e.Subject)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrSubject, err)
		}
		msg := message(e, data)
		out.MsgID = msg.Header.Get(nats.MsgIdHdr)
		detail, err := json.Marshal(map[string]any{"id": id, "consumer": e.Consumer, "msg_id": out.MsgID, "reason": e.Reason})
		if err != nil {
			return fmt.Errorf("audit: %w", err)
		}
		_, err = tx.Exec(ctx, `INSERT INTO access_log (tenant_id, actor, action, detail) VALUES ($1, $2, 'dead.retry', $3)`, tenantID, actor, detail)
		if err != nil {
			return fmt.Errorf("audit: %w", err)
		}
		out.StreamSeq, err = d.publish(ctx, msg)
		return err
	})
	if err != nil {
		return Retried{}, fmt.Errorf("retry dead event %d: %w", id, err)
	}
	return out, nil
}

// message is e as it came, under a dedupe id of its own: the broker may remember the
// first. The id is the same however often this row is retried.
func message(e Event, data []byte) *nats.Msg {
	msg := &nats.Msg{Subject: e.Subject, Data: data, Header: nats.Header{}}
	if decoded, err := event.Decode(e.Subject, data); err == nil {
		msg.Header = nats.Header(event.Headers(decoded))
	}
	if p := e.Producer; p != nil {
		msg.Header.Set(event.HeaderProducer, p.ID+"/"+strconv.FormatInt(p.Epoch, 10))
		msg.Header.Set(event.HeaderSeq, strconv.FormatInt(p.Seq, 10))
	}
	msg.Header.Set(nats.MsgIdHdr, e.MsgID+".retry-"+strconv.FormatInt(e.ID, 10))
	return msg
}

func (d *Desk) publish(ctx context.Context, msg *nats.Msg) (seq uint64, err error) {
	if err := bus.Ready(d.nc); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrBus, err)
	}
	ctx, cancel := context.WithTimeout(ctx, publishLimit)
	defer cancel()
	ack, err := d.js.PublishMsg(ctx, msg, jetstream.WithExpectStream(bus.StreamTrace), jetstream.WithRetryAttempts(0))
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrBus, err)
	}
	return ack.Sequence, nil
}
