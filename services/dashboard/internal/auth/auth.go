// Package auth says who a request acts for.
//
//	Authorization: Bearer, x-api-key ──▶ key ──┐
//	cookie ──▶ session ──▶ its key ────────────┴──▶ Principal
//
// Nothing is cached: a revoked key, and every session made with it, is refused from
// the next request on.
package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"loom.internal/pkg/store"
	"loom.internal/pkg/tenant"
)

// Principal is who a request acts for: a tenant's key or an administrator's.
type Principal struct {
	Admin   bool
	KeyID   string
	KeyName string
	Tenant  tenant.Tenant  // of a tenant's key; zero for an admin
	Scopes  []tenant.Scope // all of them for an admin

	ExpiresAt *time.Time // of the session, else of the key; nil: never
	Session   []byte     // hash of the session; nil when the request carried the key itself
}

// Actor is the principal's name in the access log.
func (p *Principal) Actor() string {
	if p.Admin {
		return "adm:" + p.KeyID
	}
	return p.KeyID
}

// Has reports whether the principal holds the right.
func (p *Principal) Has(s tenant.Scope) bool { return slices.Contains(p.Scopes, s) }

// Hasher gives what hashes API keys.
type Hasher interface {
	Hasher(ctx context.Context) (*tenant.Hasher, error)
}

// Authenticator looks keys and sessions up, through a pool of the role loom_admin.
type Authenticator struct {
	db     *pgxpool.Pool
	hasher Hasher
	now    func() time.Time
}

// New takes the clock sessions and keys expire by.
func New(db *pgxpool.Pool, hasher Hasher, now func() time.Time) *Authenticator {
	return &Authenticator{db: db, hasher: hasher, now: now}
}

// Request authenticates r by its key, else by its session. Every refusal is
// tenant.ErrUnauthorized; any other error means that nothing could be decided.
func (a *Authenticator) Request(r *http.Request) (*Principal, error) {
	text, err := keyOf(r)
	if err != nil {
		return nil, err
	}
	if text != "" {
		return a.Key(r.Context(), text)
	}
	cookie, err := r.Cookie(CookieName)
	if err != nil {
		return nil, tenant.ErrUnauthorized
	}
	return a.session(r.Context(), cookie.Value)
}

// keyOf is the key the request carries; empty if none. Two headers that differ are
// refused rather than one of them picked.
func keyOf(r *http.Request) (string, error) {
	headers := append(r.Header.Values("x-api-key"), bearer(r)...)
	key := ""
	for _, h := range headers {
		if h == "" || key != "" && h != key {
			return "", tenant.ErrUnauthorized
		}
		key = h
	}
	return key, nil
}

func bearer(r *http.Request) []string {
	var keys []string
	for _, h := range r.Header.Values("Authorization") {
		scheme, key, _ := strings.Cut(h, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			key = "" // another scheme is no key, and is refused
		}
		keys = append(keys, strings.TrimSpace(key))
	}
	return keys
}

// Key authenticates an API key in clear.
func (a *Authenticator) Key(ctx context.Context, text string) (*Principal, error) {
	key, err := tenant.ParseKeyText(text)
	if err != nil {
		return nil, err
	}
	// The look-up is by a keyed hash: how long it takes says nothing about the key.
	hasher, err := a.hasher.Hasher(ctx)
	if err != nil {
		return nil, err
	}
	hash := hasher.Hash(key)
	if key.Admin() {
		return a.adminKey(ctx, `hash = $1`, hash[:])
	}
	return a.tenantKey(ctx, `k.hash = $1`, hash[:])
}

// tenantKey finds a live key of an active tenant. where is a condition of this
// package, on one parameter.
func (a *Authenticator) tenantKey(ctx context.Context, where string, arg any) (*Principal, error) {
	var (
		p Principal
		k tenant.Key
	)
	err := a.db.QueryRow(ctx, `
		SELECT k.id, k.name, k.scopes, k.expires_at, k.revoked_at IS NOT NULL,
		       t.id, t.name, t.status, t.content_mode, t.revision
		FROM api_keys k JOIN tenants t ON t.id = k.tenant_id
		WHERE `+where, arg).Scan(&k.ID, &k.Name, &k.Scopes, &k.ExpiresAt, &k.Revoked,
		&p.Tenant.ID, &p.Tenant.Name, &p.Tenant.Status, &p.Tenant.ContentMode, &p.Tenant.Revision)
	if err != nil {
		return nil, lookUpError(err)
	}
	if !k.Valid(a.now()) || p.Tenant.Status != tenant.Active {
		return nil, tenant.ErrUnauthorized
	}
	p.KeyID, p.KeyName, p.Scopes, p.ExpiresAt = k.ID, k.Name, k.Scopes, k.ExpiresAt
	return &p, nil
}

func (a *Authenticator) adminKey(ctx context.Context, where string, arg any) (*Principal, error) {
	p := Principal{Admin: true, Scopes: tenant.Scopes()}
	err := a.db.QueryRow(ctx, `SELECT id, name FROM admin_keys WHERE revoked_at IS NULL AND `+where, arg).Scan(&p.KeyID, &p.KeyName)
	if err != nil {
		return nil, lookUpError(err)
	}
	return &p, nil
}

func lookUpError(err error) error {
	if err = store.Wrap(err); errors.Is(err, store.ErrNotFound) {
		return tenant.ErrUnauthorized
	}
	return fmt.Errorf("look up key: %w", err)
}
