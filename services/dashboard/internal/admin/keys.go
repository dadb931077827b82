package admin

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"loom.internal/pkg/event"
	"loom.internal/pkg/manifest"
	"loom.internal/pkg/store"
	"loom.internal/pkg/tenant"
)

// maxKeys is how many keys of a tenant a listing shows.
const maxKeys = 1000

// Key is an API key as listings show it.
type Key struct {
	ID          string         `json:"id"`
	TenantID    string         `json:"tenant_id"`
	Name        string         `json:"name"`
	Last4       string         `json:"last4"`
	Scopes      []tenant.Scope `json:"scopes"`
	Models      []string       `json:"models"`
	ContentMode string         `json:"content_mode"`
	CreatedBy   string         `json:"created_by"`
	CreatedAt   time.Time      `json:"created_at"`
	ExpiresAt   *time.Time     `json:"expires_at"`
	RevokedAt   *time.Time     `json:"revoked_at"`
}

// Keys lists a tenant's keys: live ones first, the newest of each first.
func (a *Admin) Keys(ctx context.Context, tenantID string) ([]Key, error) {
	var keys []Key
	err := store.InTx(ctx, a.db, func(tx pgx.Tx) error {
		if err := mustExist(ctx, tx, tenantID); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `
			SELECT id, tenant_id, name, last4, scopes, models, content_mode, created_by, created_at, expires_at, revoked_at
			FROM api_keys WHERE tenant_id = $1
			ORDER BY revoked_at IS NOT NULL, created_at DESC, id LIMIT $2`, tenantID, maxKeys)
		if err != nil {
			return err
		}
		keys, err = pgx.CollectRows(rows, pgx.RowToStructByName[Key])
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("keys of tenant %s: %w", tenantID, err)
	}
	for i := range keys {
		keys[i].utc()
	}
	return keys, nil
}

// CreateKey makes a key of a tenant; secret is nowhere else. A live key of that name
// is store.ErrConflict, an unknown tenant store.ErrNotFound.
func (a *Admin) CreateKey(ctx context.Context, actor, tenantID string, want manifest.Key) (key Key, secret string, err error) {
	if !event.ValidTenant(tenantID) {
		return Key{}, "", fmt.Errorf("create key: %w", store.ErrNotFound)
	}
	if err := validKey(tenantID, want); err != nil {
		return Key{}, "", err
	}
	err = a.change(ctx, actor, func(c *change) error {
		if err := mustExist(ctx, c.Tx, tenantID); err != nil {
			return err
		}
		revision, err := c.Next(ctx)
		if err != nil {
			return err
		}
		text, made, err := c.newKey(tenantID, want, revision)
		if err != nil {
			return err
		}
		key, secret = made, text.Reveal()
		return c.Audit(tenantID, "key.create", map[string]any{"id": key.ID, "name": key.Name})
	})
	if err != nil {
		return Key{}, "", fmt.Errorf("create key %q of tenant %s: %w", want.Name, tenantID, err)
	}
	return key, secret, nil
}

// RevokeKey ends a key and its sessions for good, and says since when it is revoked.
// An unknown key is store.ErrNotFound.
func (a *Admin) RevokeKey(ctx context.Context, actor, id string) (at time.Time, err error) {
	err = a.change(ctx, actor, func(c *change) error {
		var (
			tenantID, name string
			since          *time.Time
		)
		err := c.Tx.QueryRow(ctx, `SELECT tenant_id, name, revoked_at FROM api_keys WHERE id = $1`, id).Scan(&tenantID, &name, &since)
		if err != nil {
			return err
		}
		if since != nil {
			at = since.UTC()
			return nil
		}
		revision, err := c.Next(ctx)
		if err != nil {
			return err
		}
		at = c.now().UTC().Truncate(time.Microsecond)
		c.Write(`UPDATE api_keys SET revoked_at = @at, revision = @revision WHERE id = @id`,
			pgx.NamedArgs{"id": id, "at": at, "revision": revision})
		c.Write(`DELETE FROM sessions WHERE key_id = @id AND NOT admin`, pgx.NamedArgs{"id": id})
		return c.Audit(tenantID, "key.revoke", map[string]any{"id": id, "name": name})
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("revoke key: %w", err)
	}
	return at, nil
}

// newKey queues the row of a new key.
func (c *change) newKey(tenantID string, want manifest.Key, revision int64) (tenant.KeyText, Key, error) {
	text, err := tenant.NewKeyText(tenant.TenantPrefix)
	if err != nil {
		return tenant.KeyText{}, Key{}, err
	}
	key := Key{
		ID: text.ID(), TenantID: tenantID, Name: want.Name, Last4: text.Last4(),
		Scopes: want.Scopes, Models: emptyNotNil(want.Models), ContentMode: cmp.Or(want.ContentMode, "full"),
		CreatedBy: c.Actor, CreatedAt: c.now().Truncate(time.Microsecond), ExpiresAt: micro(want.ExpiresAt),
	}
	if len(key.Scopes) == 0 {
		key.Scopes = tenant.Scopes()
	}
	key.utc()
	hash := c.hasher.Hash(text)
	c.Write(`
		INSERT INTO api_keys (id, tenant_id, name, hash, last4, scopes, models, content_mode, created_by, created_at, expires_at, revision)
		VALUES (@id, @tenant, @name, @hash, @last4, @scopes, @models, @content_mode, @created_by, @created_at, @expires_at, @revision)`,
		pgx.NamedArgs{
			"id": key.ID, "tenant": tenantID, "name": key.Name, "hash": hash[:], "last4": key.Last4,
			"scopes": key.Scopes, "models": key.Models, "content_mode": key.ContentMode, "created_by": key.CreatedBy, "created_at": key.CreatedAt,
			"expires_at": key.ExpiresAt, "revision": revision,
		})
	return text, key, nil
}

func (k *Key) utc() {
	k.CreatedAt = k.CreatedAt.UTC()
	for _, at := range []*time.Time{k.ExpiresAt, k.RevokedAt} {
		if at != nil {
			*at = at.UTC()
		}
	}
}

func mustExist(ctx context.Context, tx pgx.Tx, tenantID string) error {
	var found string
	return tx.QueryRow(ctx, `SELECT id FROM tenants WHERE id = $1`, tenantID).Scan(&found)
}

// micro is t as precisely as the database keeps it.
func micro(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	return new(t.Truncate(time.Microsecond).UTC())
}

// emptyNotNil is for columns that hold an empty array rather than NULL.
func emptyNotNil(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}
