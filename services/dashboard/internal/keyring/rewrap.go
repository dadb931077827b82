package keyring

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"loom.internal/pkg/catalog"
	"loom.internal/pkg/envelope"
	"loom.internal/pkg/event"
	"loom.internal/pkg/store"
	"loom.internal/services/dashboard/internal/revision"
)

// MasterVersion is what a version of the master key protects.
type MasterVersion struct {
	Version   uint32 `json:"version"`
	Here      bool   `json:"here"` // this process has it
	Active    bool   `json:"active"`
	DataKeys  int64  `json:"data_keys"`
	Providers int64  `json:"providers"` // secrets of providers
	System    int64  `json:"system"`    // keys of the installation itself
}

// needed reports whether something could not be read without the version.
func (v MasterVersion) needed() bool { return v.DataKeys+v.Providers+v.System > 0 }

// Masters lists the versions of the master key that are at hand or needed, in order.
func (k *Keyring) Masters(ctx context.Context) ([]MasterVersion, error) {
	rows, err := k.opt.DB.Query(ctx, `
		SELECT version, sum(data_keys)::bigint, sum(providers)::bigint, sum(system)::bigint
		FROM (SELECT master_version, count(*), 0, 0 FROM tenant_keys WHERE master_version IS NOT NULL GROUP BY 1
		      UNION ALL SELECT secret_master_version, 0, count(*), 0 FROM providers WHERE secret_master_version IS NOT NULL GROUP BY 1
		      UNION ALL SELECT master_version, 0, 0, count(*) FROM system_keys GROUP BY 1) AS used (version, data_keys, providers, system)
		GROUP BY version`)
	if err != nil {
		return nil, fmt.Errorf("versions of the master key: %w", store.Wrap(err))
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (v MasterVersion, err error) {
		var version int32
		err = row.Scan(&version, &v.DataKeys, &v.Providers, &v.System)
		v.Version = uint32(version) //nolint:gosec // the tables have none under 1
		return v, err
	})
	if err != nil {
		return nil, fmt.Errorf("versions of the master key: %w", store.Wrap(err))
	}
	for _, version := range k.opt.Wrapper.Versions() {
		i := slices.IndexFunc(all, func(v MasterVersion) bool { return v.Version == version })
		if i < 0 {
			i, all = len(all), append(all, MasterVersion{Version: version})
		}
		all[i].Here, all[i].Active = true, version == k.opt.Wrapper.Active()
	}
	slices.SortFunc(all, func(a, b MasterVersion) int { return int(int64(a.Version) - int64(b.Version)) })
	return all, nil
}

// ErrMissingMaster is of a version of the master key that is needed and not at hand.
var ErrMissingMaster = errors.New("a version of the master key is missing that keys are still wrapped with")

// Check fails with ErrMissingMaster or ErrWrongMaster, and says what to do.
func (k *Keyring) Check(ctx context.Context) error {
	all, err := k.Masters(ctx)
	if err != nil {
		return err
	}
	var missing []string
	for _, v := range all {
		if !v.Here && v.needed() {
			missing = append(missing, fmt.Sprintf("version %d protects %d data keys, %d provider secrets and %d keys of the installation", v.Version, v.DataKeys, v.Providers, v.System))
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%w: %s. Give it again as it was, run `loom keys rewrap`, and take it away then", ErrMissingMaster, strings.Join(missing, "; "))
	}
	if _, err := k.load(ctx); errors.Is(err, ErrWrongMaster) {
		return fmt.Errorf("%w: give the one it was filled with", err)
	} else if err != nil {
		return err
	}
	return nil
}

// Rewrapped is what one step of a rewrapping did.
type Rewrapped struct {
	Looked    int       `json:"looked_at"`
	Rewrapped int       `json:"rewrapped"` // in a dry run: would be
	Failed    []Failure `json:"failed"`    // left as they were
	Next      string    `json:"next"`      // where to go on; empty: nothing is left
	Active    uint32    `json:"master_version"`
}

// Failure is a key that could not be unwrapped.
type Failure struct {
	What string `json:"what"`
	Why  string `json:"why"`
}

// rewrapBatch is how many data keys one step looks at.
const rewrapBatch = 200

// Rewrap wraps with the active master key what another version has wrapped: first the
// installation's own keys and the secrets of providers, then step by step the data keys
// from a position on. Each is unwrapped again and compared before it is kept. A dry run
// unwraps everything and changes nothing. Steps may be done again, and by several at once.
func (k *Keyring) Rewrap(ctx context.Context, by, from string, dryRun bool) (Rewrapped, error) {
	r := Rewrapped{Active: k.opt.Wrapper.Active(), Failed: []Failure{}}
	tenantID, epoch, err := parsePosition(from)
	if err != nil {
		return r, err
	}
	err = revision.Do(ctx, k.opt.DB, by, func(c *revision.Change) error {
		s := &rewrapping{Keyring: k, c: c, dry: dryRun, Rewrapped: &r}
		if from == "" {
			if err := errors.Join(s.system(ctx), s.providers(ctx)); err != nil {
				return err
			}
		}
		if err := s.dataKeys(ctx, tenantID, epoch); err != nil || r.Rewrapped == 0 || dryRun {
			return err
		}
		return c.Audit("", "keys.rewrap", map[string]any{"rewrapped": r.Rewrapped, "failed": len(r.Failed), "master_version": r.Active})
	})
	if err != nil {
		return r, fmt.Errorf("rewrap: %w", err)
	}
	return r, nil
}

// ErrPosition is of a position that Rewrap or Reencrypt has not given.
var ErrPosition = errors.New("is not the `next` of an answer")

func parsePosition(s string) (tenantID string, epoch int32, err error) {
	if s == "" {
		return "", 0, nil
	}
	tenantID, number, found := strings.Cut(s, "/")
	n, err := strconv.ParseInt(number, 10, 32)
	if !found || err != nil || n < 0 || !event.ValidTenant(tenantID) {
		return "", 0, ErrPosition
	}
	return tenantID, int32(n), nil
}

// rewrapping is one step.
type rewrapping struct {
	*Keyring
	*Rewrapped
	c   *revision.Change
	dry bool
}

// again gives what is wrapped with the active version, and false where that is not to be
// written.
func (s *rewrapping) again(ctx context.Context, what string, l envelope.Label, old envelope.Wrapped) (envelope.Wrapped, bool) {
	s.Looked++
	fresh, err := func() (w envelope.Wrapped, err error) {
		key, err := s.opt.Wrapper.Unwrap(ctx, l, old)
		if err != nil {
			return w, err
		}
		defer clear(key)
		if w, err = s.opt.Wrapper.Wrap(ctx, l, key); err != nil {
			return w, err
		}
		back, err := s.opt.Wrapper.Unwrap(ctx, l, w)
		defer clear(back)
		if err == nil && !bytes.Equal(back, key) {
			err = envelope.ErrOpen
		}
		return w, err
	}()
	if err != nil {
		s.Failed = append(s.Failed, Failure{what, err.Error()})
		return fresh, false
	}
	if old.MasterVersion == s.Active {
		return fresh, false
	}
	s.Rewrapped.Rewrapped++
	return fresh, !s.dry
}

func (s *rewrapping) system(ctx context.Context) error {
	rows, err := s.c.Tx.Query(ctx, `SELECT purpose, master_version, iv, wrapped FROM system_keys`)
	if err != nil {
		return fmt.Errorf("read system keys: %w", err)
	}
	type row struct {
		Purpose envelope.Purpose
		Version uint32
		IV      []byte
		Wrapped []byte
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
	if err != nil {
		return fmt.Errorf("read system keys: %w", err)
	}
	for _, r := range all {
		w, write := s.again(ctx, string(r.Purpose), envelope.Label{Purpose: r.Purpose}, envelope.Wrapped{MasterVersion: r.Version, IV: r.IV, Ciphertext: r.Wrapped})
		if !write {
			continue
		}
		number, err := s.c.Next(ctx)
		if err != nil {
			return err
		}
		s.c.Write(`UPDATE system_keys SET master_version = @version, iv = @iv, wrapped = @wrapped, revision = @revision WHERE purpose = @purpose`,
			pgx.NamedArgs{"purpose": r.Purpose, "version": int64(w.MasterVersion), "iv": w.IV, "wrapped": w.Ciphertext, "revision": number})
	}
	return nil
}

func (s *rewrapping) providers(ctx context.Context) error {
	rows, err := s.c.Tx.Query(ctx, `
		SELECT name, base_url, options, secret_master_version, secret_iv, secret FROM providers WHERE secret IS NOT NULL`)
	if err != nil {
		return fmt.Errorf("read providers: %w", err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p catalog.Provider, err error) {
		p.Secret = new(envelope.Wrapped)
		err = row.Scan(&p.Name, &p.BaseURL, &p.ProviderOptions, &p.Secret.MasterVersion, &p.Secret.IV, &p.Secret.Ciphertext)
		return p, err
	})
	if err != nil {
		return fmt.Errorf("read providers: %w", err)
	}
	for _, p := range all {
		l, err := p.SecretLabel()
		if err != nil {
			s.Failed = append(s.Failed, Failure{"provider " + p.Name, err.Error()})
			continue
		}
		w, write := s.again(ctx, "provider "+p.Name, l, *p.Secret)
		if !write {
			continue
		}
		number, err := s.c.Next(ctx)
		if err != nil {
			return err
		}
		s.c.Write(`UPDATE providers SET secret = @secret, secret_iv = @iv, secret_master_version = @version, revision = @revision WHERE name = @name`,
			pgx.NamedArgs{"name": p.Name, "secret": w.Ciphertext, "iv": w.IV, "version": int64(w.MasterVersion), "revision": number})
	}
	return nil
}

func (s *rewrapping) dataKeys(ctx context.Context, afterTenant string, afterEpoch int32) error {
	rows, err := s.c.Tx.Query(ctx, `
		SELECT tenant_id, epoch, state, master_version, iv, wrapped FROM tenant_keys
		WHERE state <> 'shredded' AND (tenant_id COLLATE "C", epoch) > ($1 COLLATE "C", $2) ORDER BY tenant_id COLLATE "C", epoch LIMIT $3`,
		afterTenant, afterEpoch, rewrapBatch)
	if err != nil {
		return fmt.Errorf("read data keys: %w", err)
	}
	type row struct {
		Tenant  string
		Epoch   uint32
		State   string
		Version uint32
		IV      []byte
		Wrapped []byte
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
	if err != nil {
		return fmt.Errorf("read data keys: %w", err)
	}
	for _, r := range all {
		what := fmt.Sprintf("data key %d of %s", r.Epoch, r.Tenant)
		w, write := s.again(ctx, what, envelope.DataKeyLabel(r.Tenant, r.Epoch), envelope.Wrapped{MasterVersion: r.Version, IV: r.IV, Ciphertext: r.Wrapped})
		if !write {
			continue
		}
		s.c.Write(`UPDATE tenant_keys SET master_version = @version, iv = @iv, wrapped = @wrapped WHERE tenant_id = @tenant AND epoch = @epoch`,
			pgx.NamedArgs{"tenant": r.Tenant, "epoch": int64(r.Epoch), "version": int64(w.MasterVersion), "iv": w.IV, "wrapped": w.Ciphertext})
		if r.State != StateActive {
			continue
		}
		number, err := s.c.Next(ctx) // gateways are told of the active ones
		if err != nil {
			return err
		}
		s.c.Write(`UPDATE tenants SET revision = @revision WHERE id = @tenant`, pgx.NamedArgs{"tenant": r.Tenant, "revision": number})
	}
	if len(all) == rewrapBatch {
		last := all[len(all)-1]
		s.Next = fmt.Sprintf("%s/%d", last.Tenant, last.Epoch)
	}
	return nil
}
