package analytics

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"loom.internal/pkg/event"
	"loom.internal/pkg/store"
	"loom.internal/services/analytics/internal/book"
	"loom.internal/services/analytics/internal/ledger"
)

// Replay is what analytics makes of events, for who builds its tables anew: as the service
// does it, but for what it notes down beside, the progress of producers and the events
// that are set aside.
type Replay struct{ writer ledger.Writer }

// NewReplay returns one that works with the prices of db.
func NewReplay(db *pgxpool.Pool) (*Replay, error) {
	prices, err := book.New(db)
	if err != nil {
		return nil, err
	}
	return &Replay{ledger.Writer{Prices: prices.Current}}, nil
}

// Check refuses an event that the ledger cannot take.
func (*Replay) Check(e *event.TraceEvent) error { return store.CheckDay(e, time.Now()) }

// Fill puts the facts of events into the table usage_facts that tx finds, and says how
// many were not there yet. Their sums are left to Sum: by the day they are cheaper.
func (r *Replay) Fill(ctx context.Context, tx pgx.Tx, events []*event.TraceEvent) (fresh int, err error) {
	return r.writer.Fill(ctx, tx, events)
}

// Apply puts events into the tables usage_facts, rollups and tag_rollups that tx finds, and says how
// many facts were not there yet.
func (r *Replay) Apply(ctx context.Context, tx pgx.Tx, events []*event.TraceEvent) (fresh int, err error) {
	return r.writer.Apply(ctx, tx, events)
}

// Sum makes the rollups of one UTC day, of which there are none, from the ledger that tx
// finds.
func (*Replay) Sum(ctx context.Context, tx pgx.Tx, day time.Time) error {
	return ledger.Sum(ctx, tx, day)
}

// Reconcile compares the rollups that db finds with its ledger; see Service.Reconcile.
func Reconcile(ctx context.Context, db *pgxpool.Pool) (Report, error) {
	return ledger.Reconcile(ctx, db, time.Time{})
}

// Wrong counts the rollups of one UTC day, of one tenant unless tenant is "", that are not
// what the ledger comes to.
func Wrong(ctx context.Context, tx pgx.Tx, day time.Time, tenant string) (int64, error) {
	return ledger.Wrong(ctx, tx, day, tenant)
}

// Repair brings those rollups to what the ledger comes to, and says how many they were.
// The caller keeps writers away from the tables.
func Repair(ctx context.Context, tx pgx.Tx, day time.Time, tenant string) (repaired int64, err error) {
	return ledger.Repair(ctx, tx, day, tenant)
}
