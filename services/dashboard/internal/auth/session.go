package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"time"

	"loom.internal/pkg/store"
	"loom.internal/pkg/tenant"
)

// CookieName is the cookie that carries a session's id.
const CookieName = "loom_session"

// How long a session lives. Its last use is noted to the minute, so that reading
// does not write each time: it may end up to a minute early.
const (
	IdleLimit     = 30 * time.Minute
	AbsoluteLimit = 12 * time.Hour
	seenStep      = time.Minute
	idLength      = 32 // bytes, random
)

// Login opens a session for an API key and returns its id, of which only a hash is
// stored, with the principal it stands for.
func (a *Authenticator) Login(ctx context.Context, apiKey string) (id string, p *Principal, err error) {
	p, err = a.Key(ctx, apiKey)
	if err != nil {
		return "", nil, err
	}
	raw := make([]byte, idLength)
	_, _ = rand.Read(raw) // never fails
	now := a.now()
	expires := now.Add(AbsoluteLimit)
	if p.ExpiresAt != nil && p.ExpiresAt.Before(expires) {
		expires = *p.ExpiresAt
	}
	hash := sha256.Sum256(raw)
	_, err = a.db.Exec(ctx, `
		INSERT INTO sessions (hash, key_id, admin, created_at, seen_at, expires_at) VALUES ($1, $2, $3, $4, $4, $5)`,
		hash[:], p.KeyID, p.Admin, now, expires)
	if err != nil {
		return "", nil, fmt.Errorf("open session: %w", store.Wrap(err))
	}
	p.Session, p.ExpiresAt = hash[:], &expires
	return base64.RawURLEncoding.EncodeToString(raw), p, nil
}

// Logout ends the session of that id, if there is one.
func (a *Authenticator) Logout(ctx context.Context, id string) error {
	hash, err := sessionHash(id)
	if err != nil {
		return nil //nolint:nilerr // what is no id names no session
	}
	if _, err := a.db.Exec(ctx, `DELETE FROM sessions WHERE hash = $1`, hash); err != nil {
		return fmt.Errorf("end session: %w", store.Wrap(err))
	}
	return nil
}

// session finds who a session stands for, and notes that it is used.
func (a *Authenticator) session(ctx context.Context, id string) (*Principal, error) {
	hash, err := sessionHash(id)
	if err != nil {
		return nil, err
	}
	p, seen, err := a.look(ctx, hash)
	if err != nil {
		return nil, err
	}
	if now := a.now(); now.Sub(seen) >= seenStep {
		_, err := a.db.Exec(ctx, `UPDATE sessions SET seen_at = $2 WHERE hash = $1 AND seen_at < $2`, hash, now)
		if err != nil {
			return nil, fmt.Errorf("keep session: %w", store.Wrap(err))
		}
	}
	return p, nil
}

// Still fails with tenant.ErrUnauthorized when p, which was good at the start of a long
// request, is no longer: its key is revoked, has expired or has lost the scope, or its
// session has ended. To ask is no use of the session.
func (a *Authenticator) Still(ctx context.Context, p *Principal, scope tenant.Scope) (err error) {
	var now *Principal
	switch {
	case p.Session != nil:
		now, _, err = a.look(ctx, p.Session)
	case p.Admin:
		now, err = a.adminKey(ctx, `id = $1`, p.KeyID)
	default:
		now, err = a.tenantKey(ctx, `k.id = $1`, p.KeyID)
	}
	if err == nil && !now.Has(scope) {
		return tenant.ErrUnauthorized
	}
	return err
}

// look finds who a session stands for and when it was last used. Its key is looked up
// anew, so the session has no right that its key has lost.
func (a *Authenticator) look(ctx context.Context, hash []byte) (p *Principal, seen time.Time, err error) {
	var (
		keyID   string
		admin   bool
		expires time.Time
	)
	err = a.db.QueryRow(ctx, `SELECT key_id, admin, seen_at, expires_at FROM sessions WHERE hash = $1`, hash).
		Scan(&keyID, &admin, &seen, &expires)
	if err != nil {
		return nil, seen, lookUpError(err)
	}
	if now := a.now(); !now.Before(expires) || now.Sub(seen) >= IdleLimit {
		return nil, seen, tenant.ErrUnauthorized
	}
	find, where := a.tenantKey, `k.id = $1`
	if admin {
		find, where = a.adminKey, `id = $1`
	}
	if p, err = find(ctx, where, keyID); err != nil {
		return nil, seen, err
	}
	p.Session, p.ExpiresAt = hash, &expires
	return p, seen, nil
}

// Sweep deletes the sessions that have ended.
func (a *Authenticator) Sweep(ctx context.Context) error {
	now := a.now()
	_, err := a.db.Exec(ctx, `DELETE FROM sessions WHERE expires_at <= $1 OR seen_at <= $2`, now, now.Add(-IdleLimit))
	if err != nil {
		return fmt.Errorf("sweep sessions: %w", store.Wrap(err))
	}
	return nil
}

func sessionHash(id string) ([]byte, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(id)
	if err != nil || len(raw) != idLength {
		return nil, tenant.ErrUnauthorized
	}
	hash := sha256.Sum256(raw)
	return hash[:], nil
}
