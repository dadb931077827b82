package admin

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"loom.internal/pkg/manifest"
	"loom.internal/pkg/redact"
	"loom.internal/pkg/tenant"
)

type storedTenant struct {
	ID           string
	Name         string
	Status       tenant.Status
	ContentMode  string
	MissingUsage tenant.MissingUsage
	Redact       redact.Rules
}

type keyName struct{ tenantID, name string }

type storedKey struct {
	ID          string
	TenantID    string
	Name        string
	Scopes      []tenant.Scope
	Models      []string
	ContentMode string
	ExpiresAt   *time.Time
	Revoked     bool
}

func (s storedKey) key() keyName { return keyName{s.TenantID, s.Name} }

func (p *plan) tenants(ctx context.Context) error {
	var ids []string
	for _, t := range p.m.Tenants {
		ids = append(ids, t.ID)
	}
	tenants, err := collect(ctx, p.Tx, func(s storedTenant) string { return s.ID },
		`SELECT id, name, status, content_mode, missing_usage, redact FROM tenants WHERE id = ANY ($1)`, ids)
	if err != nil {
		return err
	}
	// Of keys with the same name, at most one is live; it comes last, and stays in the map.
	keys, err := collect(ctx, p.Tx, storedKey.key, `
		SELECT id, tenant_id, name, scopes, models, content_mode, expires_at, revoked_at IS NOT NULL AS revoked
		FROM api_keys WHERE tenant_id = ANY ($1) ORDER BY revoked_at IS NULL`, ids)
	if err != nil {
		return err
	}
	for i, want := range p.m.Tenants {
		path := fmt.Sprintf("tenants[%d]", i)
		have, exists := tenants[want.ID]
		if !p.broken[path] {
			if err := p.tenant(ctx, want, have, exists); err != nil {
				return err
			}
		}
		for j, key := range want.Keys {
			at := path + ".keys[" + strconv.Itoa(j) + "]"
			if p.broken[at] {
				continue
			}
			have, exists := keys[keyName{want.ID, key.Name}]
			if err := p.key(ctx, at, want.ID, key, have, exists); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *plan) tenant(ctx context.Context, want manifest.Tenant, have storedTenant, exists bool) error {
	next := storedTenant{
		ID:           want.ID,
		Name:         cmp.Or(want.Name, have.Name, want.ID),
		Status:       cmp.Or(want.Status, have.Status, tenant.Active),
		ContentMode:  cmp.Or(want.ContentMode, have.ContentMode, "full"),
		MissingUsage: cmp.Or(want.MissingUsage, have.MissingUsage, tenant.MissingNone),
		Redact:       have.Redact,
	}
	if want.Redact != nil {
		next.Redact = *want.Redact
	}
	fields := fieldSet{}
	fields.add("name", next.Name != have.Name)
	fields.add("status", next.Status != have.Status)
	fields.add("content_mode", next.ContentMode != have.ContentMode)
	fields.add("missing_usage", next.MissingUsage != have.MissingUsage)
	fields.add("redact", !reflect.DeepEqual(next.Redact, have.Redact))
	if len(fields) == 0 {
		return nil
	}
	action := "create"
	if exists {
		action = "update"
	}
	revision, err := p.record(ctx, want.ID, Change{Action: action, Kind: "tenant", Name: want.ID, Fields: fields})
	if err != nil {
		return err
	}
	p.Write(`
		INSERT INTO tenants (id, name, status, content_mode, missing_usage, redact, revision)
		VALUES (@id, @name, @status, @content_mode, @missing_usage, @redact, @revision)
		ON CONFLICT (id) DO UPDATE SET name = @name, status = @status, content_mode = @content_mode,
		    missing_usage = @missing_usage, redact = @redact, revision = @revision`,
		pgx.NamedArgs{
			"id": next.ID, "name": next.Name, "status": string(next.Status), "content_mode": next.ContentMode,
			"missing_usage": string(next.MissingUsage), "redact": next.Redact, "revision": revision,
		})
	if next.Status != tenant.Active {
		return nil // a data key would seal nothing
	}
	return p.ring.Ensure(ctx, p.Change, want.ID)
}

func (p *plan) key(ctx context.Context, path, tenantID string, want manifest.Key, have storedKey, exists bool) error {
	name := tenantID + "/" + want.Name
	if !exists {
		fields := []string{"scopes", "models", "content_mode", "expires_at"}
		revision, err := p.record(ctx, tenantID, Change{Action: "create", Kind: "key", Name: name, Fields: fields})
		if err != nil {
			return err
		}
		text, _, err := p.newKey(tenantID, want, revision)
		if err != nil {
			return err
		}
		p.keys = append(p.keys, NewKey{Tenant: tenantID, Name: want.Name, ID: text.ID(), Secret: text.Reveal()})
		return nil
	}
	if have.Revoked {
		// Making it anew would undo a revocation with every run of the same file.
		p.fault(path+".name", "key %q was revoked: remove it here, or give the new key another name", want.Name)
		return nil
	}
	next := have
	if len(want.Scopes) > 0 {
		next.Scopes = want.Scopes
	}
	if len(want.Models) > 0 {
		next.Models = want.Models
	}
	if want.ExpiresAt != nil {
		next.ExpiresAt = want.ExpiresAt
	}
	next.ContentMode = cmp.Or(want.ContentMode, have.ContentMode)
	fields := fieldSet{}
	fields.add("content_mode", have.ContentMode != next.ContentMode)
	fields.add("scopes", !sameSet(have.Scopes, next.Scopes))
	fields.add("models", !sameSet(have.Models, next.Models))
	fields.add("expires_at", next.ExpiresAt != nil && (have.ExpiresAt == nil || !have.ExpiresAt.Equal(next.ExpiresAt.Truncate(time.Microsecond))))
	if len(fields) == 0 {
		return nil
	}
	revision, err := p.record(ctx, tenantID, Change{Action: "update", Kind: "key", Name: name, Fields: fields})
	if err != nil {
		return err
	}
	p.Write(`UPDATE api_keys SET scopes = @scopes, models = @models, content_mode = @content_mode, expires_at = @expires_at, revision = @revision WHERE id = @id`,
		pgx.NamedArgs{
			"id": have.ID, "scopes": next.Scopes, "models": emptyNotNil(next.Models), "content_mode": next.ContentMode,
			"expires_at": micro(next.ExpiresAt), "revision": revision,
		})
	return nil
}
