// Package tenant holds who may use Loom: tenants, their API keys and what a key may do.
package tenant

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"loom.internal/pkg/envelope"
	"loom.internal/pkg/redact"
)

// ErrUnauthorized is the one answer for a key that is unknown, malformed, expired,
// revoked, or of an inactive tenant: a caller without a right learns no more.
var ErrUnauthorized = errors.New("unauthorized")

// Scope is one right of a key, out of a closed set.
type Scope string

// The rights a key can have.
const (
	ScopeChat          Scope = "chat"           // everything that is answered in text: chat, responses, completions, messages, moderations
	ScopeEmbeddings    Scope = "embeddings"     // POST /v1/embeddings
	ScopeAudio         Scope = "audio"          // POST /v1/audio/…
	ScopeImages        Scope = "images"         // POST /v1/images/…
	ScopeModels        Scope = "models"         // GET /v1/models
	ScopeTracesRead    Scope = "traces:read"    // traces, costs: everything but bodies
	ScopeTracesDecrypt Scope = "traces:decrypt" // read the bodies of traces; every view is logged
)

// Scopes lists every scope there is.
func Scopes() []Scope {
	return []Scope{ScopeChat, ScopeEmbeddings, ScopeAudio, ScopeImages, ScopeModels, ScopeTracesRead, ScopeTracesDecrypt}
}

// ParseScope reads a scope by its name.
func ParseScope(s string) (Scope, error) {
	if slices.Contains(Scopes(), Scope(s)) {
		return Scope(s), nil
	}
	return "", fmt.Errorf("scope %q: use some of %v", s, Scopes())
}

// Status of a tenant.
type Status string

// A key of an inactive tenant is refused like an unknown one.
const (
	Active   Status = "active"
	Inactive Status = "inactive"
)

// Tenant is one customer of a Loom installation.
type Tenant struct {
	ID           string       `json:"id"` // see event.ValidTenant
	Name         string       `json:"name"`
	Status       Status       `json:"status"`
	ContentMode  string       `json:"content_mode"` // full, metadata or none
	MissingUsage MissingUsage `json:"missing_usage,omitempty"`
	Revision     int64        `json:"revision"`

	Redact  redact.Rules             `json:"redact,omitzero"`    // what is taken out of bodies before they are sealed
	DataKey *envelope.WrappedDataKey `json:"data_key,omitempty"` // that bodies are sealed with now; nil: there is none
}

// MissingUsage is what traces say of usage where the provider reported none.
type MissingUsage string

// What they can say; empty is MissingNone.
const (
	MissingNone      MissingUsage = "none"      // nothing, and no cost
	MissingEstimated MissingUsage = "estimated" // an estimate from the text, marked as such
)

// ParseMissingUsage reads one by its name.
func ParseMissingUsage(s string) (MissingUsage, error) {
	switch m := MissingUsage(s); m {
	case MissingNone, MissingEstimated:
		return m, nil
	default:
		return "", fmt.Errorf("%q: use %s or %s", s, MissingNone, MissingEstimated)
	}
}

// Key is an API key as the services know it: never the key itself.
type Key struct {
	ID          string     `json:"id"`
	TenantID    string     `json:"tenant_id"`
	Name        string     `json:"name"`
	Scopes      []Scope    `json:"scopes"`
	Models      []string   `json:"models,omitempty"`       // names it may ask for; empty means all
	ContentMode string     `json:"content_mode,omitempty"` // full, metadata or none; lowers the tenant's, empty does not
	ExpiresAt   *time.Time `json:"expires_at,omitempty"`
	Revoked     bool       `json:"revoked"`
	Revision    int64      `json:"revision"`
}

// Valid reports whether the key itself is good at now; its tenant may still be inactive.
func (k *Key) Valid(now time.Time) bool {
	return !k.Revoked && (k.ExpiresAt == nil || now.Before(*k.ExpiresAt))
}

// Has reports whether the key carries the right.
func (k *Key) Has(s Scope) bool { return slices.Contains(k.Scopes, s) }

// MayUse reports whether the key may ask for the model of that name.
func (k *Key) MayUse(model string) bool {
	return len(k.Models) == 0 || slices.Contains(k.Models, model)
}

// Principal is who a request acts for.
type Principal struct {
	Tenant Tenant
	Key    Key
}

type contextKey struct{}

// With returns a context that carries p.
func With(ctx context.Context, p *Principal) context.Context {
	return context.WithValue(ctx, contextKey{}, p)
}

// From returns the principal of a context; nil without one.
func From(ctx context.Context) *Principal {
	p, _ := ctx.Value(contextKey{}).(*Principal)
	return p
}
