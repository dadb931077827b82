// Package traces writes trace events into the recorder's tables.
package traces

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"loom.internal/pkg/event"
	"loom.internal/pkg/store"
)

// Writer writes events to Postgres. It only inserts: its role may read none of it.
type Writer struct {
	DB       *pgxpool.Pool
	Consumer string // named in dead_events

	// Marked, if set, hears how far producers have come, after the commit.
	Marked func(event.Watermarks)
}

// Write commits events and dead in one transaction and one round trip, and says how
// many traces were not there yet. Those that were stay as they are.
func (w Writer) Write(ctx context.Context, events []*event.TraceEvent, dead []event.Dead) (fresh int, err error) {
	if slices.ContainsFunc(events, isDetached) {
		return 0, errDetached
	}
	var batch pgx.Batch // without BEGIN: all of it is one transaction
	queue(&batch, events, &fresh)
	if len(dead) > 0 {
		store.QueueDead(&batch, w.Consumer, dead)
	}
	if len(events) > 0 {
		batch.Queue(`SELECT loom_arrived($1::text[]::uuid[])`, ids(events))
	}
	marks := make(event.Watermarks)
	store.ProgressRecorder.Queue(&batch, events, dead, marks)
	if err := w.DB.SendBatch(ctx, &batch).Close(); err != nil {
		return 0, store.Wrap(err)
	}
	if w.Marked != nil {
		w.Marked(marks)
	}
	return fresh, nil
}

func ids(events []*event.TraceEvent) []string {
	all := make([]string, len(events))
	for i, e := range events {
		all[i] = e.GetTraceId()
	}
	return all
}

// Apply puts what the events come to into the tables that tx finds, as Write does and
// without taking note of it, and says how many traces were not there yet.
func Apply(ctx context.Context, tx pgx.Tx, events []*event.TraceEvent) (fresh int, err error) {
	if slices.ContainsFunc(events, isDetached) {
		return 0, errDetached
	}
	var batch pgx.Batch
	queue(&batch, events, &fresh)
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
		return 0, store.Wrap(err)
	}
	return fresh, nil
}

// queue adds to batch the rows of events that are not there yet; fresh will be the number
// of traces among them.
func queue(batch *pgx.Batch, events []*event.TraceEvent, fresh *int) {
	if len(events) == 0 {
		return
	}
	// Two writers with the same events must lock their rows in the same order.
	events = slices.SortedFunc(slices.Values(events), func(a, b *event.TraceEvent) int {
		return cmp.Or(cmp.Compare(a.GetTenantId(), b.GetTenantId()),
			cmp.Compare(a.GetStartedAtUs(), b.GetStartedAtUs()), cmp.Compare(a.GetTraceId(), b.GetTraceId()))
	})
	store.QueuePartitions(batch, events)
	batch.Queue(insertTraces, traceRows.Args(events)...).Exec(func(tag pgconn.CommandTag) error {
		*fresh = int(tag.RowsAffected())
		return nil
	})
	if bodies := slices.DeleteFunc(slices.Clone(events), hasNoBody); len(bodies) > 0 {
		batch.Queue(insertBodies, bodyRows.Args(bodies)...)
	}
}

// errDetached is for who forgot to attach: the row would tell of a body and have none.
var errDetached = errors.New("store an event with a body that is not in it: attach it first")

func isDetached(e *event.TraceEvent) bool { return e.DetachedBytes() > 0 }

// errMixedKeys refuses two bodies that one row could not tell how to open.
var errMixedKeys = errors.New("request_body and response_body are sealed with different keys or suites")

// Check refuses an event whose bodies do not fit one row.
func Check(e *event.TraceEvent) error {
	request, response := e.GetRequestBody(), e.GetResponseBody()
	if request == nil || response == nil {
		return nil
	}
	if request.GetSuite() != response.GetSuite() || request.GetKeyVersion() != response.GetKeyVersion() {
		return errMixedKeys
	}
	return nil
}

func hasNoBody(e *event.TraceEvent) bool {
	return e.GetRequestBody() == nil && e.GetResponseBody() == nil
}
