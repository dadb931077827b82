// Package admin changes what Loom is configured to do: providers, routes, tenants,
// keys and prices. Every change commits together with its line in the access log, and
// takes its number from one sequence under one lock, so that whoever reads "all above
// revision N" misses nothing.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"loom.internal/pkg/envelope"
	"loom.internal/pkg/manifest"
	"loom.internal/pkg/store"
	"loom.internal/pkg/tenant"
)

// configLock orders all writers of the configuration, whatever process they are in.
const configLock = 0x6c6f6f6d10 // "loom", 16

// InvalidError says that what was asked for cannot be; it lists every reason.
type InvalidError struct{ Faults []manifest.Fault }

func (e *InvalidError) Error() string {
	lines := make([]string, len(e.Faults))
	for i, f := range e.Faults {
		lines[i] = f.String()
	}
	return "not valid:\n" + strings.Join(lines, "\n")
}

// Admin writes the configuration through a pool of the role loom_admin.
type Admin struct {
	db     *pgxpool.Pool
	ring   *envelope.Ring
	hasher *tenant.Hasher
	now    func() time.Time
}

// New takes the ring that seals providers' secrets and the hasher of API keys.
func New(db *pgxpool.Pool, ring *envelope.Ring, hasher *tenant.Hasher, now func() time.Time) *Admin {
	return &Admin{db: db, ring: ring, hasher: hasher, now: now}
}

// change runs fn in a transaction that no other change of the configuration overlaps.
func (a *Admin) change(ctx context.Context, actor string, fn func(*change) error) error {
	return store.InTx(ctx, a.db, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(configLock)); err != nil {
			return fmt.Errorf("lock configuration: %w", err)
		}
		c := &change{Admin: a, tx: tx, actor: actor}
		if err := fn(c); err != nil {
			return err
		}
		return c.flush(ctx)
	})
}

// change gathers the writes of one transaction; they are sent at its end.
type change struct {
	*Admin
	tx       pgx.Tx
	actor    string
	batch    pgx.Batch
	revision int64 // of what this change writes; 0 until it is needed
}

// next is the revision of everything this change writes.
func (c *change) next(ctx context.Context) (int64, error) {
	if c.revision == 0 {
		if err := c.tx.QueryRow(ctx, `SELECT nextval('config_revision')`).Scan(&c.revision); err != nil {
			return 0, fmt.Errorf("next revision: %w", err)
		}
	}
	return c.revision, nil
}

// write queues a statement.
func (c *change) write(sql string, args pgx.NamedArgs) { c.batch.Queue(sql, args) }

// audit queues a line of the access log; tenantID is empty for what belongs to none.
func (c *change) audit(tenantID, action string, detail map[string]any) error {
	data, err := json.Marshal(detail)
	if err != nil {
		return fmt.Errorf("audit %s: %w", action, err)
	}
	c.batch.Queue(`INSERT INTO access_log (tenant_id, actor, action, detail) VALUES ($1, $2, $3, $4)`, tenantID, c.actor, action, data)
	return nil
}

func (c *change) flush(ctx context.Context) error {
	if c.batch.Len() == 0 {
		return nil
	}
	if err := c.tx.SendBatch(ctx, &c.batch).Close(); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	return nil
}

// Bootstrap makes the first admin key, if there is no live one. The key is returned
// this once.
func (a *Admin) Bootstrap(ctx context.Context) (key string, created bool, err error) {
	err = a.change(ctx, "bootstrap", func(c *change) error {
		var exists bool
		err := c.tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM admin_keys WHERE revoked_at IS NULL)`).Scan(&exists)
		if err != nil || exists {
			return err
		}
		text, err := tenant.NewKeyText(tenant.AdminPrefix)
		if err != nil {
			return err
		}
		hash := a.hasher.Hash(text)
		c.write(`INSERT INTO admin_keys (id, name, hash, last4) VALUES (@id, 'bootstrap', @hash, @last4)`,
			pgx.NamedArgs{"id": text.ID(), "hash": hash[:], "last4": text.Last4()})
		key, created = text.Reveal(), true
		return c.audit("", "admin.bootstrap", map[string]any{"id": text.ID()})
	})
	if err != nil {
		return "", false, fmt.Errorf("bootstrap: %w", err)
	}
	return key, created, nil
}

// Revision is the number of the last change to the configuration; 0 before the first.
func (a *Admin) revision(ctx context.Context, tx pgx.Tx) (int64, error) {
	var n int64
	err := tx.QueryRow(ctx, `
		SELECT greatest((SELECT max(revision) FROM tenants), (SELECT max(revision) FROM api_keys),
		                (SELECT max(revision) FROM providers), (SELECT max(revision) FROM routes),
		                (SELECT max(revision) FROM prices), 0)`).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("read revision: %w", err)
	}
	return n, nil
}

var errDryRun = errors.New("dry run")
