package up

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"loom.internal/cmd/loom/internal/devenv"
	"loom.internal/cmd/loom/internal/manifestfile"
	"loom.internal/pkg/catalog"
	"loom.internal/pkg/manifest"
	"loom.internal/services/dashboard"
)

// configurator fills a Loom with what makes it answer: keys, a demo, what the
// environment and the manifest ask for.
type configurator struct {
	dashboard *dashboard.Service
	settings  Settings
	key       masterKey
	file      *manifestfile.File // nil: none
}

// configured is what a start has found or made.
type configured struct {
	env   devenv.Env
	first bool               // the keys were made by this start
	keys  []dashboard.NewKey // of the manifest: to be shown, once
}

// run is idempotent: a start that was cut short is finished by the next.
func (c configurator) run(ctx context.Context) (configured, error) {
	var out configured
	env, err := devenv.Read(c.settings.DataDir)
	if err != nil {
		return out, err
	}
	if out.env, out.first, err = c.keys(ctx, env); err != nil {
		return out, err
	}
	if err := c.openAI(ctx); err != nil {
		return out, fmt.Errorf("configure provider openai: %w", err)
	}
	if c.file != nil {
		done, err := c.apply(ctx, c.file.Manifest, false)
		if refusal, ok := errors.AsType[*dashboard.InvalidError](err); ok {
			return out, fmt.Errorf("nothing of the manifest was applied:\n%w", c.file.Locate(refusal.Faults))
		}
		if err != nil {
			return out, fmt.Errorf("apply %s: %w", c.file.Name, err)
		}
		out.keys = done.Keys
	}
	return out, nil
}

// keys makes the first admin key, and the demo tenant with a key, where dev.env of this
// data directory does not know them. What is made is written down before anything else
// is done.
func (c configurator) keys(ctx context.Context, env devenv.Env) (_ devenv.Env, made bool, err error) {
	admin, created, err := c.dashboard.Bootstrap(ctx)
	if errors.Is(err, dashboard.ErrWrongMaster) && c.key.made {
		return env, false, errors.Join(fmt.Errorf("%w, which %s no longer holds: bring that file back, or set ENCRYPTION_MASTER_KEY", err, c.key.path), c.key.discard())
	}
	if err != nil {
		return env, false, fmt.Errorf("make admin key: %w", err)
	}
	switch {
	case created:
		env.AdminKey = admin
		if err := devenv.Write(c.settings.DataDir, env); err != nil {
			return env, false, err
		}
	case env.APIKey != "" || env.AdminKey == "": // all there, or not ours to fill
		return env, false, nil
	}
	done, err := c.apply(ctx, Demo("dev"), false)
	if err == nil && len(done.Keys) == 0 && env.APIKey == "" {
		// A start that was cut short has made that key, and its secret is lost.
		done, err = c.apply(ctx, Demo("dev-"+time.Now().UTC().Format("20060102-150405")), false)
	}
	if err != nil {
		return env, false, fmt.Errorf("make the demo tenant: %w", err)
	}
	if len(done.Keys) == 0 {
		return env, false, nil
	}
	env.APIKey = done.Keys[0].Secret
	return env, true, devenv.Write(c.settings.DataDir, env)
}

func (c configurator) apply(ctx context.Context, m manifest.Manifest, dryRun bool) (dashboard.Result, error) {
	return c.dashboard.Apply(ctx, &m, dryRun)
}

// Demo is what answers without any account, and a tenant to ask it, with a key of that name.
func Demo(key string) manifest.Manifest {
	target := []manifest.Target{{Provider: "demo"}}
	return manifest.Manifest{
		Providers: []manifest.Provider{{Name: "demo", Kind: catalog.Demo}},
		Routes:    []manifest.Route{{Model: "loom-demo", Targets: target}, {Model: "loom-demo-large", Targets: target}},
		Tenants:   []manifest.Tenant{{ID: "demo", Name: "Demo", Keys: []manifest.Key{{Name: key}}}},
	}
}

// openAI adds what OPENAI_API_KEY asks for and is not there. What someone has
// configured under these names stays; only a new key replaces the old.
func (c configurator) openAI(ctx context.Context) error {
	if c.settings.OpenAIKey == "" {
		return nil
	}
	want := openAI(c.settings.OpenAIKey.Reveal())
	plan, err := c.apply(ctx, want, true)
	if err != nil {
		return err
	}
	var apply manifest.Manifest
	for _, change := range plan.Changes {
		missing := change.Action == "create"
		switch change.Kind {
		case "provider":
			if missing || slices.Equal(change.Fields, []string{"secret"}) {
				apply.Providers = want.Providers
			}
		case "route":
			i := slices.IndexFunc(want.Routes, func(r manifest.Route) bool { return r.Model == change.Name })
			if missing && i >= 0 {
				apply.Routes = append(apply.Routes, want.Routes[i])
			}
		}
	}
	_, err = c.apply(ctx, apply, false)
	return err
}

// openAI is OpenAI with its chat models.
func openAI(key string) manifest.Manifest {
	m := manifest.Manifest{Providers: []manifest.Provider{
		{Name: "openai", Kind: catalog.OpenAI, BaseURL: "https://api.openai.com/v1", Secret: key},
	}}
	for _, model := range []string{"gpt-*", "chatgpt-*", "o1*", "o3*", "o4*"} {
		m.Routes = append(m.Routes, manifest.Route{Model: model, Targets: []manifest.Target{{Provider: "openai"}}})
	}
	return m
}
