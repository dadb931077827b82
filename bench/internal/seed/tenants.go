package seed

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"loom.internal/bench/internal/traffic"
	"loom.internal/pkg/manifest"
	"loom.internal/pkg/tenant"
)

const callLimit = 30 * time.Second

// loginKey is the name of the key that a tenant's people log in with.
const loginKey = "dashboard"

// Tenants are configured: ids of the keys that requests come with, and what to log in
// with, by tenant.
type Tenants struct {
	Keys   map[traffic.Key]string
	Logins map[string]string
}

// Configure makes tenants, keys and prices through the admin API, what is not there yet.
func Configure(ctx context.Context, h Home) (Tenants, error) {
	t := Tenants{Keys: make(map[traffic.Key]string)}
	var err error
	if t.Logins, err = h.readKeys(); err != nil {
		return t, err
	}
	if _, err := h.apply(ctx, traffic.Manifest()); err != nil {
		return t, err
	}
	for _, id := range traffic.Tenants() {
		keys, err := h.keys(ctx, id)
		if err != nil {
			return t, err
		}
		valid := false // what is written down
		for _, k := range keys {
			if k.RevokedAt == nil {
				t.Keys[traffic.Key{Tenant: id, Name: k.Name}] = k.ID
				text, err := tenant.ParseKeyText(t.Logins[id])
				valid = valid || err == nil && text.ID() == k.ID
			}
		}
		if valid {
			continue
		}
		name := loginKey
		if t.Keys[traffic.Key{Tenant: id, Name: name}] != "" { // nobody knows its secret any more
			name += time.Now().UTC().Format("-20060102-150405")
		}
		if t.Logins[id], err = h.makeLogin(ctx, id, name); err != nil {
			return t, err
		}
	}
	return t, h.writeKeys(t.Logins, traffic.Tenants())
}

func (h Home) makeLogin(ctx context.Context, tenantID, name string) (string, error) {
	made, err := h.apply(ctx, manifest.Manifest{Tenants: []manifest.Tenant{{ID: tenantID, Keys: []manifest.Key{
		{Name: name, Scopes: []tenant.Scope{tenant.ScopeChat, tenant.ScopeTracesRead, tenant.ScopeTracesDecrypt}},
	}}}})
	if err != nil {
		return "", err
	}
	if len(made) != 1 {
		return "", fmt.Errorf("key %s of tenant %s is there already, and its secret is not known", name, tenantID)
	}
	return made[0].Secret, nil
}

type newKey struct {
	Secret string `json:"secret"`
}

// apply applies a manifest and gives the keys that were made by it.
func (h Home) apply(ctx context.Context, m manifest.Manifest) ([]newKey, error) {
	var out struct {
		Keys []newKey `json:"keys"`
	}
	return out.Keys, h.call(ctx, http.MethodPost, "/api/v1/admin/apply", m, &out)
}

type key struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	RevokedAt *time.Time `json:"revoked_at"`
}

func (h Home) keys(ctx context.Context, tenantID string) ([]key, error) {
	var out struct {
		Items []key `json:"items"`
	}
	err := h.call(ctx, http.MethodGet, "/api/v1/admin/tenants/"+tenantID+"/keys", nil, &out)
	return out.Items, err
}

// call asks the admin API.
func (h Home) call(ctx context.Context, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, h.Dashboard+path, &body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+h.AdminKey)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("ask the dashboard: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, bytes.TrimSpace(data))
	}
	return json.Unmarshal(data, out)
}
