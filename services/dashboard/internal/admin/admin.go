// Package admin changes what Loom is configured to do: providers, routes, tenants,
// keys and prices.
package admin

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"loom.internal/pkg/manifest"
	"loom.internal/pkg/tenant"
	"loom.internal/services/dashboard/internal/keyring"
	"loom.internal/services/dashboard/internal/revision"
)

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
	db   *pgxpool.Pool
	ring *keyring.Keyring
	now  func() time.Time
}

// New takes the keyring that wraps providers' secrets, hashes API keys and has a data
// key for every tenant.
func New(db *pgxpool.Pool, keys *keyring.Keyring, now func() time.Time) *Admin {
	return &Admin{db: db, ring: keys, now: now}
}

// change runs fn in a transaction that no other change of the configuration overlaps.
func (a *Admin) change(ctx context.Context, actor string, fn func(*change) error) error {
	hasher, err := a.ring.Hasher(ctx) // which may take a change to be made
	if err != nil {
		return err
	}
	return revision.Do(ctx, a.db, actor, func(c *revision.Change) error { return fn(&change{Admin: a, Change: c, hasher: hasher}) })
}

// change is one transaction.
type change struct {
	*Admin
	*revision.Change
	hasher *tenant.Hasher
}

// Bootstrap makes the first admin key, if there is no live one. The key is returned
// this once.
func (a *Admin) Bootstrap(ctx context.Context) (key string, created bool, err error) {
	err = a.change(ctx, "bootstrap", func(c *change) error {
		var exists bool
		err := c.Tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM admin_keys WHERE revoked_at IS NULL)`).Scan(&exists)
		if err != nil || exists {
			return err
		}
		text, err := tenant.NewKeyText(tenant.AdminPrefix)
		if err != nil {
			return err
		}
		hash := c.hasher.Hash(text)
		c.Write(`INSERT INTO admin_keys (id, name, hash, last4) VALUES (@id, 'bootstrap', @hash, @last4)`,
			pgx.NamedArgs{"id": text.ID(), "hash": hash[:], "last4": text.Last4()})
		key, created = text.Reveal(), true
		return c.Audit("", "admin.bootstrap", map[string]any{"id": text.ID()})
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
