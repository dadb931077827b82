// Package dead is what operators do with events that no consumer could take: look at
// them, and send them again.
package dead

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"loom.internal/pkg/store"
)

// Event is an event that a consumer set aside.
type Event struct {
	ID        int64     `json:"id"`
	Consumer  string    `json:"consumer"`
	StreamSeq int64     `json:"stream_seq"`
	Subject   string    `json:"subject"`
	MsgID     string    `json:"msg_id"`
	Reason    string    `json:"reason"`
	DiedAt    time.Time `json:"died_at"`
	Size      int64     `json:"size"`     // bytes of its data
	Producer  *Place    `json:"producer"` // nil where its headers did not say
}

// Place is where an event stands in its gateway's sequence.
type Place struct {
	ID    string `json:"id"`
	Epoch int64  `json:"epoch"`
	Seq   int64  `json:"seq"`
}

// Full is an event with its data: protobuf, its bodies sealed.
type Full struct {
	Event
	Data []byte `json:"data"` // base64 in JSON
}

// Desk reads and retries through a pool of the role loom_admin and a connection to
// the bus.
type Desk struct {
	db *pgxpool.Pool
	nc *nats.Conn
	js jetstream.JetStream
}

// New takes what to work with.
func New(db *pgxpool.Pool, nc *nats.Conn) (*Desk, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("JetStream: %w", err)
	}
	return &Desk{db: db, nc: nc, js: js}, nil
}

const columns = `id, consumer, stream_seq, subject, msg_id, reason, died_at, octet_length(data)::bigint, producer_id, producer_epoch, producer_seq`

// scan reads a row of columns, and of what is selected after them.
func scan(row pgx.Row, more ...any) (Event, error) {
	var (
		e          Event
		producer   *string
		epoch, seq *int64
	)
	into := []any{&e.ID, &e.Consumer, &e.StreamSeq, &e.Subject, &e.MsgID, &e.Reason, &e.DiedAt, &e.Size, &producer, &epoch, &seq}
	if err := row.Scan(append(into, more...)...); err != nil {
		return Event{}, err
	}
	e.DiedAt = e.DiedAt.UTC()
	if producer != nil {
		e.Producer = &Place{*producer, *epoch, *seq}
	}
	return e, nil
}

// List reads a page of the events of a consumer, of any if it is empty: those with an
// id below before, the latest first. more says that there are others.
func (d *Desk) List(ctx context.Context, consumer string, before int64, limit int) (events []Event, more bool, err error) {
	err = store.InTx(ctx, d.db, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT `+columns+` FROM dead_events
			WHERE id < $1 AND (consumer = $2 OR $2 = '') ORDER BY id DESC LIMIT $3`, before, consumer, limit+1)
		if err != nil {
			return err
		}
		events, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (Event, error) { return scan(row) })
		return err
	})
	if err != nil {
		return nil, false, fmt.Errorf("list dead events: %w", err)
	}
	if len(events) > limit {
		return events[:limit], true, nil
	}
	return events, false, nil
}

// Get reads one event; store.ErrNotFound.
func (d *Desk) Get(ctx context.Context, id int64) (Full, error) {
	var f Full
	err := store.InTx(ctx, d.db, func(tx pgx.Tx) (err error) {
		f.Event, err = scan(tx.QueryRow(ctx, `SELECT `+columns+`, data FROM dead_events WHERE id = $1`, id), &f.Data)
		return err
	})
	if err != nil {
		return Full{}, fmt.Errorf("dead event %d: %w", id, err)
	}
	return f, nil
}
