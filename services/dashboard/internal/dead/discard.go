package dead

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"loom.internal/pkg/event"
	"loom.internal/pkg/store"
)

// Discarded is an event that is gone for good.
type Discarded struct {
	ID int64 `json:"id"`
}

// Discard lets go of an event for good. The access log keeps what it was, without its
// data. The error is store.ErrNotFound.
func (d *Desk) Discard(ctx context.Context, actor string, id int64) (Discarded, error) {
	err := store.InTx(ctx, d.db, func(tx pgx.Tx) error {
		e, err := scan(tx.QueryRow(ctx, `DELETE FROM dead_events WHERE id = $1 RETURNING `+columns, id))
		if err != nil {
			return err
		}
		tenantID, _, err := event.ParseSubject(e.Subject)
		if err != nil {
			tenantID = "" // it belongs to none
		}
		detail, err := json.Marshal(e)
		if err != nil {
			return fmt.Errorf("audit: %w", err)
		}
		_, err = tx.Exec(ctx, `INSERT INTO access_log (tenant_id, actor, action, detail) VALUES ($1, $2, 'dead.discard', $3)`, tenantID, actor, detail)
		if err != nil {
			return fmt.Errorf("audit: %w", err)
		}
		return nil
	})
	if err != nil {
		return Discarded{}, fmt.Errorf("discard dead event %d: %w", id, err)
	}
	return Discarded{id}, nil
}
