package directory

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"reflect"

	"github.com/nats-io/nats.go/jetstream"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/catalog"
	"loom.internal/pkg/envelope"
	"loom.internal/services/gateway/internal/provider"
)

// Catalogue is a snapshot made ready to route by. It is immutable.
type Catalogue struct {
	Revision  int64
	table     *catalog.Table
	providers map[string]upstream
}

type upstream struct {
	kind     catalog.Kind
	entry    catalog.Provider
	provider provider.Provider // nil when it could not be opened
}

// secretAlone reports whether p is the provider as it was but for the secret that it had.
func (u upstream) secretAlone(p catalog.Provider) bool {
	p.Secret = u.entry.Secret
	return p.Secret != nil && reflect.DeepEqual(u.entry, p)
}

// key is what the health of one of its models is known by.
func (u upstream) key(name, model string) string { return name + " " + u.entry.BaseURL + " " + model }

// Target is where a model leads.
type Target struct {
	Route    string // the pattern that matched
	Provider string // its name
	Kind     catalog.Kind
	Model    string            // the name the provider knows the model by
	Key      string            // of provider, its address and the model: what is known of its health goes by it
	Upstream provider.Provider // nil when the provider could not be opened
	Weight   int               // its share among the route's targets, at least 1
	Options  catalog.RouteOptions
	Finish   bool // the answer is read to its end even when the client has left
}

// Targets are the places a model can be answered at, in order; nil when no route
// leads there.
func (c *Catalogue) Targets(model string) []Target {
	route, ok := c.table.Match(model)
	if !ok {
		return nil
	}
	targets := make([]Target, 0, len(route.Targets))
	for _, t := range route.Targets {
		name := t.Model
		if name == "" {
			name = model
		}
		u := c.providers[t.Provider]
		targets = append(targets, Target{
			Route: route.Model, Provider: t.Provider, Kind: u.kind, Model: name, Upstream: u.provider,
			Key: u.key(t.Provider, name), Weight: max(t.Weight, 1), Options: route.RouteOptions,
			Finish: route.OnDisconnect == catalog.Finish,
		})
	}
	return targets
}

// Keeper is a provider by its name, for what it keeps of a model.
func (c *Catalogue) Keeper(name, model string) (Target, bool) {
	u, ok := c.providers[name]
	return Target{Provider: name, Kind: u.kind, Model: model, Key: u.key(name, model), Upstream: u.provider, Weight: 1}, ok
}

// Close ends what the providers do by themselves.
func (c *Catalogue) Close() error {
	var errs []error
	for _, u := range c.providers {
		if p, ok := u.provider.(io.Closer); ok {
			errs = append(errs, p.Close())
		}
	}
	return errors.Join(errs...)
}

// Models lists the models with a route of their own, sorted.
func (c *Catalogue) Models() []string { return c.table.Names() }

// provider is one by its name; a catalogue that is not there has none.
func (c *Catalogue) provider(name string) (u upstream, ok bool) {
	if c != nil {
		u, ok = c.providers[name]
	}
	return u, ok
}

// Owner is the name of the provider a model leads to first; empty for none.
func (c *Catalogue) Owner(model string) string {
	if targets := c.Targets(model); len(targets) > 0 {
		return targets[0].Provider
	}
	return ""
}

// Catalogue is the latest good one; nil before the first.
func (d *Directory) Catalogue() *Catalogue { return d.models.Load() }

func (d *Directory) followCatalogue(ctx context.Context, snapshots jetstream.KeyWatcher) error {
	for known := false; ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case entry, ok := <-snapshots.Updates():
			switch {
			case !ok:
				return errWatchEnded
			case entry == nil: // the bucket's state is known now, even if it is empty
				known = true
			case entry.Operation() != jetstream.KeyValuePut:
			case entry.Key() == bus.KeyPepper:
				d.setPepper(ctx, entry.Value())
			default:
				d.setCatalogue(ctx, entry.Value())
			}
			if known && d.hasher.Load() != nil {
				d.ready.Do(d.opt.OnReady)
			}
		}
	}
}

// setCatalogue puts a new snapshot in force. One that cannot be read changes nothing.
func (d *Directory) setCatalogue(ctx context.Context, data []byte) {
	log := d.opt.Log
	s, err := catalog.Decode(data)
	if err != nil {
		log.LogAttrs(ctx, slog.LevelError, "catalogue refused, the one before stays in force", slog.Any("error", err))
		return
	}
	c := &Catalogue{Revision: s.Revision, table: catalog.NewTable(s.Routes), providers: make(map[string]upstream, len(s.Providers))}
	before := d.models.Load()
	for _, p := range s.Providers {
		// A provider that has not changed goes on: it may have signed in somewhere.
		if u, ok := before.provider(p.Name); ok && u.provider != nil && reflect.DeepEqual(u.entry, p) {
			c.providers[p.Name] = u
			continue
		}
		opened, err := d.opt.Opener.Open(ctx, p)
		if u, ok := before.provider(p.Name); ok && u.provider != nil && errors.Is(err, envelope.ErrUnknownKeyVersion) && u.secretAlone(p) {
			log.LogAttrs(ctx, slog.LevelError, "secret of a provider is wrapped with a master key that is not here, the one before stays in use: "+giveMaster,
				slog.String("provider", p.Name), slog.Any("error", err))
			c.providers[p.Name] = u
			continue
		}
		if err != nil {
			log.LogAttrs(ctx, slog.LevelError, "provider cannot be used, its models answer 503", slog.String("provider", p.Name), slog.Any("error", err))
		}
		c.providers[p.Name] = upstream{p.Kind, p, opened}
	}
	d.models.Store(c)
	log.LogAttrs(ctx, slog.LevelInfo, "catalogue in force", slog.Int64("revision", s.Revision),
		slog.Int("providers", len(s.Providers)), slog.Int("routes", len(s.Routes)))
}
