package rig

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
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
	"loom.internal/pkg/envelope"
	"loom.internal/pkg/tenant"
)

// revision of all that is configured.
const revision = 1

// configure makes tenants, keys and the catalogue in the database, from where the dashboard
// brings them to the broker.
func (r *Rig) configure(ctx context.Context) error {
	pepper := []byte(rand.Text() + rand.Text())
	hasher, err := tenant.NewHasher(pepper)
	if err != nil {
		return err
	}
	wrapped, err := r.Ring.Wrap(ctx, catalog.PepperLabel(), pepper)
	if err != nil {
		return err
	}
	var batch pgx.Batch
	batch.Queue(`SELECT setval('config_revision', $1)`, revision)
	batch.Queue(`INSERT INTO system_keys (purpose, master_version, iv, wrapped, revision) VALUES ($1, $2, $3, $4, $5)`,
		envelope.PurposeAPIKey, int64(wrapped.MasterVersion), wrapped.IV, wrapped.Ciphertext, revision)
	for _, id := range []string{"chaos-a", "chaos-b", "chaos-c"} {
		text, err := tenant.NewKeyText(tenant.TenantPrefix)
		if err != nil {
			return err
		}
		hash := hasher.Hash(text)
		r.Clients = append(r.Clients, load.Client{Tenant: id, Key: text.Reveal()})
		batch.Queue(`INSERT INTO tenants (id, name, revision) VALUES ($1, $1, $2)`, id, revision)
		data, err := envelope.NewDataKey(id, 1).Wrap(ctx, r.Ring)
		if err != nil {
			return err
		}
		batch.Queue(`INSERT INTO tenant_keys (tenant_id, epoch, master_version, iv, wrapped) VALUES ($1, $2, $3, $4, $5)`,
			id, int64(data.Epoch), int64(data.MasterVersion), data.IV, data.Ciphertext)
		batch.Queue(`INSERT INTO api_keys (id, tenant_id, name, hash, last4, scopes, created_by, revision) VALUES ($1, $2, 'chaos', $3, $4, $5, 'chaos', $6)`,
			text.ID(), id, hash[:], text.Last4(), []tenant.Scope{tenant.ScopeChat, tenant.ScopeTracesRead, tenant.ScopeTracesDecrypt}, revision)
	}
	admin, err := tenant.NewKeyText(tenant.AdminPrefix)
	if err != nil {
		return err
	}
	hash := hasher.Hash(admin)
	r.Admin = admin.Reveal()
	batch.Queue(`INSERT INTO admin_keys (id, name, hash, last4) VALUES ($1, 'chaos', $2, $3)`, admin.ID(), hash[:], admin.Last4())
	secret, err := catalog.SealSecret(ctx, r.Ring, script.Provider, r.upstream.URL, r.Secret)
	if err != nil {
		return err
	}
	batch.Queue(`INSERT INTO providers (name, kind, base_url, secret, secret_iv, secret_master_version, revision) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		script.Provider, catalog.OpenAI, r.upstream.URL, secret.Ciphertext, secret.IV, int64(secret.MasterVersion), revision)
	batch.Queue(`INSERT INTO routes (model, targets, revision) VALUES ('chaos-*', $1, $2)`, []catalog.Target{{Provider: script.Provider}}, revision)
	conn, err := r.Connect(ctx)
	if err != nil {
		return err
	}
	if err := errors.Join(conn.SendBatch(ctx, &batch).Close(), conn.Close(ctx)); err != nil {
		return fmt.Errorf("configure: %w", err)
	}
	return r.OnBus(func(js jetstream.JetStream) error { // as loom migrate does
		ctx, cancel := context.WithTimeout(ctx, startLimit)
		defer cancel()
		return bus.EnsureRetry(ctx, js, bus.DefaultLayout(), r.log())
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

// WipeBroker kills the broker and removes its disk, and waits until the dashboard has made
// on the empty one that comes back all that is to be there.
func (r *Rig) WipeBroker(ctx context.Context) error {
	if err := r.procs[NATS][0].Kill(ctx, func() error { return os.RemoveAll(r.NATSDir()) }); err != nil {
		return err
	}
	return r.OnBus(func(js jetstream.JetStream) error {
		return Until(ctx, startLimit, "the dashboard has made the streams again", func(ctx context.Context) error {
			_, err := js.Stream(ctx, "OBJ_"+bus.BucketBodies) // the last to be made
			return err
		})
	})
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
