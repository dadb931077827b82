package dashboard_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/catalog"
	"loom.internal/pkg/manifest"
	"loom.internal/pkg/tenant"
	"loom.internal/pkg/testkit"
	"loom.internal/services/dashboard"
)

func (r *rig) hashKey(t *testing.T, secret string) string {
	t.Helper()
	p := entryOf[catalog.Pepper](t, r.kv(t), bus.KeyPepper)
	pepper, err := r.ring.Unwrap(t.Context(), catalog.PepperLabel(), p.Wrapped)
	if err != nil {
		t.Fatal(err)
	}
	hasher, err := tenant.NewHasher(pepper)
	if err != nil {
		t.Fatal(err)
	}
	text, err := tenant.ParseKeyText(secret)
	if err != nil {
		t.Fatal(err)
	}
	hash := hasher.Hash(text)
	return bus.PrefixKey + hex.EncodeToString(hash[:])
}

func entryOf[T any](t *testing.T, kv jetstream.KeyValue, key string) (v T) {
	t.Helper()
	entry, err := kv.Get(t.Context(), key)
	if err != nil {
		t.Fatalf("%s: %v", key, err)
	}
	if err := json.Unmarshal(entry.Value(), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// catalogue is what gateways route by.
func (r *rig) catalogue(t *testing.T) *catalog.Snapshot {
	t.Helper()
	entry, err := r.kv(t).Get(t.Context(), bus.KeyCatalog)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(entry.Value()), providerSecret) {
		t.Error("the bus holds a provider's secret in clear")
	}
	snapshot, err := catalog.Decode(entry.Value())
	if err != nil {
		t.Fatal(err)
	}
	return snapshot
}

func TestPushBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	result := r.apply(t, everything(), "")
	kv, snapshot := r.kv(t), r.catalogue(t)
	if len(snapshot.Providers) != 2 || len(snapshot.Routes) != 1 || snapshot.Revision != result.Revision {
		t.Errorf("got %+v", snapshot)
	}
	for _, p := range snapshot.Providers {
		want := map[string]string{"openai": providerSecret, "demo": ""}[p.Name]
		if got, err := p.OpenSecret(t.Context(), r.ring); err != nil || got != want {
			t.Errorf("secret of %s: got %q, %v", p.Name, got, err)
		}
	}
	if got := entryOf[tenant.Tenant](t, kv, bus.PrefixTenant+"new"); got.Name != "New" || got.Status != tenant.Active {
		t.Errorf("got %+v", got)
	}
	key := entryOf[tenant.Key](t, kv, r.hashKey(t, result.Keys[0].Secret))
	if key.ID != result.Keys[0].ID || key.TenantID != "new" || key.Revoked || !key.Has(tenant.ScopeChat) {
		t.Errorf("got %+v", key)
	}
}

func TestRevocationIsPushedWithinASecond(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	w, err := r.kv(t).Watch(t.Context(), r.hashKey(t, r.acme), jetstream.UpdatesOnly())
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	start := time.Now()
	r.ok(t, call{method: http.MethodDelete, path: "/api/v1/admin/keys/" + r.keyID, key: r.admin}, nil)
	select {
	case entry := <-w.Updates():
		var key tenant.Key
		if err := json.Unmarshal(entry.Value(), &key); err != nil || !key.Revoked {
			t.Errorf("got %s, %v, want it revoked", entry.Value(), err)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("the revocation took %s", took)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the revocation was not pushed")
	}
}

// With the bus away, changes are made all the same, and pushed when it is back.
func TestPushAfterAnOutage(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.broker.Stop()
	testkit.Await(t, "the connection is seen lost", func(context.Context) bool { return bus.Ready(r.nats) != nil })
	if result := r.apply(t, everything(), ""); result.Pushed {
		t.Error("pushed over a bus that is away")
	}
	r.broker.Start(t)
	testkit.Await(t, "the change is on the bus", func(ctx context.Context) bool {
		kv, err := r.js.KeyValue(ctx, bus.BucketConfig)
		if err != nil {
			return false
		}
		entry, err := kv.Get(ctx, bus.PrefixTenant+"new")
		return err == nil && entry != nil
	})
}

// A bus that lost its disk gets everything again.
func TestPushAfterTheBucketWasLost(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if err := r.js.DeleteKeyValue(t.Context(), bus.BucketConfig); err != nil {
		t.Fatal(err)
	}
	if err := bus.Ensure(t.Context(), r.js, bus.DefaultLayout()); err != nil {
		t.Fatal(err)
	}
	r.ok(t, call{method: http.MethodPost, path: "/api/v1/admin/tenants", key: r.admin, body: map[string]string{"id": "zoo"}}, nil)
	kv := r.kv(t)
	for _, key := range []string{bus.KeyCatalog, bus.PrefixTenant + "acme", bus.PrefixTenant + "zoo", r.hashKey(t, r.acme)} {
		if _, err := kv.Get(t.Context(), key); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
}

// A broker that lost its disk gets everything that Loom keeps there, by no one but the
// dashboard that runs.
func TestBrokerThatLostItsDiskIsMadeAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.broker.Wipe(t)
	testkit.Await(t, "everything is there again", func(ctx context.Context) bool {
		for _, durable := range bus.Consumers() {
			if _, err := r.js.Consumer(ctx, bus.StreamTrace, durable); err != nil {
				return false
			}
		}
		for _, bucket := range []string{bus.BucketConfig, bus.BucketWatermark} {
			if _, err := r.js.KeyValue(ctx, bucket); err != nil {
				return false
			}
		}
		if _, err := r.js.ObjectStore(ctx, bus.BucketBodies); err != nil {
			return false
		}
		kv, err := r.js.KeyValue(ctx, bus.BucketConfig)
		if err != nil {
			return false
		}
		_, err = kv.Get(ctx, bus.KeyCatalog)
		return err == nil
	})
	if entryOf[tenant.Tenant](t, r.kv(t), bus.PrefixTenant+"acme").Name != "Acme" {
		t.Error("the tenants have not come back")
	}
}

// One that lost a part of it under a connection that stands gets that part, and what is
// there stays as it is.
func TestOnlyWhatIsMissingIsMadeAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, err := range []error{
		r.js.DeleteKeyValue(t.Context(), bus.BucketConfig), r.js.DeleteConsumer(t.Context(), bus.StreamTrace, bus.ConsumerAnalytics),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	stream, err := r.js.Stream(t.Context(), bus.StreamTrace)
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	config.MaxBytes = 1 << 25
	if _, err := r.js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	r.ok(t, call{method: http.MethodPost, path: "/api/v1/admin/tenants", key: r.admin, body: map[string]string{"id": "zoo"}}, nil)
	entryOf[tenant.Tenant](t, r.kv(t), bus.PrefixTenant+"acme")
	if _, err := r.js.Consumer(t.Context(), bus.StreamTrace, bus.ConsumerAnalytics); err != nil {
		t.Error(err)
	}
	if stream, err = r.js.Stream(t.Context(), bus.StreamTrace); err != nil || stream.CachedInfo().Config.MaxBytes != 1<<25 {
		t.Errorf("the stream was changed, or %v", err)
	}
}

// Two replicas that change things at once leave the latest of each on the bus.
func TestReplicasRace(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	replicas := []*dashboard.Service{r.Service, r.replica(t, testConfig(t), nil)}
	done := make(chan error, 16)
	for i := range cap(done) {
		go func() {
			m := &manifest.Manifest{Tenants: []manifest.Tenant{{ID: "acme", Name: "name " + string(rune('a'+i))}}}
			_, err := replicas[i%2].Apply(context.WithoutCancel(t.Context()), m, false)
			done <- err
		}()
	}
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	var name string
	if err := r.db.Pool("").QueryRow(t.Context(), `SELECT name FROM tenants WHERE id = 'acme'`).Scan(&name); err != nil {
		t.Fatal(err)
	}
	if got := entryOf[tenant.Tenant](t, r.kv(t), bus.PrefixTenant+"acme"); got.Name != name {
		t.Errorf("the bus says %q, the database %q", got.Name, name)
	}
}
