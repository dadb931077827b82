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
	// Two writers with the same events must lock their rows in the same order.
	events = slices.SortedFunc(slices.Values(events), func(a, b *event.TraceEvent) int {
		return cmp.Or(cmp.Compare(a.GetTenantId(), b.GetTenantId()),
			cmp.Compare(a.GetStartedAtUs(), b.GetStartedAtUs()), cmp.Compare(a.GetTraceId(), b.GetTraceId()))
	})
	var batch pgx.Batch // without BEGIN: all of it is one transaction
	if len(events) > 0 {
		store.QueuePartitions(&batch, events)
		batch.Queue(insertTraces, traceRows.Args(events)...).Exec(func(tag pgconn.CommandTag) error {
			fresh = int(tag.RowsAffected())
			return nil
		})
	}
	if bodies := slices.DeleteFunc(slices.Clone(events), hasNoBody); len(bodies) > 0 {
		batch.Queue(insertBodies, bodyRows.Args(bodies)...)
	}
	if len(dead) > 0 {
		store.QueueDead(&batch, w.Consumer, dead)
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
