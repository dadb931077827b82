package push

import (
	"context"
	"encoding/hex"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/catalog"
	"loom.internal/pkg/envelope"
	"loom.internal/pkg/store"
	"loom.internal/pkg/tenant"
)

// everything is the revision below all there are.
const everything = -1

// changes is what is above a revision, as of one moment.
type changes struct {
	revision int64 // the highest there is
	entries  map[string]entry
	catalog  *catalog.Snapshot // nil: no provider or route has changed
}

type entry struct {
	revision int64
	value    any
}

// read takes everything above a revision out of one snapshot of the database.
func read(ctx context.Context, db *pgxpool.Pool, after int64) (changes, error) {
	c := changes{entries: make(map[string]entry)}
	tx, err := db.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return changes{}, fmt.Errorf("read configuration: %w", store.Wrap(err))
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // it only read
	var catalogRevision int64
	err = tx.QueryRow(ctx, `
		SELECT coalesce(greatest((SELECT max(revision) FROM providers), (SELECT max(revision) FROM routes)), 0),
		       coalesce(greatest((SELECT max(revision) FROM tenants), (SELECT max(revision) FROM api_keys),
		                         (SELECT max(revision) FROM providers), (SELECT max(revision) FROM routes), (SELECT max(revision) FROM system_keys)), 0)`).
		Scan(&catalogRevision, &c.revision)
	if err != nil {
		return changes{}, fmt.Errorf("read revisions: %w", store.Wrap(err))
	}
	for _, part := range []func(context.Context, pgx.Tx, int64) error{c.pepper, c.tenants, c.keys} {
		if err := part(ctx, tx, after); err != nil {
			return changes{}, store.Wrap(err)
		}
	}
	if catalogRevision > after {
		if err := c.readCatalog(ctx, tx, catalogRevision); err != nil {
			return changes{}, store.Wrap(err)
		}
	}
	return c, nil
}

// pepper is what API keys are hashed with, as [bus.Pepper].
func (c *changes) pepper(ctx context.Context, tx pgx.Tx, after int64) error {
	rows, err := tx.Query(ctx, `SELECT revision, master_version, iv, wrapped FROM system_keys WHERE purpose = $1 AND revision > $2`, envelope.PurposeAPIKey, after)
	if err != nil {
		return fmt.Errorf("read pepper: %w", err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p catalog.Pepper, err error) {
		err = row.Scan(&p.Revision, &p.MasterVersion, &p.IV, &p.Ciphertext)
		return p, err
	})
	if err != nil {
		return fmt.Errorf("read pepper: %w", err)
	}
	for _, p := range found {
		c.entries[bus.KeyPepper] = entry{p.Revision, p}
	}
	return nil
}

// tenants come with the data keys that they seal with.
func (c *changes) tenants(ctx context.Context, tx pgx.Tx, after int64) error {
	rows, err := tx.Query(ctx, `
		SELECT t.id, t.name, t.status, t.content_mode, t.missing_usage, t.redact, t.revision, k.epoch, k.master_version, k.iv, k.wrapped
		FROM tenants t LEFT JOIN tenant_keys k ON k.tenant_id = t.id AND k.state = 'active' AND t.status = 'active'
		WHERE t.revision > $1`, after)
	if err != nil {
		return fmt.Errorf("read tenants: %w", err)
	}
	tenants, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (t tenant.Tenant, err error) {
		var (
			epoch, version *uint32
			k              envelope.WrappedDataKey
		)
		err = row.Scan(&t.ID, &t.Name, &t.Status, &t.ContentMode, &t.MissingUsage, &t.Redact, &t.Revision, &epoch, &version, &k.IV, &k.Ciphertext)
		if epoch != nil && version != nil {
			k.Epoch, k.MasterVersion = *epoch, *version
			t.DataKey = &k
		}
		return t, err
	})
	if err != nil {
		return fmt.Errorf("read tenants: %w", err)
	}
	for _, t := range tenants {
		c.entries[bus.PrefixTenant+t.ID] = entry{t.Revision, t}
	}
	return nil
}

func (c *changes) keys(ctx context.Context, tx pgx.Tx, after int64) error {
	rows, err := tx.Query(ctx, `
		SELECT hash, id, tenant_id, name, scopes, models, content_mode, expires_at, revoked_at IS NOT NULL, revision
		FROM api_keys WHERE revision > $1`, after)
	if err != nil {
		return fmt.Errorf("read keys: %w", err)
	}
	for rows.Next() {
		var (
			k    tenant.Key
			hash []byte
		)
		err := rows.Scan(&hash, &k.ID, &k.TenantID, &k.Name, &k.Scopes, &k.Models, &k.ContentMode, &k.ExpiresAt, &k.Revoked, &k.Revision)
		if err != nil {
			rows.Close()
			return fmt.Errorf("read keys: %w", err)
		}
		c.entries[bus.PrefixKey+hex.EncodeToString(hash)] = entry{k.Revision, k}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read keys: %w", err)
	}
	return nil
}

func (c *changes) readCatalog(ctx context.Context, tx pgx.Tx, revision int64) error {
	s := &catalog.Snapshot{Revision: revision, Providers: []catalog.Provider{}, Routes: []catalog.Route{}}
	rows, err := tx.Query(ctx, `SELECT name, kind, base_url, secret, secret_iv, secret_master_version, options FROM providers ORDER BY name`)
	if err != nil {
		return fmt.Errorf("read providers: %w", err)
	}
	var (
		p       catalog.Provider
		sealed  []byte
		iv      []byte
		version *int64
	)
	_, err = pgx.ForEachRow(rows, []any{&p.Name, &p.Kind, &p.BaseURL, &sealed, &iv, &version, &p.ProviderOptions}, func() error {
		p.Secret = nil
		if version != nil {
			p.Secret = &envelope.Wrapped{Ciphertext: sealed, IV: iv, MasterVersion: uint32(*version)} //nolint:gosec // written from a uint32 in range
		}
		s.Providers = append(s.Providers, p)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read providers: %w", err)
	}
	rows, err = tx.Query(ctx, `SELECT model, targets, on_disconnect, options FROM routes ORDER BY model`)
	if err != nil {
		return fmt.Errorf("read routes: %w", err)
	}
	s.Routes, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (r catalog.Route, err error) {
		err = row.Scan(&r.Model, &r.Targets, &r.OnDisconnect, &r.RouteOptions)
		return r, err
	})
	if err != nil {
		return fmt.Errorf("read routes: %w", err)
	}
	c.catalog = s
	return nil
}
