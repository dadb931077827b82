// Package revision orders what changes the configuration: every change commits together
// with its line in the access log, and takes its number from one sequence under one
// lock, so that whoever reads "all above revision N" misses nothing.
package revision

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"loom.internal/pkg/store"
)

// configLock orders all writers of the configuration, whatever process they are in.
const configLock = 0x6c6f6f6d10 // "loom", 16

// Change gathers the writes of one transaction; they are sent at its end.
type Change struct {
	Tx       pgx.Tx
	Actor    string // as the access log names it
	batch    pgx.Batch
	revision int64 // of what this change writes; 0 until it is needed
}

// Do runs fn in a transaction that no other change of the configuration overlaps. The
// pool is of the role loom_admin.
func Do(ctx context.Context, db *pgxpool.Pool, actor string, fn func(*Change) error) error {
	return store.InTx(ctx, db, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(configLock)); err != nil {
			return fmt.Errorf("lock configuration: %w", err)
		}
		c := &Change{Tx: tx, Actor: actor}
		if err := fn(c); err != nil {
			return err
		}
		return c.Flush(ctx)
	})
}

// Next is the revision of everything this change writes.
func (c *Change) Next(ctx context.Context) (int64, error) {
	if c.revision == 0 {
		if err := c.Tx.QueryRow(ctx, `SELECT nextval('config_revision')`).Scan(&c.revision); err != nil {
			return 0, fmt.Errorf("next revision: %w", err)
		}
	}
	return c.revision, nil
}

// Write queues a statement.
func (c *Change) Write(sql string, args pgx.NamedArgs) { c.batch.Queue(sql, args) }

// Audit queues a line of the access log; tenantID is empty for what belongs to none.
func (c *Change) Audit(tenantID, action string, detail map[string]any) error {
	data, err := json.Marshal(detail)
	if err != nil {
		return fmt.Errorf("audit %s: %w", action, err)
	}
	c.batch.Queue(`INSERT INTO access_log (tenant_id, actor, action, detail) VALUES ($1, $2, $3, $4)`, tenantID, c.Actor, action, data)
	return nil
}

// Flush sends what is queued.
func (c *Change) Flush(ctx context.Context) error {
	if c.batch.Len() == 0 {
		return nil
	}
	err := c.Tx.SendBatch(ctx, &c.batch).Close()
	c.batch = pgx.Batch{}
	if err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	return nil
}
