// Package manifest is the declarative configuration of Loom: what `loom apply` sends
// and the admin API takes. It speaks of what should exist; applying it twice changes
// nothing the second time, and what it does not name stays as it is.
package manifest

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"loom.internal/pkg/event"
	"loom.internal/pkg/redact"
	"loom.internal/pkg/tenant"
)

// Bounds of one manifest.
const (
	MaxEntries = 1000 // of each list
	MaxTargets = 16   // of a route
)

// Manifest lists what should exist.
type Manifest struct {
	Providers []Provider `json:"providers,omitempty" yaml:"providers"`
	Routes    []Route    `json:"routes,omitempty" yaml:"routes"`
	Tenants   []Tenant   `json:"tenants,omitempty" yaml:"tenants"`
	Prices    []Price    `json:"prices,omitempty" yaml:"prices"`
}

// Tenant is a customer with its keys. An empty field leaves what is stored alone; a new
// tenant is then named by its id, is active, and has its bodies recorded in full.
type Tenant struct {
	ID           string              `json:"id" yaml:"id"`
	Name         string              `json:"name,omitempty" yaml:"name"`
	Status       tenant.Status       `json:"status,omitempty" yaml:"status"`
	ContentMode  string              `json:"content_mode,omitempty" yaml:"content_mode"`
	MissingUsage tenant.MissingUsage `json:"missing_usage,omitempty" yaml:"missing_usage"`
	Redact       *redact.Rules       `json:"redact,omitempty" yaml:"redact"` // empty rules take nothing out
	Keys         []Key               `json:"keys,omitempty" yaml:"keys"`
}

// Key is an API key of a tenant, known by its name. Its secret is made when the key
// is, and shown once. An empty field leaves what is stored alone; a new key then has
// every scope, may use every model and does not expire.
type Key struct {
	Name        string         `json:"name" yaml:"name"`
	Scopes      []tenant.Scope `json:"scopes,omitempty" yaml:"scopes"`
	Models      []string       `json:"models,omitempty" yaml:"models"`
	ContentMode string         `json:"content_mode,omitempty" yaml:"content_mode"`
	ExpiresAt   *time.Time     `json:"expires_at,omitempty" yaml:"expires_at"`
}

// Price is what a provider's model costs from a date on. Rates are decimal US dollars
// per Per tokens.
type Price struct {
	Provider     string `json:"provider" yaml:"provider"`
	Model        string `json:"model" yaml:"model"`
	From         string `json:"from" yaml:"from"` // YYYY-MM-DD, UTC
	Input        string `json:"input" yaml:"input"`
	CachedInput  string `json:"cached_input,omitempty" yaml:"cached_input"`
	CacheWrite   string `json:"cache_write,omitempty" yaml:"cache_write"`
	CacheWrite1h string `json:"cache_write_1h,omitempty" yaml:"cache_write_1h"`
	Output       string `json:"output" yaml:"output"`
	Per          int64  `json:"per" yaml:"per"` // tokens; 0 is 1,000,000
}

// Fault is one thing wrong with a manifest, and where: Path is like
// "routes[0].targets[1].provider".
type Fault struct {
	Path    string `json:"path"`
	Message string `json:"message"`
}

func (f Fault) String() string { return f.Path + ": " + f.Message }

var namePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

// Validate lists every fault that can be seen in the manifest alone. Whether a route's
// provider exists is for the server to say, which knows the others.
func (m *Manifest) Validate() []Fault {
	var v validator
	v.entries("providers", len(m.Providers))
	v.entries("routes", len(m.Routes))
	v.entries("tenants", len(m.Tenants))
	v.entries("prices", len(m.Prices))
	for i, p := range m.Providers {
		v.provider(fmt.Sprintf("providers[%d]", i), p)
	}
	for i, r := range m.Routes {
		v.route(fmt.Sprintf("routes[%d]", i), r)
	}
	for i, t := range m.Tenants {
		v.tenant(fmt.Sprintf("tenants[%d]", i), t)
	}
	for i, p := range m.Prices {
		v.price(fmt.Sprintf("prices[%d]", i), p)
	}
	return v.faults
}

type validator struct {
	faults []Fault
	seen   map[string]string // what was declared, and where first
}

func (v *validator) fault(path, format string, args ...any) {
	v.faults = append(v.faults, Fault{Path: path, Message: fmt.Sprintf(format, args...)})
}

func (v *validator) entries(path string, n int) {
	if n > MaxEntries {
		v.fault(path, "has %d entries, at most %d", n, MaxEntries)
	}
}

// once faults the second declaration of the same thing.
func (v *validator) once(path string, identity ...string) {
	if v.seen == nil {
		v.seen = make(map[string]string)
	}
	id := fmt.Sprintf("%q", identity)
	if first, ok := v.seen[id]; ok {
		v.fault(path, "is declared twice, first at %s", first)
		return
	}
	v.seen[id] = path
}

func (v *validator) name(path, name string) {
	if !namePattern.MatchString(name) {
		v.fault(path, "%q: use 1 to 63 of a-z, 0-9, - and _, starting with a letter or digit", name)
	}
}

func (v *validator) text(path, s string) {
	if s == "" {
		v.fault(path, "is missing")
	} else if len(s) > 256 || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0xFFFD }) {
		v.fault(path, "must be at most 256 bytes of printable text")
	}
}

func (v *validator) tenant(path string, t Tenant) {
	if !event.ValidTenant(t.ID) {
		v.name(path+".id", t.ID)
	}
	v.once(path+".id", "tenant", t.ID)
	if t.Name != "" {
		v.text(path+".name", t.Name)
	}
	if t.Status != "" && t.Status != tenant.Active && t.Status != tenant.Inactive {
		v.fault(path+".status", "%q: use %s or %s", t.Status, tenant.Active, tenant.Inactive)
	}
	if t.ContentMode != "" {
		if _, err := event.ParseContentMode(t.ContentMode); err != nil {
			v.fault(path+".content_mode", "%v", err)
		}
	}
	if t.MissingUsage != "" {
		if _, err := tenant.ParseMissingUsage(string(t.MissingUsage)); err != nil {
			v.fault(path+".missing_usage", "%v", err)
		}
	}
	if t.Redact != nil {
		for _, f := range t.Redact.Validate() {
			v.fault(path+".redact"+f.Path, "%s", f.Message)
		}
	}
	v.entries(path+".keys", len(t.Keys))
	for i, k := range t.Keys {
		at := fmt.Sprintf("%s.keys[%d]", path, i)
		v.text(at+".name", k.Name)
		v.once(at+".name", "key", t.ID, k.Name)
		for j, s := range k.Scopes {
			if _, err := tenant.ParseScope(string(s)); err != nil {
				v.fault(fmt.Sprintf("%s.scopes[%d]", at, j), "%v", err)
			}
		}
		if k.ContentMode != "" {
			if _, err := event.ParseContentMode(k.ContentMode); err != nil {
				v.fault(at+".content_mode", "%v", err)
			}
		}
		v.entries(at+".models", len(k.Models))
		for j, m := range k.Models {
			v.text(fmt.Sprintf("%s.models[%d]", at, j), m)
		}
	}
}
