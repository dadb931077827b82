package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"loom.internal/pkg/catalog"
)

type storedRoute struct {
	Model        string
	Targets      []catalog.Target
	OnDisconnect catalog.OnDisconnect
	Options      catalog.RouteOptions
}

func (p *plan) routes(ctx context.Context) error {
	stored, err := collect(ctx, p.Tx, func(s storedRoute) string { return s.Model }, `SELECT model, targets, on_disconnect, options FROM routes`)
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
		options, faults := want.Options()
		if len(faults) > 0 {
			return fmt.Errorf("options of route %s: %v", want.Model, faults) // Validate has passed them
		}
		next := storedRoute{Model: want.Model, Targets: targets, OnDisconnect: onDisconnect, Options: options}
		have, exists := stored[want.Model]
		if err := p.route(ctx, next, have, exists); err != nil {
			return err
		}
	}
	return nil
}

func (p *plan) route(ctx context.Context, next, have storedRoute, exists bool) error {
	fields := fieldSet{}
	fields.add("targets", !slices.Equal(have.Targets, next.Targets))
	fields.add("on_disconnect", have.OnDisconnect != next.OnDisconnect && (exists || next.OnDisconnect != catalog.Cancel))
	fields.options(have.Options, next.Options)
	if len(fields) == 0 {
		return nil
	}
	action := "create"
	if exists {
		action = "update"
	}
	revision, err := p.record(ctx, "", Change{Action: action, Kind: "route", Name: next.Model, Fields: fields})
	if err != nil {
		return err
	}
	targets, err := json.Marshal(next.Targets)
	if err != nil {
		return fmt.Errorf("encode route %s: %w", next.Model, err)
	}
	options, err := json.Marshal(next.Options)
	if err != nil {
		return fmt.Errorf("encode route %s: %w", next.Model, err)
	}
	p.Write(`
		INSERT INTO routes (model, targets, on_disconnect, options, revision)
		VALUES (@model, @targets, @on_disconnect, @options, @revision)
		ON CONFLICT (model) DO UPDATE SET targets = @targets, on_disconnect = @on_disconnect, options = @options, revision = @revision`,
		pgx.NamedArgs{
			"model": next.Model, "targets": targets, "on_disconnect": next.OnDisconnect, "options": options, "revision": revision,
		})
	return nil
}
