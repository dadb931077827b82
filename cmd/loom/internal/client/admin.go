package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"loom.internal/pkg/manifest"
)

// Change is one thing that applying a manifest does, or would do.
type Change struct {
	Action string   `json:"action"` // create or update
	Kind   string   `json:"kind"`   // provider, route, tenant, key or price
	Name   string   `json:"name"`
	Fields []string `json:"fields"` // what an update changes
}

// NewKey is a key that was made, with its secret: it is never shown again.
type NewKey struct {
	Tenant string `json:"tenant"`
	Name   string `json:"name"`
	ID     string `json:"id"`
	Secret string `json:"secret"`
}

// Applied is what applying a manifest did, or would do.
type Applied struct {
	Changes  []Change `json:"changes"`
	Keys     []NewKey `json:"keys"`
	Revision int64    `json:"revision"`
	Pushed   bool     `json:"pushed"` // gateways have been told; else they will be when NATS answers
}

// Apply makes what the manifest names exist, or with dryRun only says what that takes.
func (c *Client) Apply(ctx context.Context, m manifest.Manifest, dryRun bool) (Applied, error) {
	var out Applied
	err := c.call(ctx, http.MethodPost, "/api/v1/admin/apply?dry_run="+strconv.FormatBool(dryRun), m, &out)
	return out, err
}

// Tenant is a tenant as the API lists it.
type Tenant struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	Status      string    `json:"status"`
	ContentMode string    `json:"content_mode"`
	CreatedAt   time.Time `json:"created_at"`
	Keys        int       `json:"keys"` // live ones
}

// Tenants lists every tenant, by id.
func (c *Client) Tenants(ctx context.Context) ([]Tenant, error) {
	all := []Tenant{}
	for cursor := ""; ; {
		var page struct {
			Items      []Tenant `json:"items"`
			NextCursor string   `json:"next_cursor"`
		}
		query := url.Values{"limit": {"1000"}}
		if cursor != "" {
			query.Set("cursor", cursor)
		}
		if err := c.call(ctx, http.MethodGet, "/api/v1/admin/tenants?"+query.Encode(), nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Items...)
		if cursor = page.NextCursor; cursor == "" {
			return all, nil
		}
	}
}

// WrittenTenant is a tenant as it is after a change.
type WrittenTenant struct {
	Tenant Tenant `json:"tenant"`
	Pushed bool   `json:"pushed"` // as in Applied
}

// CreateTenant makes a tenant. An empty name means its id.
func (c *Client) CreateTenant(ctx context.Context, id, name, contentMode string) (WrittenTenant, error) {
	in := struct {
		ID          string `json:"id"`
		Name        string `json:"name,omitempty"`
		ContentMode string `json:"content_mode,omitempty"`
	}{id, name, contentMode}
	var out WrittenTenant
	err := c.call(ctx, http.MethodPost, "/api/v1/admin/tenants", in, &out)
	return out, err
}

// SetTenantStatus makes a tenant active or inactive.
func (c *Client) SetTenantStatus(ctx context.Context, id, status string) (WrittenTenant, error) {
	var out WrittenTenant
	err := c.call(ctx, http.MethodPatch, "/api/v1/admin/tenants/"+url.PathEscape(id), map[string]string{"status": status}, &out)
	return out, err
}

// Key is a tenant's key as the API lists it.
type Key struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Last4     string     `json:"last4"`
	Scopes    []string   `json:"scopes"`
	Models    []string   `json:"models"`
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt *time.Time `json:"expires_at"`
	RevokedAt *time.Time `json:"revoked_at"`
}

// Keys lists the keys of a tenant.
func (c *Client) Keys(ctx context.Context, tenantID string) ([]Key, error) {
	var out struct {
		Items []Key `json:"items"`
	}
	err := c.call(ctx, http.MethodGet, "/api/v1/admin/tenants/"+url.PathEscape(tenantID)+"/keys", nil, &out)
	return out.Items, err
}

// KeySpec is what a new key may do; see manifest.Key.
type KeySpec struct {
	Name        string     `json:"name"`
	Scopes      []string   `json:"scopes,omitempty"`
	Models      []string   `json:"models,omitempty"`
	ContentMode string     `json:"content_mode,omitempty"`
	ExpiresAt   *time.Time `json:"expires_at,omitempty"`
}

// CreatedKey is a key that was made, with its secret: it is never shown again.
type CreatedKey struct {
	Key
	Secret string `json:"secret"`
	Pushed bool   `json:"pushed"` // as in Applied
}

// CreateKey makes a key of a tenant.
func (c *Client) CreateKey(ctx context.Context, tenantID string, spec KeySpec) (CreatedKey, error) {
	var out CreatedKey
	err := c.call(ctx, http.MethodPost, "/api/v1/admin/tenants/"+url.PathEscape(tenantID)+"/keys", spec, &out)
	return out, err
}

// RevokedKey is a key that was ended.
type RevokedKey struct {
	ID        string    `json:"id"`
	RevokedAt time.Time `json:"revoked_at"`
	Pushed    bool      `json:"pushed"` // as in Applied
}

// RevokeKey ends a key for good. To revoke it again changes nothing.
func (c *Client) RevokeKey(ctx context.Context, id string) (RevokedKey, error) {
	var out RevokedKey
	err := c.call(ctx, http.MethodDelete, "/api/v1/admin/keys/"+url.PathEscape(id), nil, &out)
	return out, err
}
