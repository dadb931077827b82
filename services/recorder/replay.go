package recorder

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"loom.internal/pkg/event"
	"loom.internal/pkg/store"
	"loom.internal/services/recorder/internal/traces"
)

// Replay is what the recorder makes of events, for who builds its tables anew: as the
// service does it, but for what it notes down beside, the progress of producers and the
// events that are set aside.
type Replay struct{}

// Check refuses an event that the tables cannot take. Whether its day is still kept is
// for the caller to know.
func (Replay) Check(e *event.TraceEvent) error {
	return errors.Join(store.CheckDay(e, time.Now()), traces.Check(e))
}

// Apply puts events into the tables traces and trace_bodies that tx finds, and says how
// many traces were not there yet.
func (Replay) Apply(ctx context.Context, tx pgx.Tx, events []*event.TraceEvent) (fresh int, err error) {
	return traces.Apply(ctx, tx, events)
}
