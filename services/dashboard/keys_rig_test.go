package dashboard_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/config"
	"loom.internal/pkg/envelope"
	"loom.internal/pkg/telemetry"
	"loom.internal/pkg/tenant"
	"loom.internal/pkg/testkit"
)

// masterKey2 takes the place of masterKey.
const masterKey2 = "b2d5f8a1c4e7093b6d9f2c5e8b1a4d7f0c3e6b9a2d5f8c1e4b7a0d3f6c9e2b5a"

var bothMasters = config.VersionedSecret{1: masterKey, 2: masterKey2}

// beside is the rig as another dashboard with these master keys shows it, which answers
// requests and does nothing by itself.
func (r *rig) beside(t *testing.T, masters config.VersionedSecret) *rig {
	t.Helper()
	other := *r
	other.ready = new(telemetry.Readiness)
	var err error
	if other.ring, err = envelope.NewRing(masters.Reveal()); err != nil {
		t.Fatal(err)
	}
	cfg := testConfig(t)
	cfg.MasterKey = masters
	other.Service = other.replica(t, cfg, nil)
	server := httptest.NewServer(other.Handler())
	t.Cleanup(server.Close)
	other.base = server.URL
	return &other
}

// started runs another dashboard with these master keys until it has seen that they fit,
// or that they do not.
func (r *rig) started(t *testing.T, masters config.VersionedSecret) error {
	t.Helper()
	other := *r
	other.ready = new(telemetry.Readiness)
	cfg := testConfig(t)
	cfg.MasterKey = masters
	s := other.replica(t, cfg, nil)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	var err error
	testkit.Await(t, "it starts or ends", func(context.Context) bool {
		select {
		case err = <-ended:
			if err == nil {
				err = errors.New("it ended by itself")
			}
			return true
		default:
		}
		waiting := other.ready.Err()
		if waiting != nil && strings.Contains(waiting.Error(), "master_key") {
			return false
		}
		stop()
		err = <-ended
		return true
	})
	return err
}

// storedKey is a row of tenant_keys.
type storedKey struct {
	tenant, state string
	epoch         uint32
	version       *uint32
	iv, wrapped   []byte
}

func (r *rig) storedKeys(t *testing.T, tenantID string) (keys []storedKey) {
	t.Helper()
	rows, err := r.db.Pool("").Query(t.Context(), `
		SELECT tenant_id, state, epoch, master_version, iv, wrapped FROM tenant_keys WHERE $1 IN ('', tenant_id) ORDER BY tenant_id, epoch`, tenantID)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var k storedKey
		if err := rows.Scan(&k.tenant, &k.state, &k.epoch, &k.version, &k.iv, &k.wrapped); err != nil {
			t.Fatal(err)
		}
		keys = append(keys, k)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return keys
}

// states are the data keys of a tenant as "epoch state".
func (r *rig) states(t *testing.T, tenantID string) []string {
	t.Helper()
	all := []string{}
	for _, k := range r.storedKeys(t, tenantID) {
		all = append(all, fmt.Sprint(k.epoch, " ", k.state))
	}
	return all
}

// pushedEpoch is that of the data key gateways have of a tenant; 0: none.
func (r *rig) pushedEpoch(t *testing.T, tenantID string) uint32 {
	t.Helper()
	k := entryOf[tenant.Tenant](t, r.kv(t), bus.PrefixTenant+tenantID).DataKey
	if k == nil {
		return 0
	}
	if _, err := k.Unwrap(t.Context(), r.ring, tenantID); err != nil {
		t.Errorf("the data key that gateways of %s have: %v", tenantID, err)
	}
	return k.Epoch
}

type clearPayload struct {
	Request, Response *struct {
		Text   *string
		Base64 []byte
		Length int
	}
}

// payloadOf asks for the bodies of a trace as an admin, who may read also for a tenant
// that is not active.
func (r *rig) payloadOf(s *seeded) call {
	return call{
		method: http.MethodGet, path: "/api/v1/traces/" + s.id.String() + "/payload", key: r.admin,
		header: map[string]string{"X-Loom-Tenant": s.tenant},
	}
}

// opens checks that both bodies of each trace are shown as they were.
func (r *rig) opens(t *testing.T, all ...*seeded) {
	t.Helper()
	for _, s := range all {
		var p clearPayload
		r.ok(t, r.payloadOf(s), &p)
		if p.Request == nil || p.Response == nil || p.Request.Text == nil || p.Response.Text == nil ||
			*p.Request.Text != *s.request || *p.Response.Text != *s.response {
			t.Errorf("trace %s of %s: got %+v, want what was recorded", s.id, s.tenant, p)
		}
	}
}

// admins posts to a path of the administration.
func (r *rig) admins(t *testing.T, path string, body, v any) {
	t.Helper()
	r.ok(t, call{method: http.MethodPost, path: "/api/v1/admin/" + path, key: r.admin, body: body}, v)
}

// counted is how many payloads were refused for a reason.
func (r *rig) counted(t *testing.T, reason string) float64 {
	t.Helper()
	families, err := r.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "loom_dashboard_payload_refused_total" && m.GetLabel()[0].GetValue() == reason {
				return m.GetCounter().GetValue()
			}
		}
	}
	t.Fatalf("no counter of payloads refused as %s", reason)
	return 0
}
