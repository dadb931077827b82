package client

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// MasterKey is what a version of the master key protects.
type MasterKey struct {
	Version   uint32 `json:"version"`
	Here      bool   `json:"here"` // the dashboard has it
	Active    bool   `json:"active"`
	DataKeys  int64  `json:"data_keys"`
	Providers int64  `json:"providers"` // secrets of providers
	System    int64  `json:"system"`    // keys of the installation itself
}

// MasterKeys lists the versions that are at hand or needed.
func (c *Client) MasterKeys(ctx context.Context) ([]MasterKey, error) {
	var out struct {
		Items []MasterKey `json:"items"`
	}
	err := c.call(ctx, http.MethodGet, "/api/v1/admin/master-keys", nil, &out)
	return out.Items, err
}

// DataKey is a key that bodies of a tenant are sealed with.
type DataKey struct {
	TenantID      string     `json:"tenant_id"`
	Epoch         int32      `json:"epoch"`
	State         string     `json:"state"`          // active, retired or shredded
	MasterVersion *int32     `json:"master_version"` // nil: shredded
	CreatedAt     time.Time  `json:"created_at"`
	EndedAt       *time.Time `json:"ended_at"`
}

// DataKeys lists those of a tenant, or of all where the id is empty.
func (c *Client) DataKeys(ctx context.Context, tenantID string) ([]DataKey, error) {
	all := []DataKey{}
	for cursor := ""; ; {
		var page struct {
			Items      []DataKey `json:"items"`
			NextCursor string    `json:"next_cursor"`
		}
		query := url.Values{"limit": {"1000"}}
		if tenantID != "" {
			query.Set("tenant", tenantID)
		}
		if cursor != "" {
			query.Set("cursor", cursor)
		}
		if err := c.call(ctx, http.MethodGet, "/api/v1/admin/data-keys?"+query.Encode(), nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Items...)
		if cursor = page.NextCursor; cursor == "" {
			return all, nil
		}
	}
}

// RotatedKey is a data key that a tenant got.
type RotatedKey struct {
	TenantID string `json:"tenant_id"`
	Epoch    uint32 `json:"epoch"`
	Pushed   bool   `json:"pushed"` // as in Applied
}

// RotateDataKey gives a tenant another data key.
func (c *Client) RotateDataKey(ctx context.Context, tenantID string) (RotatedKey, error) {
	var out RotatedKey
	err := c.call(ctx, http.MethodPost, ofTenant(tenantID), nil, &out)
	return out, err
}

// Failure is something that was left as it was, and why.
type Failure struct {
	What string `json:"what"`
	Why  string `json:"why"`
}

// Rewrapped is what one step of a rewrapping did.
type Rewrapped struct {
	Looked        int       `json:"looked_at"`
	Rewrapped     int       `json:"rewrapped"`
	Failed        []Failure `json:"failed"`
	Next          string    `json:"next"` // empty: nothing is left
	MasterVersion uint32    `json:"master_version"`
	Pushed        bool      `json:"pushed"` // as in Applied
}

// Rewrap does one step of a rewrapping, from the next of the one before.
func (c *Client) Rewrap(ctx context.Context, from string, dryRun bool) (Rewrapped, error) {
	in := struct {
		From   string `json:"from,omitempty"`
		DryRun bool   `json:"dry_run"`
	}{from, dryRun}
	var out Rewrapped
	err := c.patient().call(ctx, http.MethodPost, "/api/v1/admin/master-keys/rewrap", in, &out)
	return out, err
}

// Reencrypted is what one step of sealing bodies anew did.
type Reencrypted struct {
	Looked int       `json:"looked_at"` // traces
	Sealed int       `json:"sealed"`
	Failed []Failure `json:"failed"`
	Next   string    `json:"next"` // empty: nothing is left
	Epoch  uint32    `json:"epoch"`
}

// Reencrypt does one step of at most limit traces, from the next of the one before.
func (c *Client) Reencrypt(ctx context.Context, tenantID string, epoch int32, from string, limit int, dryRun bool) (Reencrypted, error) {
	in := struct {
		Epoch  int32  `json:"epoch,omitempty"`
		From   string `json:"from,omitempty"`
		Limit  int    `json:"limit"`
		DryRun bool   `json:"dry_run"`
	}{epoch, from, limit, dryRun}
	var out Reencrypted
	err := c.patient().call(ctx, http.MethodPost, ofTenant(tenantID)+"/reencrypt", in, &out)
	return out, err
}

// Receipt says what a shredding did.
type Receipt struct {
	TenantID   string    `json:"tenant_id"`
	ShreddedAt time.Time `json:"shredded_at"`
	By         string    `json:"by"`
	Reason     string    `json:"reason"`
	Keys       []struct {
		Epoch         int32     `json:"epoch"`
		MasterVersion int32     `json:"master_version"`
		CreatedAt     time.Time `json:"created_at"`
		WrappedSHA256 string    `json:"wrapped_sha256"`
	} `json:"keys"`
	Bodies map[int32]int64 `json:"bodies"` // traces, by epoch; nil: not counted in time
	DryRun bool            `json:"dry_run,omitempty"`
	Pushed bool            `json:"pushed"` // as in Applied
}

// Shred makes all bodies of a tenant unreadable for good.
func (c *Client) Shred(ctx context.Context, tenantID, confirm, reason string, dryRun bool) (Receipt, error) {
	in := struct {
		Confirm string `json:"confirm,omitempty"`
		Reason  string `json:"reason,omitempty"`
		DryRun  bool   `json:"dry_run"`
	}{confirm, reason, dryRun}
	var out Receipt
	err := c.patient().call(ctx, http.MethodPost, ofTenant(tenantID)+"/shred", in, &out)
	return out, err
}

func ofTenant(id string) string { return "/api/v1/admin/tenants/" + url.PathEscape(id) + "/data-keys" }
