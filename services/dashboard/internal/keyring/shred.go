package keyring

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"loom.internal/pkg/store"
	"loom.internal/pkg/tenant"
	"loom.internal/services/dashboard/internal/revision"
)

// Receipt says what a shredding did.
type Receipt struct {
	TenantID   string          `json:"tenant_id"`
	ShreddedAt time.Time       `json:"shredded_at"`
	By         string          `json:"by"`
	Reason     string          `json:"reason"`
	Keys       []ShreddedKey   `json:"keys"`
	Bodies     map[int32]int64 `json:"bodies"` // traces in Postgres that are noise by it, by epoch; nil: not counted in time
	DryRun     bool            `json:"dry_run,omitempty"`
}

// ShreddedKey is a data key that is gone.
type ShreddedKey struct {
	Epoch         int32     `json:"epoch"`
	MasterVersion int32     `json:"master_version"`
	CreatedAt     time.Time `json:"created_at"`
	WrappedSHA256 string    `json:"wrapped_sha256"` // of the wrapped key as it was stored, to look for it in backups
}

// countLimit bounds the counting: it must not keep anything from being shredded.
const countLimit = 5 * time.Second

// Shred makes all bodies of a tenant unreadable for good, wherever they are: its data keys
// go, and what is left of each is that it was. The tenant becomes inactive, so that no new
// body is sealed; made active again, it gets another key. Metadata and costs stay. A tenant
// that is not there, or has nothing left to shred, is store.ErrNotFound.
func (k *Keyring) Shred(ctx context.Context, by, tenantID, reason string, dryRun bool) (Receipt, error) {
	r := Receipt{TenantID: tenantID, By: by, Reason: reason, DryRun: dryRun}
	var err error
	if r.Bodies, err = k.countBodies(ctx, tenantID); err != nil && ctx.Err() == nil {
		k.opt.Log.LogAttrs(ctx, slog.LevelWarn, "bodies not counted before they are shredded", slog.String("tenant_id", tenantID), slog.Any("error", err))
	}
	err = revision.Do(ctx, k.opt.DB, by, func(c *revision.Change) error {
		rows, err := c.Tx.Query(ctx, `
			SELECT epoch, master_version, created_at, wrapped FROM tenant_keys WHERE tenant_id = $1 AND state <> 'shredded' ORDER BY epoch`, tenantID)
		if err != nil {
			return err
		}
		r.Keys, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (s ShreddedKey, err error) {
			var wrapped []byte
			err = row.Scan(&s.Epoch, &s.MasterVersion, &s.CreatedAt, &wrapped)
			sum := sha256.Sum256(wrapped)
			s.WrappedSHA256, s.CreatedAt = hex.EncodeToString(sum[:]), s.CreatedAt.UTC()
			return s, err
		})
		if err != nil {
			return err
		}
		if len(r.Keys) == 0 {
			return store.ErrNotFound
		}
		r.ShreddedAt = k.opt.Now().UTC().Truncate(time.Microsecond)
		if dryRun {
			return nil
		}
		number, err := c.Next(ctx)
		if err != nil {
			return err
		}
		c.Write(`
			UPDATE tenant_keys SET state = 'shredded', wrapped = NULL, iv = NULL, master_version = NULL, ended_at = @at
			WHERE tenant_id = @tenant AND state <> 'shredded'`, pgx.NamedArgs{"tenant": tenantID, "at": r.ShreddedAt})
		c.Write(`UPDATE tenants SET status = @status, revision = @revision WHERE id = @tenant`,
			pgx.NamedArgs{"tenant": tenantID, "status": string(tenant.Inactive), "revision": number})
		return c.Audit(tenantID, "keys.shred", map[string]any{"reason": reason, "keys": r.Keys, "bodies": r.Bodies})
	})
	if err != nil {
		return r, fmt.Errorf("shred %s: %w", tenantID, err)
	}
	return r, nil
}

// countBodies counts the traces of a tenant by the data key that sealed their bodies, those
// of keys that are still there; nil where that takes too long.
func (k *Keyring) countBodies(ctx context.Context, tenantID string) (map[int32]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, countLimit)
	defer cancel()
	counts := make(map[int32]int64)
	err := store.InTenant(ctx, k.opt.DB, tenantID, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			SELECT encryption_key_version, count(*) FROM trace_bodies
			WHERE tenant_id = $1 AND encryption_key_version NOT IN (SELECT epoch FROM tenant_keys WHERE tenant_id = $1 AND state = 'shredded')
			GROUP BY 1`, tenantID)
		if err != nil {
			return err
		}
		var (
			epoch int32
			n     int64
		)
		_, err = pgx.ForEachRow(rows, []any{&epoch, &n}, func() error { counts[epoch] = n; return nil })
		return err
	})
	if err != nil {
		return nil, err
	}
	return counts, nil
}
