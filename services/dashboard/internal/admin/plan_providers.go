package admin

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"loom.internal/pkg/catalog"
	"loom.internal/pkg/manifest"
)

type storedProvider struct {
	Name             string
	Kind             catalog.Kind
	BaseURL          string
	Secret           []byte
	SecretIV         []byte
	SecretKeyVersion *int32
}

// sealed is the provider's secret as the catalogue has it; nil if it has none.
func (s storedProvider) sealed() *catalog.Secret {
	if s.Secret == nil || s.SecretKeyVersion == nil {
		return nil
	}
	return &catalog.Secret{Ciphertext: s.Secret, IV: s.SecretIV, KeyVersion: uint32(*s.SecretKeyVersion)} //nolint:gosec // written from a uint32 in range
}

func (p *plan) providers(ctx context.Context) error {
	stored, err := collect(ctx, p.tx, func(s storedProvider) string { return s.Name },
		`SELECT name, kind, base_url, secret, secret_iv, secret_key_version FROM providers`)
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
	secret, newSecret := have.sealed(), false
	// A secret is sealed for the origin it is sent to, so one that opens for the new
	// address is one that may go there.
	target := catalog.Provider{Name: want.Name, BaseURL: want.BaseURL, Secret: secret}
	opened, err := target.OpenSecret(p.ring)
	fits := secret != nil && err == nil
	same := fits && subtle.ConstantTimeCompare([]byte(opened), []byte(want.Secret)) == 1
	switch {
	case want.Kind == catalog.Demo:
		secret, newSecret = nil, secret != nil
	case want.Secret != "" && !same:
		if secret, err = catalog.SealSecret(p.ring, want.Name, want.BaseURL, want.Secret); err != nil {
			return fmt.Errorf("seal secret of provider %s: %w", want.Name, err)
		}
		newSecret = true
	case secret != nil && !fits:
		p.fault(path+".secret", "give the secret again: the stored one was sealed for %s and is of no use for another host", have.BaseURL)
		return nil
	}

	fields := fieldSet{}
	fields.add("kind", have.Kind != want.Kind)
	fields.add("base_url", have.BaseURL != want.BaseURL)
	fields.add("secret", newSecret)
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
	args := pgx.NamedArgs{
		"name": want.Name, "kind": string(want.Kind), "base_url": want.BaseURL, "revision": revision,
		"secret": nil, "iv": nil, "version": nil,
	}
	if secret != nil {
		args["secret"], args["iv"], args["version"] = secret.Ciphertext, secret.IV, int64(secret.KeyVersion)
	}
	p.write(`
		INSERT INTO providers (name, kind, base_url, secret, secret_iv, secret_key_version, revision)
		VALUES (@name, @kind, @base_url, @secret, @iv, @version, @revision)
		ON CONFLICT (name) DO UPDATE SET kind = @kind, base_url = @base_url, secret = @secret, secret_iv = @iv,
		    secret_key_version = @version, revision = @revision`, args)
	return nil
}

type storedRoute struct {
	Model        string
	Targets      []catalog.Target
	OnDisconnect catalog.OnDisconnect
}

func (p *plan) routes(ctx context.Context) error {
	stored, err := collect(ctx, p.tx, func(s storedRoute) string { return s.Model }, `SELECT model, targets, on_disconnect FROM routes`)
	if err != nil {
		return err
	}
	known, err := p.providerNames(ctx)
	if err != nil {
		return err
	}
	for i, want := range p.m.Routes {
		path := fmt.Sprintf("routes[%d]", i)
		if p.broken[path] {
			continue
		}
		targets := make([]catalog.Target, len(want.Targets))
		for j, t := range want.Targets {
			if !known[t.Provider] {
				p.fault(fmt.Sprintf("%s.targets[%d].provider", path, j), "there is no provider %q: declare it under providers", t.Provider)
			}
			targets[j] = catalog.Target{Provider: t.Provider, Model: t.Model, Weight: max(t.Weight, 1)}
		}
		onDisconnect, err := catalog.ParseOnDisconnect(string(want.OnDisconnect))
		if err != nil {
			return err // Validate has passed it
		}
		have, exists := stored[want.Model]
		var fields []string
		if !slices.Equal(have.Targets, targets) {
			fields = append(fields, "targets")
		}
		if have.OnDisconnect != onDisconnect && (exists || onDisconnect != catalog.Cancel) {
			fields = append(fields, "on_disconnect")
		}
		if len(fields) == 0 {
			continue
		}
		action := "create"
		if exists {
			action = "update"
		}
		revision, err := p.record(ctx, "", Change{Action: action, Kind: "route", Name: want.Model, Fields: fields})
		if err != nil {
			return err
		}
		data, err := json.Marshal(targets)
		if err != nil {
			return fmt.Errorf("encode route %s: %w", want.Model, err)
		}
		p.write(`
			INSERT INTO routes (model, targets, on_disconnect, revision) VALUES (@model, @targets, @on_disconnect, @revision)
			ON CONFLICT (model) DO UPDATE SET targets = @targets, on_disconnect = @on_disconnect, revision = @revision`,
			pgx.NamedArgs{"model": want.Model, "targets": data, "on_disconnect": onDisconnect, "revision": revision})
	}
	return nil
}

// providerNames are all providers there will be, those the manifest declares wrongly
// included: their own faults are told already.
func (p *plan) providerNames(ctx context.Context) (map[string]bool, error) {
	rows, err := p.tx.Query(ctx, `SELECT name FROM providers`)
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
