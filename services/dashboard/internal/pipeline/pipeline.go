package pipeline

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/store"
)

const (
	busLimit     = 2 * time.Second // for the bus to say how things are, else it is away
	producerDays = 1
	maxProducers = 1000
)

// State is how far traces are. What only the bus knows is nil where it is away.
type State struct {
	At        time.Time  `json:"at"`
	FreshTo   *time.Time `json:"fresh_to"`
	Bus       string     `json:"bus"` // up or away
	Stream    *Stream    `json:"stream"`
	Consumers []Consumer `json:"consumers"`
	Producers []Producer `json:"producers"`
}

// Stream is the events on the bus.
type Stream struct {
	Messages uint64     `json:"messages"`
	Bytes    uint64     `json:"bytes"`
	MaxBytes *int64     `json:"max_bytes"` // nil: no limit
	FirstAt  *time.Time `json:"first_at"`  // nil: none is there
	LastAt   *time.Time `json:"last_at"`
}

// Consumer is how far a projection has come.
type Consumer struct {
	Name        string     `json:"name"`
	Pending     *uint64    `json:"pending"`        // not delivered yet
	Unacked     *uint64    `json:"unacknowledged"` // in hand
	Redelivered *int       `json:"redelivered"`    // of those, not for the first time
	OldestAt    *time.Time `json:"oldest_at"`      // since when the oldest that is not stored waits
	Dead        int64      `json:"dead"`           // events set aside
}

// Producer is one life of a gateway.
type Producer struct {
	ID        string     `json:"id"`
	Epoch     int64      `json:"epoch"`
	Numbered  *int64     `json:"numbered"`  // the last number it gave that is known
	Recorded  int64      `json:"recorded"`  // all up to it are in the traces
	Accounted int64      `json:"accounted"` // all up to it are in the ledger
	Missing   int64      `json:"missing"`   // below those that have come
	MovedAt   *time.Time `json:"moved_at"`
}

// Pipeline reads the state with a pool of the role loom_admin and a connection to the bus.
type Pipeline struct {
	*Freshness
	db *pgxpool.Pool
}

// New takes what to read with.
func New(db *pgxpool.Pool, nc *nats.Conn, log *slog.Logger, now func() time.Time) (*Pipeline, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("JetStream: %w", err)
	}
	return &Pipeline{&Freshness{js: js, nc: nc, log: log, now: now}, db}, nil
}

// Read asks the bus and the tables. Where the bus is away the tables still have their say.
func (p *Pipeline) Read(ctx context.Context) (State, error) {
	now := p.now().UTC().Truncate(time.Microsecond)
	s := State{At: now, Bus: "up", Consumers: []Consumer{}, Producers: []Producer{}}
	words, err := p.askBus(ctx, &s)
	if err != nil {
		p.log.LogAttrs(ctx, slog.LevelDebug, "the bus does not say how things are", slog.Any("error", err))
		s.Bus, s.FreshTo, s.Stream, words, s.Consumers = "away", nil, nil, nil, []Consumer{}
		for _, name := range consumers() {
			s.Consumers = append(s.Consumers, Consumer{Name: name})
		}
	}
	err = store.InTx(ctx, p.db, func(tx pgx.Tx) error {
		if err := s.dead(ctx, tx); err != nil {
			return err
		}
		return s.producers(ctx, tx, words)
	})
	if err != nil {
		return State{}, err
	}
	return s, nil
}

// askBus fills in what the bus knows, and returns what gateways have told it.
func (p *Pipeline) askBus(ctx context.Context, s *State) ([]bus.Word, error) {
	if err := bus.Ready(p.nc); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, busLimit)
	defer cancel()
	stream, err := p.js.Stream(ctx, bus.StreamTrace)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", bus.StreamTrace, err)
	}
	info := stream.CachedInfo() // just fetched
	s.Stream = &Stream{Messages: info.State.Msgs, Bytes: info.State.Bytes}
	if info.Config.MaxBytes > 0 {
		s.Stream.MaxBytes = &info.Config.MaxBytes
	}
	if info.State.Msgs > 0 {
		s.Stream.FirstAt, s.Stream.LastAt = new(info.State.FirstTime.UTC()), new(info.State.LastTime.UTC())
	}
	fresh := s.At
	for _, name := range consumers() {
		p, err := bus.ProgressOf(ctx, p.js, name, s.At)
		if err != nil {
			return nil, err
		}
		c := Consumer{Name: name, Pending: &p.Pending, Unacked: new(p.Unsettled - p.Pending), Redelivered: &p.Redelivered}
		if p.Unsettled > 0 {
			c.OldestAt = &p.Settled
		}
		s.Consumers = append(s.Consumers, c)
		fresh = earlier(fresh, p.Settled)
	}
	s.FreshTo = &fresh
	return bus.ReadNumbered(ctx, p.js)
}

func (s *State) dead(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, `SELECT consumer, count(*) FROM dead_events GROUP BY consumer`)
	if err != nil {
		return fmt.Errorf("count dead events: %w", err)
	}
	var (
		name string
		n    int64
	)
	_, err = pgx.ForEachRow(rows, []any{&name, &n}, func() error {
		for i := range s.Consumers {
			if s.Consumers[i].Name == name {
				s.Consumers[i].Dead = n
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("count dead events: %w", err)
	}
	return nil
}

// producers reads the gateways that have been heard of in the last day, by the tables or
// by their own word, and those that something is missing of.
func (s *State) producers(ctx context.Context, tx pgx.Tx, words []bus.Word) error {
	var (
		ids             []string
		epochs, highest []int64
		at              []time.Time
	)
	for _, w := range words {
		ids, epochs, highest, at = append(ids, w.ProducerID), append(epochs, w.Epoch), append(highest, w.Highest), append(at, w.At)
	}
	rows, err := tx.Query(ctx, `
		SELECT producer_id, epoch, greatest(told.highest, upper(p.recorded) - 1),
		       coalesce(loom_watermark(p.recorded), 0), coalesce(loom_watermark(a.recorded), 0), coalesce(g.missing, 0)::bigint, p.watermark_at
		FROM producers p
		FULL JOIN unnest(@ids::text[], @epochs::bigint[], @highest::bigint[], @told::timestamptz[])
		     AS told (producer_id, epoch, highest, told_at) USING (producer_id, epoch)
		LEFT JOIN producers_accounted a USING (producer_id, epoch)
		LEFT JOIN (SELECT producer_id, epoch, sum(to_seq - from_seq + 1) AS missing FROM producer_gaps GROUP BY 1, 2) g USING (producer_id, epoch)
		WHERE greatest(p.updated_at, told_at) >= @since OR g.missing > 0
		ORDER BY producer_id, epoch LIMIT @limit`,
		pgx.NamedArgs{
			"ids": ids, "epochs": epochs, "highest": highest, "told": at, "since": s.At.AddDate(0, 0, -producerDays), "limit": maxProducers,
		})
	if err != nil {
		return fmt.Errorf("read producers: %w", err)
	}
	s.Producers, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (p Producer, err error) {
		err = row.Scan(&p.ID, &p.Epoch, &p.Numbered, &p.Recorded, &p.Accounted, &p.Missing, &p.MovedAt)
		if p.MovedAt != nil {
			p.MovedAt = new(p.MovedAt.UTC())
		}
		return p, err
	})
	if err != nil {
		return fmt.Errorf("read producers: %w", err)
	}
	return nil
}
