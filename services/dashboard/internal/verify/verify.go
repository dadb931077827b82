// Package verify checks that nothing is missing: every number that a gateway has given
// is in Postgres, every trace has its usage fact and every fact its trace, and the rollups
// come to what the ledger comes to.
//
//	producers ─ all numbers that were given  ┐
//	traces ◀──▶ usage_facts, by day          ├▶ Report
//	usage_facts ──sum──▶ = rollups and       │
//	                 tag_rollups, by day     │
//	dead_events ─ none                       ┘
//
// It is sound beside writers: what is still on its way counts as pending, not as
// missing.
package verify

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/store"
)

// Bounds of a check.
const (
	DefaultDays = 7
	MaxDays     = 31

	// margin is how far the clocks of the broker, of Postgres and of this process may
	// differ, and how young a row may be to count as on its way.
	margin = time.Minute
	// gapPatience is how long a number may be missing before it counts: gateways send
	// again after two minutes what is not confirmed.
	gapPatience = 5 * time.Minute
	// busLimit is how long the bus may take to say what gateways have told it.
	busLimit = 10 * time.Second
)

// ErrBus means that the bus could not be asked what is on its way.
var ErrBus = errors.New("the bus does not answer")

// State is the outcome of a check, or of a part of it.
type State string

// States, the better first.
const (
	Complete State = "complete"
	Pending  State = "pending" // nothing is missing for all that is known, but something is on its way
	Missing  State = "missing" // something is not there, or differs
)

// worse is the worse of two states.
func worse(a, b State) State {
	rank := map[State]int{Complete: 0, Pending: 1, Missing: 2}
	if rank[b] > rank[a] {
		return b
	}
	return a
}

// Report is the outcome of a check.
type Report struct {
	At        time.Time  `json:"at"`
	State     State      `json:"state"`     // the worst of all parts
	Consumers []Consumer `json:"consumers"` // in the order of their names
	Producers []Producer `json:"producers"` // those that lack some first, then the latest first; the first 1000
	Days      []Day      `json:"days"`      // the latest first
	Dead      int64      `json:"dead"`      // events set aside
	Findings  []Finding  `json:"findings"`  // what is wrong, and what waits for somebody to do something

	gone int64 // numbers that are given up: nobody has their events
}

// Finding is something that is missing, differs or lies in a spool, and what to do about it.
type Finding struct {
	Check   string `json:"check"` // producers, spools, traces, facts, rollups or dead
	Message string `json:"message"`
	Advice  string `json:"advice"`
}

// Consumer is how far a projection has come on the stream.
type Consumer struct {
	Name      string    `json:"name"`
	Unsettled uint64    `json:"unsettled"` // events on the stream that it has not stored
	Settled   time.Time `json:"settled"`   // everything stored on the stream before is settled
}

// Verifier checks with a pool of the role loom_admin and a connection to the bus.
type Verifier struct {
	db  *pgxpool.Pool
	js  jetstream.JetStream
	nc  *nats.Conn
	now func() time.Time
}

// New takes what to check with.
func New(db *pgxpool.Pool, nc *nats.Conn, now func() time.Time) (*Verifier, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("JetStream: %w", err)
	}
	return &Verifier{db: db, js: js, nc: nc, now: now}, nil
}

// Check looks at all producers and at the last days, today included, in UTC. It
// changes nothing. The error is ErrBus where the bus is away: what is on its way is
// then not known.
func (v *Verifier) Check(ctx context.Context, days int) (*Report, error) {
	now := v.now().UTC().Truncate(time.Microsecond)
	r := &Report{At: now, State: Complete, Consumers: []Consumer{}, Producers: []Producer{}, Days: []Day{}, Findings: []Finding{}}
	// Before the tables: what is settled now is in the tables then.
	words, err := v.words(ctx)
	if err != nil {
		return nil, err
	}
	settled, recorded, err := v.progress(ctx, r)
	if err != nil {
		return nil, err
	}
	err = store.InTx(ctx, v.db, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, `SELECT count(*) FROM dead_events`).Scan(&r.Dead); err != nil {
			return fmt.Errorf("count dead events: %w", err)
		}
		if err := r.givenUp(ctx, tx); err != nil {
			return err
		}
		if err := r.producers(ctx, tx, days, words, recorded); err != nil {
			return err
		}
		return r.acknowledged(ctx, tx)
	})
	if err != nil {
		return nil, err
	}
	for n := range days {
		day := now.Truncate(24*time.Hour).AddDate(0, 0, -n)
		if err := r.day(ctx, v.db, day, settled); err != nil {
			return nil, fmt.Errorf("verify %s: %w", day.Format(time.DateOnly), err)
		}
	}
	r.conclude()
	return r, nil
}

// words asks what gateways have last said of their numbers.
func (v *Verifier) words(ctx context.Context) ([]bus.Word, error) {
	if err := bus.Ready(v.nc); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBus, err)
	}
	ctx, cancel := context.WithTimeout(ctx, busLimit)
	defer cancel()
	words, err := bus.ReadNumbered(ctx, v.js)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBus, err)
	}
	return words, nil
}

// progress asks the consumers how far they are. The tables have to agree on what came
// before the first time it returns, and the recorder has all that came before the second.
func (v *Verifier) progress(ctx context.Context, r *Report) (settled, recorded time.Time, err error) {
	settled = r.At
	for _, name := range []string{bus.ConsumerAnalytics, bus.ConsumerRecorder} {
		p, err := bus.ProgressOf(ctx, v.js, name, r.At)
		if err != nil {
			return time.Time{}, time.Time{}, fmt.Errorf("%w: %w", ErrBus, err)
		}
		if name == bus.ConsumerRecorder {
			recorded = p.Settled
		}
		r.Consumers = append(r.Consumers, Consumer{Name: name, Unsettled: p.Unsettled, Settled: p.Settled})
		if p.Unsettled > 0 {
			r.State = Pending
		}
		if p.Settled.Before(settled) {
			settled = p.Settled
		}
	}
	return settled.Add(-margin), recorded, nil
}

func (r *Report) find(check, advice, format string, args ...any) {
	r.Findings = append(r.Findings, Finding{Check: check, Message: fmt.Sprintf(format, args...), Advice: advice})
}

// conclude says what is wrong, in words.
func (r *Report) conclude() {
	r.mourn()
	var numbers, gateways int64
	for _, p := range r.Producers {
		r.State = worse(r.State, p.State)
		if p.State == Missing {
			numbers, gateways = numbers+p.Missing, gateways+1
		}
		if p.State == Pending && p.Held > 0 && r.At.Sub(p.UpdatedAt) >= gapPatience {
			r.find("spools", "A gateway logs whose spool it opens, its own or one that it adopts (producer=…). If none has this one, start one on the place "+
				"where it is (LOOM_GATEWAY_SPOOL_DIR): it sends them. If one has, its log says why they are not stored. If the directory is lost, so are they.",
				"%d events of gateway %s, epoch %d, were in its spool when it was last heard of", p.Held, p.ID, p.Epoch)
		}
	}
	if numbers > 0 {
		r.find("producers", "Start a gateway on the place where their spools are: it sends again what no recorder has confirmed. "+
			"Of numbers whose spool is lost, `loom verify acknowledge` says why they will not come.",
			"%d events of %d gateway epochs have not come", numbers, gateways)
	}
	for _, d := range r.Days {
		r.State = worse(r.State, d.State)
		day := d.Day
		if d.MissingFacts > 0 {
			r.find("facts", "See `loom dead list --consumer analytics`: an event it could not take is there, and `loom dead retry` sends it again.",
				"%s: %d traces have no usage fact: their cost is not counted", day, d.MissingFacts)
		}
		if d.MissingTraces > 0 {
			r.find("traces", "See `loom dead list --consumer recorder`: an event it could not take is there, and `loom dead retry` sends it again.",
				"%s: %d usage facts have no trace", day, d.MissingTraces)
		}
		if d.WrongRollups > 0 {
			r.find("rollups", "Only analytics may write these tables: find what else has. The ledger (usage_facts) is what counts; the differences name the rows.",
				"%s: %d of %d rollups are not what the ledger comes to", day, d.WrongRollups, d.Rollups)
		}
	}
	if r.Dead > 0 {
		r.State = Missing
		r.find("dead", "See `loom dead list`. Mend the cause that `loom dead show` names, then send them again with `loom dead retry`, or let go of what is worth nothing with `loom dead discard`.",
			"%d events were set aside because they could not be stored", r.Dead)
	}
}
