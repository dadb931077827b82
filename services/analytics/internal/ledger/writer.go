package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"loom.internal/pkg/event"
	"loom.internal/pkg/faultpoint"
	"loom.internal/pkg/pricing"
	"loom.internal/pkg/store"
)

// attempts at a transaction that others' transactions made fail.
const attempts = 3

// Writer adds events to the ledger and to the sums.
type Writer struct {
	DB       *pgxpool.Pool
	Consumer string // named in dead_events

	// Prices is the book with every price that is in force now.
	Prices func(context.Context) (*pricing.Book, error)

	// Marked, if set, hears how far gateways' events have come, after the commit.
	Marked func(event.Watermarks)

	// Unpriced, if set, hears of each new fact without a price, after it is
	// committed; why is one of Reasons.
	Unpriced func(why string)
}

// Write commits events and dead in one transaction, and says how many of the events
// were new to the ledger: only those change the sums.
func (w Writer) Write(ctx context.Context, events []*event.TraceEvent, dead []event.Dead) (fresh int, err error) {
	facts, err := w.facts(ctx, events)
	if err != nil {
		return 0, err
	}
	var (
		added []fact
		marks event.Watermarks
	)
	for range attempts {
		marks = make(event.Watermarks)
		err = store.InTx(ctx, w.DB, func(tx pgx.Tx) (err error) {
			added, err = w.insert(ctx, tx, facts, dead)
			if err == nil && len(added) > 0 {
				faultpoint.Hit("analytics.facts_inserted")
				err = sumUp(ctx, tx, added)
			}
			if err != nil {
				return err
			}
			var batch pgx.Batch
			// An id may have come under two numbers: both are accounted for.
			store.ProgressAnalytics.Queue(&batch, events, dead, marks)
			return tx.SendBatch(ctx, &batch).Close()
		})
		if !errors.Is(err, store.ErrRetryable) {
			break
		}
	}
	if err != nil {
		return 0, err
	}
	if w.Marked != nil {
		w.Marked(marks)
	}
	if w.Unpriced != nil {
		for _, f := range added {
			if f.why != "" {
				w.Unpriced(f.why)
			}
		}
	}
	return len(added), nil
}

// facts prices the events, each once, and in one order everywhere, so that two writers of
// the same events cannot wait for each other.
func (w Writer) facts(ctx context.Context, events []*event.TraceEvent) ([]fact, error) {
	book, err := w.Prices(ctx)
	if err != nil {
		return nil, err
	}
	events = slices.SortedFunc(slices.Values(events), func(a, b *event.TraceEvent) int { return idOf(a).compare(idOf(b)) })
	events = slices.CompactFunc(events, func(a, b *event.TraceEvent) bool { return idOf(a) == idOf(b) })
	facts := make([]fact, len(events))
	for i, e := range events {
		facts[i] = newFact(e, book)
	}
	return facts, nil
}

// insert returns the facts that were not in the ledger.
func (w Writer) insert(ctx context.Context, tx pgx.Tx, facts []fact, dead []event.Dead) (added []fact, err error) {
	var (
		batch pgx.Batch
		fresh map[id]bool
	)
	if len(facts) > 0 {
		events := make([]*event.TraceEvent, len(facts))
		for i, f := range facts {
			events[i] = f.TraceEvent
		}
		store.QueuePartitions(&batch, events)
		batch.Queue(factRows.Insert("usage_facts")+`ON CONFLICT DO NOTHING RETURNING tenant_id, started_at, trace_id::text`,
			factRows.Args(facts)...).Query(func(rows pgx.Rows) (err error) {
			fresh, err = collectIDs(rows)
			return err
		})
	}
	if len(dead) > 0 {
		store.QueueDead(&batch, w.Consumer, dead)
	}
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
		return nil, fmt.Errorf("insert usage facts: %w", err)
	}
	for _, f := range facts {
		if fresh[idOf(f.TraceEvent)] {
			added = append(added, f)
		}
	}
	return added, nil
}

func sumUp(ctx context.Context, tx pgx.Tx, facts []fact) error {
	all := rollups{}
	for _, f := range facts {
		all.add(f.entry())
	}
	return all.upsert(ctx, tx)
}

// id is the primary key of a fact.
type id struct {
	tenant    string
	startedUs int64
	trace     string
}

func idOf(e *event.TraceEvent) id {
	return id{e.GetTenantId(), e.GetStartedAtUs(), e.GetTraceId()}
}

func (i id) compare(o id) int {
	return cmp.Or(cmp.Compare(i.tenant, o.tenant), cmp.Compare(i.startedUs, o.startedUs), cmp.Compare(i.trace, o.trace))
}

func collectIDs(rows pgx.Rows) (map[id]bool, error) {
	ids := map[id]bool{}
	var (
		one id
		at  time.Time
	)
	_, err := pgx.ForEachRow(rows, []any{&one.tenant, &at, &one.trace}, func() error {
		one.startedUs = at.UnixMicro()
		ids[one] = true
		return nil
	})
	return ids, err
}
