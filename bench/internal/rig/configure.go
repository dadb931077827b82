package rig

import (
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"loom.internal/bench/internal/load"
	"loom.internal/bench/internal/script"
	"loom.internal/pkg/bus"
	"loom.internal/pkg/catalog"
	"loom.internal/pkg/tenant"
)

const configureLimit = 30 * time.Second

// entry of the bucket that gateways work by.
type entry struct {
	key   string
	value any
}

// revision of all that is configured.
const revision = 1

// configure makes tenants, keys and the catalogue and puts them on the bus.
func (r *Rig) configure(ctx context.Context) error {
	pepper, err := r.Ring.Pepper()
	if err != nil {
		return err
	}
	hasher, err := tenant.NewHasher(pepper)
	if err != nil {
		return err
	}
	for _, id := range []string{"chaos-a", "chaos-b", "chaos-c"} {
		text, err := tenant.NewKeyText(tenant.TenantPrefix)
		if err != nil {
			return err
		}
		hash := hasher.Hash(text)
		r.Clients = append(r.Clients, load.Client{Tenant: id, Key: text.Reveal()})
		r.config = append(r.config,
			entry{bus.PrefixTenant + id, tenant.Tenant{ID: id, Name: id, Status: tenant.Active, ContentMode: "full", Revision: revision}},
			entry{bus.PrefixKey + hex.EncodeToString(hash[:]), tenant.Key{
				ID: text.ID(), TenantID: id, Name: "chaos", Scopes: []tenant.Scope{tenant.ScopeChat}, Revision: revision,
			}})
	}
	secret, err := catalog.SealSecret(r.Ring, script.Provider, r.upstream.URL, r.Secret)
	if err != nil {
		return err
	}
	r.config = append(r.config, entry{bus.KeyCatalog, catalog.Snapshot{
		Revision:  revision,
		Providers: []catalog.Provider{{Name: script.Provider, Kind: catalog.OpenAI, BaseURL: r.upstream.URL, Secret: secret}},
		Routes:    []catalog.Route{{Model: "chaos-*", Targets: []catalog.Target{{Provider: script.Provider}}}},
	}})
	return r.Configure(ctx)
}

// Configure makes the streams and puts the configuration, as the control plane does for
// a broker that comes back empty.
func (r *Rig) Configure(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, configureLimit)
	defer cancel()
	return r.OnBus(func(js jetstream.JetStream) error {
		if err := bus.EnsureRetry(ctx, js, bus.DefaultLayout(), r.log()); err != nil {
			return err
		}
		kv, err := js.KeyValue(ctx, bus.BucketConfig)
		if err != nil {
			return err
		}
		for _, e := range r.config {
			if err := bus.PutNewer(ctx, kv, e.key, revision, e.value); err != nil {
				return err
			}
		}
		return nil
	})
}

// OnBus calls f with a connection of its own.
func (r *Rig) OnBus(f func(jetstream.JetStream) error) error {
	nc, err := bus.Connect(r.natsURL, "chaos", r.log(), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	return f(js)
}

// WipeBroker kills the broker, removes its disk, and sets up the empty one that comes back.
func (r *Rig) WipeBroker(ctx context.Context) error {
	err := r.procs[NATS][0].Kill(ctx, func() error { return os.RemoveAll(r.NATSDir()) })
	return errors.Join(err, r.Configure(ctx))
}

func setPrices(ctx context.Context, conn *pgx.Conn) error {
	for model, p := range script.Prices() {
		_, err := conn.Exec(ctx, `
			INSERT INTO prices (provider, model, from_date, input, cached_input, output, revision)
			VALUES ($1, $2, '2020-01-01', $3, $4, $5, $6)`,
			script.Provider, model, p.Input, p.CachedInput, p.Output, revision)
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *Rig) log() *slog.Logger { return slog.New(slog.DiscardHandler) }
