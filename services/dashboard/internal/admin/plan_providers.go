package admin

import (
	"cmp"
	"context"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"loom.internal/pkg/catalog"
	"loom.internal/pkg/envelope"
	"loom.internal/pkg/manifest"
)

type storedProvider struct {
	Name                string
	Kind                catalog.Kind
	BaseURL             string
	Secret              []byte
	SecretIV            []byte
	SecretMasterVersion *int32
	Options             catalog.ProviderOptions
}

// sealed is the provider's secret as the catalogue has it; nil if it has none.
func (s storedProvider) sealed() *envelope.Wrapped {
	if s.Secret == nil || s.SecretMasterVersion == nil {
		return nil
	}
	return &envelope.Wrapped{Ciphertext: s.Secret, IV: s.SecretIV, MasterVersion: uint32(*s.SecretMasterVersion)} //nolint:gosec // written from a uint32 in range
}

func (p *plan) providers(ctx context.Context) error {
	stored, err := collect(ctx, p.Tx, func(s storedProvider) string { return s.Name },
		`SELECT name, kind, base_url, secret, secret_iv, secret_master_version, options FROM providers`)
	if err != nil {
		return err
	}
	for i, want := range p.m.Providers {
		path := fmt.Sprintf("providers[%d]", i)
		if p.broken[path] {
			continue
		}
		have, exists := stored[want.Name]
		if err := p.provider(ctx, path, want, have, exists); err != nil {
			return err
		}
	}
	return nil
}

func (p *plan) provider(ctx context.Context, path string, want manifest.Provider, have storedProvider, exists bool) error {
	next := want.Resolve()
	next.Secret = have.sealed()
	newSecret, err := p.secret(ctx, path+".secret", &next, want.Secret, have)
	if err != nil {
		return err
	}

	fields := fieldSet{}
	fields.add("kind", have.Kind != next.Kind)
	fields.add("base_url", have.BaseURL != next.BaseURL)
	fields.add("secret", newSecret)
	fields.options(have.Options, next.ProviderOptions)
	if exists && len(fields) == 0 {
		return nil
	}
	action := "create"
	if exists {
		action = "update"
	}
	revision, err := p.record(ctx, "", Change{Action: action, Kind: "provider", Name: want.Name, Fields: fields})
	if err != nil {
		return err
	}
	options, err := json.Marshal(next.ProviderOptions)
	if err != nil {
		return fmt.Errorf("encode provider %s: %w", want.Name, err)
	}
	args := pgx.NamedArgs{
		"name": next.Name, "kind": string(next.Kind), "base_url": next.BaseURL, "revision": revision,
		"secret": nil, "iv": nil, "version": nil, "options": options,
	}
	if next.Secret != nil {
		args["secret"], args["iv"], args["version"] = next.Secret.Ciphertext, next.Secret.IV, int64(next.Secret.MasterVersion)
	}
	p.Write(`
		INSERT INTO providers (name, kind, base_url, secret, secret_iv, secret_master_version, options, revision)
		VALUES (@name, @kind, @base_url, @secret, @iv, @version, @options, @revision)
		ON CONFLICT (name) DO UPDATE SET kind = @kind, base_url = @base_url, secret = @secret, secret_iv = @iv,
		    secret_master_version = @version, options = @options, revision = @revision`, args)
	return nil
}

// secret decides what secret the provider is to have, given the stored one in it and
// the one that the manifest brings, if any; changed says that it is not the stored one.
func (p *plan) secret(ctx context.Context, path string, next *catalog.Provider, given string, have storedProvider) (changed bool, err error) {
	if next.Kind == catalog.Demo {
		changed, next.Secret = next.Secret != nil, nil
		return changed, nil
	}
	// A secret is sealed for the origins it is sent to, so one that opens for the new
	// addresses is one that may go there.
	opened, err := next.OpenSecret(ctx, p.ring.Wrapper())
	fits := next.Secret != nil && err == nil
	same := fits && subtle.ConstantTimeCompare([]byte(opened), []byte(given)) == 1
	switch {
	case given != "" && !same:
		if next.Secret, err = next.SealSecret(ctx, p.ring.Wrapper(), given); err != nil {
			return false, fmt.Errorf("seal secret of provider %s: %w", next.Name, err)
		}
		return true, nil
	case next.Secret != nil && !fits:
		p.fault(path, "give the secret again: the stored one was sealed for %s and is of no use for another host", strings.Join(have.hosts(), " and "))
	case next.Secret == nil && next.NeedsSecret() && next.Entra != nil:
		p.fault(path, "is missing: the client secret of the application under entra")
	case next.Secret == nil && next.NeedsSecret():
		p.fault(path, "is missing: %s answers nobody without a key", next.Preset)
	}
	return false, nil
}

// hosts are where the stored secret goes.
func (s storedProvider) hosts() []string {
	if s.Options.Entra == nil {
		return []string{s.BaseURL}
	}
	return []string{cmp.Or(s.Options.Entra.Authority, catalog.DefaultAuthority), s.BaseURL}
}

// providerNames are all providers there will be, those the manifest declares wrongly
// included: their own faults are told already.
func (p *plan) providerNames(ctx context.Context) (map[string]bool, error) {
	rows, err := p.Tx.Query(ctx, `SELECT name FROM providers`)
	if err != nil {
		return nil, fmt.Errorf("read providers: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("read providers: %w", err)
	}
	known := make(map[string]bool)
	for _, name := range names {
		known[name] = true
	}
	for _, provider := range p.m.Providers {
		known[provider.Name] = true
	}
	return known, nil
}
