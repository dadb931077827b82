// Package keyring keeps the keys that master keys protect: the pepper of API keys and
// the data keys of tenants. It makes them, shows what there is, and turns, rewraps,
// replaces and shreds them.
package keyring

import (
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"loom.internal/pkg/catalog"
	"loom.internal/pkg/envelope"
	"loom.internal/pkg/store"
	"loom.internal/pkg/tenant"
	"loom.internal/services/dashboard/internal/revision"
)

// How long a tenant's data key seals before another takes its place, and how many bodies
// it may seal until then.
const (
	MaxAge   = 30 * 24 * time.Hour
	MaxSeals = 1 << 31
)

// actor of what the keyring does by itself, in the access log.
const actor = "keyring"

// Options of New.
type Options struct {
	DB       *pgxpool.Pool // role loom_admin
	Wrapper  envelope.Wrapper
	Log      *slog.Logger
	Now      func() time.Time
	MaxAge   time.Duration
	MaxSeals int64
}

// Keyring works in any number of processes at once. It is safe for concurrent use.
type Keyring struct {
	opt Options

	mu     sync.Mutex
	pepper *pepper // nil until it is needed
}

// pepper is what is made of the installation's own secret, which stays the same for good.
type pepper struct {
	hasher    *tenant.Hasher
	cursorKey []byte
}

// New does no I/O.
func New(o Options) *Keyring { return &Keyring{opt: o} }

// Wrapper is what protects the keys.
func (k *Keyring) Wrapper() envelope.Wrapper { return k.opt.Wrapper }

// Hasher hashes API keys.
func (k *Keyring) Hasher(ctx context.Context) (*tenant.Hasher, error) {
	p, err := k.load(ctx)
	return p.hasher, err
}

// CursorKey authenticates the positions that listings hand out.
func (k *Keyring) CursorKey(ctx context.Context) ([]byte, error) {
	p, err := k.load(ctx)
	return p.cursorKey, err
}

// ErrWrongMaster is of a master key that is another than the one of that version with which
// the database was filled.
var ErrWrongMaster = errors.New("the database was filled under another master key")

// load reads the pepper, and makes it where there is none yet.
func (k *Keyring) load(ctx context.Context) (pepper, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.pepper != nil {
		return *k.pepper, nil
	}
	w, err := readPepper(ctx, k.opt.DB)
	if err == nil && w == nil {
		if err = k.makePepper(ctx); err == nil {
			w, err = readPepper(ctx, k.opt.DB)
		}
	}
	if err != nil {
		return pepper{}, fmt.Errorf("pepper of API keys: %w", err)
	}
	secret, err := k.opt.Wrapper.Unwrap(ctx, catalog.PepperLabel(), *w)
	if errors.Is(err, envelope.ErrOpen) {
		return pepper{}, fmt.Errorf("%w than version %d here", ErrWrongMaster, w.MasterVersion)
	}
	if err != nil {
		return pepper{}, fmt.Errorf("pepper of API keys: %w", err)
	}
	defer clear(secret)
	var p pepper
	if p.hasher, err = tenant.NewHasher(secret); err != nil {
		return pepper{}, err
	}
	if p.cursorKey, err = hkdf.Expand(sha256.New, secret, "cursor", envelope.KeyLength); err != nil {
		return pepper{}, fmt.Errorf("cursor key: %w", err)
	}
	k.pepper = &p
	return p, nil
}

type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// readPepper is nil where there is none.
func readPepper(ctx context.Context, db querier) (*envelope.Wrapped, error) {
	rows, err := db.Query(ctx, `SELECT master_version, iv, wrapped FROM system_keys WHERE purpose = $1`, envelope.PurposeAPIKey)
	if err != nil {
		return nil, store.Wrap(err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[envelope.Wrapped])
	if err != nil || len(found) == 0 {
		return nil, store.Wrap(err)
	}
	return &found[0], nil
}

// makePepper makes it, unless another process has.
func (k *Keyring) makePepper(ctx context.Context) error {
	return revision.Do(ctx, k.opt.DB, actor, func(c *revision.Change) error {
		if w, err := readPepper(ctx, c.Tx); err != nil || w != nil {
			return err
		}
		secret := make([]byte, envelope.KeyLength)
		_, _ = rand.Read(secret) // never fails
		defer clear(secret)
		w, err := k.opt.Wrapper.Wrap(ctx, catalog.PepperLabel(), secret)
		if err != nil {
			return err
		}
		number, err := c.Next(ctx)
		if err != nil {
			return err
		}
		c.Write(`
			INSERT INTO system_keys (purpose, master_version, iv, wrapped, revision) VALUES (@purpose, @version, @iv, @wrapped, @revision)`,
			pgx.NamedArgs{"purpose": envelope.PurposeAPIKey, "version": int64(w.MasterVersion), "iv": w.IV, "wrapped": w.Ciphertext, "revision": number})
		return c.Audit("", "pepper.create", map[string]any{"master_version": w.MasterVersion})
	})
}
