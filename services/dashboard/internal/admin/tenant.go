package admin

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"loom.internal/pkg/event"
	"loom.internal/pkg/manifest"
	"loom.internal/pkg/store"
	"loom.internal/pkg/tenant"
)

// Tenant is a tenant as listings show it.
type Tenant struct {
	ID          string        `json:"id"`
	Name        string        `json:"name"`
	Status      tenant.Status `json:"status"`
	ContentMode string        `json:"content_mode"`
	CreatedAt   time.Time     `json:"created_at"`
	Keys        int64         `json:"keys"` // live ones
}

// Tenants lists tenants by id, those after the given one; more says that there are
// others beyond the limit.
func (a *Admin) Tenants(ctx context.Context, after string, limit int) (tenants []Tenant, more bool, err error) {
	err = store.InTx(ctx, a.db, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, tenantColumns+` WHERE t.id > $1 COLLATE "C" ORDER BY t.id COLLATE "C" LIMIT $2`, after, limit+1)
		if err != nil {
			return err
		}
		tenants, err = pgx.CollectRows(rows, pgx.RowToStructByName[Tenant])
		return err
	})
	if err != nil {
		return nil, false, fmt.Errorf("list tenants: %w", err)
	}
	if len(tenants) > limit {
		tenants, more = tenants[:limit], true
	}
	for i := range tenants {
		tenants[i].CreatedAt = tenants[i].CreatedAt.UTC()
	}
	return tenants, more, nil
}

const tenantColumns = `
	SELECT t.id, t.name, t.status, t.content_mode, t.created_at,
	       (SELECT count(*) FROM api_keys k WHERE k.tenant_id = t.id AND k.revoked_at IS NULL) AS keys
	FROM tenants t`

// Tenant finds one; store.ErrNotFound.
func (a *Admin) Tenant(ctx context.Context, id string) (Tenant, error) {
	var t Tenant
	err := store.InTx(ctx, a.db, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, tenantColumns+` WHERE t.id = $1`, id)
		if err != nil {
			return err
		}
		t, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Tenant])
		return err
	})
	if err != nil {
		return Tenant{}, fmt.Errorf("tenant: %w", err)
	}
	t.CreatedAt = t.CreatedAt.UTC()
	return t, nil
}

// CreateTenant makes a tenant; one of that id is store.ErrConflict.
func (a *Admin) CreateTenant(ctx context.Context, actor string, want manifest.Tenant) (Tenant, error) {
	return a.writeTenant(ctx, actor, want, false)
}

// UpdateTenant sets what is not empty; store.ErrNotFound.
func (a *Admin) UpdateTenant(ctx context.Context, actor string, want manifest.Tenant) (Tenant, error) {
	if !event.ValidTenant(want.ID) {
		return Tenant{}, fmt.Errorf("tenant: %w", store.ErrNotFound)
	}
	return a.writeTenant(ctx, actor, want, true)
}

func (a *Admin) writeTenant(ctx context.Context, actor string, want manifest.Tenant, mustBe bool) (Tenant, error) {
	if err := validTenant(want); err != nil {
		return Tenant{}, err
	}
	err := a.change(ctx, actor, func(c *change) error {
		p := &plan{change: c}
		stored, err := collect(ctx, c.Tx, func(s storedTenant) string { return s.ID },
			`SELECT id, name, status, content_mode, missing_usage, redact FROM tenants WHERE id = $1`, want.ID)
		if err != nil {
			return err
		}
		have, exists := stored[want.ID]
		switch {
		case mustBe && !exists:
			return store.ErrNotFound
		case !mustBe && exists:
			return store.ErrConflict
		}
		return p.tenant(ctx, want, have, exists)
	})
	if err != nil {
		return Tenant{}, fmt.Errorf("tenant %s: %w", want.ID, err)
	}
	return a.Tenant(ctx, want.ID)
}

// currentRevision is the revision of what is committed.
func (a *Admin) currentRevision(ctx context.Context) (n int64, err error) {
	err = store.InTx(ctx, a.db, func(tx pgx.Tx) error {
		n, err = a.revision(ctx, tx)
		return err
	})
	return n, err
}

func validTenant(want manifest.Tenant) error {
	m := manifest.Manifest{Tenants: []manifest.Tenant{want}}
	return invalid(m.Validate(), "tenants[0].")
}

func validKey(tenantID string, want manifest.Key) error {
	m := manifest.Manifest{Tenants: []manifest.Tenant{{ID: tenantID, Keys: []manifest.Key{want}}}}
	return invalid(m.Validate(), "tenants[0].keys[0].")
}

// invalid turns the faults of a manifest made from one thing into faults of that thing.
func invalid(faults []manifest.Fault, prefix string) error {
	if len(faults) == 0 {
		return nil
	}
	for i, f := range faults {
		faults[i].Path = strings.TrimPrefix(f.Path, prefix)
	}
	return &InvalidError{Faults: faults}
}
