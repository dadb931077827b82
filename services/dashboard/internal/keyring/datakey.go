package keyring

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"loom.internal/pkg/envelope"
	"loom.internal/pkg/store"
	"loom.internal/services/dashboard/internal/revision"
)

// States of a data key.
const (
	StateActive   = "active"   // it seals
	StateRetired  = "retired"  // it opens what it has sealed
	StateShredded = "shredded" // it is gone, and so is what it has sealed
)

// DataKey is a data key as listings show it.
type DataKey struct {
	TenantID      string     `json:"tenant_id"`
	Epoch         int32      `json:"epoch"`
	State         string     `json:"state"`
	MasterVersion *int32     `json:"master_version"` // nil: shredded
	CreatedAt     time.Time  `json:"created_at"`
	EndedAt       *time.Time `json:"ended_at"`
}

// Ensure has an active data key for the tenant at the end of the change, which writes the
// tenant's row with the revision of c.
func (k *Keyring) Ensure(ctx context.Context, c *revision.Change, tenantID string) error {
	var exists bool
	err := c.Tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM tenant_keys WHERE tenant_id = $1 AND state = 'active')`, tenantID).Scan(&exists)
	if err != nil {
		return fmt.Errorf("data key of %s: %w", tenantID, err)
	}
	if exists {
		return nil
	}
	_, err = k.add(ctx, c, tenantID, "first")
	return err
}

// add queues the retirement of the tenant's active data key and the next one.
func (k *Keyring) add(ctx context.Context, c *revision.Change, tenantID, why string) (epoch uint32, err error) {
	var last int32
	if err := c.Tx.QueryRow(ctx, `SELECT coalesce(max(epoch), 0) FROM tenant_keys WHERE tenant_id = $1`, tenantID).Scan(&last); err != nil {
		return 0, fmt.Errorf("data keys of %s: %w", tenantID, err)
	}
	epoch = uint32(last) + 1 //nolint:gosec // at most 2^31
	w, err := envelope.NewDataKey(tenantID, epoch).Wrap(ctx, k.opt.Wrapper)
	if err != nil {
		return 0, err
	}
	at := k.opt.Now().UTC().Truncate(time.Microsecond)
	c.Write(`UPDATE tenant_keys SET state = 'retired', ended_at = @at WHERE tenant_id = @tenant AND state = 'active'`,
		pgx.NamedArgs{"tenant": tenantID, "at": at})
	c.Write(`
		INSERT INTO tenant_keys (tenant_id, epoch, master_version, iv, wrapped, created_at) VALUES (@tenant, @epoch, @version, @iv, @wrapped, @at)`,
		pgx.NamedArgs{
			"tenant": tenantID, "epoch": int64(epoch), "version": int64(w.MasterVersion), "iv": w.IV, "wrapped": w.Ciphertext, "at": at,
		})
	return epoch, c.Audit(tenantID, "datakey.create", map[string]any{"epoch": epoch, "why": why})
}

// Rotate gives an active tenant another data key; those before it go on to open what they
// have sealed. A tenant that is not there or not active is store.ErrNotFound.
func (k *Keyring) Rotate(ctx context.Context, by, tenantID string) (epoch uint32, err error) {
	return k.rotate(ctx, by, tenantID, "asked", func(pgx.Tx) (bool, error) { return true, nil })
}

// rotate does it if it is due; 0 if it is not.
func (k *Keyring) rotate(ctx context.Context, by, tenantID, why string, due func(pgx.Tx) (bool, error)) (epoch uint32, err error) {
	err = revision.Do(ctx, k.opt.DB, by, func(c *revision.Change) error {
		var id string
		if err := c.Tx.QueryRow(ctx, `SELECT id FROM tenants WHERE id = $1 AND status = 'active'`, tenantID).Scan(&id); err != nil {
			return err
		}
		if is, err := due(c.Tx); err != nil || !is {
			return err
		}
		number, err := c.Next(ctx)
		if err != nil {
			return err
		}
		c.Write(`UPDATE tenants SET revision = @revision WHERE id = @tenant`, pgx.NamedArgs{"revision": number, "tenant": tenantID})
		epoch, err = k.add(ctx, c, tenantID, why)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("rotate data key of %s: %w", tenantID, err)
	}
	return epoch, nil
}

// List shows the data keys of a tenant, or of all, after the given one; more says that
// there are others beyond the limit.
func (k *Keyring) List(ctx context.Context, tenantID, afterTenant string, afterEpoch int32, limit int) (keys []DataKey, more bool, err error) {
	err = store.InTx(ctx, k.opt.DB, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			SELECT tenant_id, epoch, state, master_version, created_at, ended_at FROM tenant_keys
			WHERE ($1 = '' OR tenant_id = $1) AND (tenant_id COLLATE "C", epoch) > ($2 COLLATE "C", $3)
			ORDER BY tenant_id COLLATE "C", epoch LIMIT $4`, tenantID, afterTenant, afterEpoch, limit+1)
		if err != nil {
			return err
		}
		keys, err = pgx.CollectRows(rows, pgx.RowToStructByPos[DataKey])
		return err
	})
	if err != nil {
		return nil, false, fmt.Errorf("list data keys: %w", err)
	}
	if len(keys) > limit {
		keys, more = keys[:limit], true
	}
	for i := range keys {
		keys[i].CreatedAt = keys[i].CreatedAt.UTC()
		if at := keys[i].EndedAt; at != nil {
			*at = at.UTC()
		}
	}
	return keys, more, nil
}

var (
	// ErrShredded is of a body whose key is gone for good.
	ErrShredded = errors.New("what the key has sealed was shredded")
	// ErrNoKey is of a body whose key nothing is known of.
	ErrNoKey = errors.New("there is no such data key")
)

// Row reads one row.
type Row interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Find reads a data key of a tenant, wrapped. The role may be loom_admin, or
// loom_dashboard in a transaction of the tenant. It fails with ErrNoKey or ErrShredded.
func Find(ctx context.Context, db Row, tenantID string, epoch int32) (envelope.WrappedDataKey, error) {
	var (
		version *uint32
		k       = envelope.WrappedDataKey{Epoch: uint32(max(epoch, 0))}
	)
	err := db.QueryRow(ctx, `SELECT master_version, iv, wrapped FROM tenant_keys WHERE tenant_id = $1 AND epoch = $2`, tenantID, epoch).
		Scan(&version, &k.IV, &k.Ciphertext)
	switch err = store.Wrap(err); {
	case errors.Is(err, store.ErrNotFound):
		err = ErrNoKey
	case err == nil && version == nil:
		err = ErrShredded
	case err == nil:
		k.MasterVersion = *version
		return k, nil
	}
	return k, fmt.Errorf("data key %d of %s: %w", epoch, tenantID, err)
}

// Open finds a data key and unwraps it; its errors are those of both.
func (k *Keyring) Open(ctx context.Context, db Row, tenantID string, epoch int32) (*envelope.DataKey, error) {
	wrapped, err := Find(ctx, db, tenantID, epoch)
	if err != nil {
		return nil, err
	}
	return wrapped.Unwrap(ctx, k.opt.Wrapper, tenantID)
}

// keepEvery is the time between two looks for data keys that are due.
const keepEvery = time.Hour

// Keep gives every active tenant a data key, and another when it is due, until ctx ends.
// changed is called after it has.
func (k *Keyring) Keep(ctx context.Context, changed func()) {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for wait := time.NewTimer(0); ; {
		select {
		case <-ctx.Done():
			return
		case <-wait.C:
		case <-tick.C:
		}
		n, err := k.KeepOnce(ctx)
		if n > 0 {
			changed()
		}
		if err != nil && ctx.Err() == nil {
			k.opt.Log.LogAttrs(ctx, slog.LevelWarn, "data keys not looked after, trying again", slog.Any("error", err))
			wait.Reset(retryAfter)
		}
	}
}

const retryAfter = 10 * time.Second

// KeepOnce does what Keep does, once, and says of how many tenants. Bodies are counted by
// the requests of the rollups, two for each, from the key's first minute on: an upper bound.
func (k *Keyring) KeepOnce(ctx context.Context) (n int, err error) {
	const due = `
		SELECT t.id, k.epoch IS NULL
		FROM tenants t LEFT JOIN tenant_keys k ON k.tenant_id = t.id AND k.state = 'active'
		WHERE t.status = 'active' AND ($3 = '' OR t.id = $3) AND (k.epoch IS NULL OR k.created_at < $1
		   OR 2 * (SELECT coalesce(sum(r.requests), 0) FROM rollups r WHERE r.tenant_id = t.id AND (r.grain = 'day' AND r.bucket > k.created_at
		       OR r.grain = 'minute' AND r.bucket >= date_trunc('minute', k.created_at) AND r.bucket < date_trunc('day', k.created_at, 'UTC') + interval '24 hours')) >= $2)`
	args := func(tenantID string) []any { return []any{k.opt.Now().Add(-k.opt.MaxAge), k.opt.MaxSeals, tenantID} }
	rows, err := k.opt.DB.Query(ctx, due, args("")...)
	if err != nil {
		return 0, fmt.Errorf("data keys that are due: %w", store.Wrap(err))
	}
	type found struct {
		Tenant string
		First  bool
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[found])
	if err != nil {
		return 0, fmt.Errorf("data keys that are due: %w", store.Wrap(err))
	}
	for _, f := range all {
		why := "due"
		if f.First {
			why = "first"
		}
		epoch, err := k.rotate(ctx, actor, f.Tenant, why, func(tx pgx.Tx) (bool, error) {
			rows, err := tx.Query(ctx, due, args(f.Tenant)...)
			if err != nil {
				return false, err
			}
			still, err := pgx.CollectRows(rows, pgx.RowToStructByPos[found])
			return len(still) > 0, err // another process may have been faster
		})
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return n, err
		}
		if epoch > 0 {
			n++
			k.opt.Log.LogAttrs(ctx, slog.LevelInfo, "tenant has another data key",
				slog.String("tenant_id", f.Tenant), slog.Uint64("epoch", uint64(epoch)), slog.String("why", why))
		}
	}
	return n, nil
}
