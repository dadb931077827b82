// Package catalog is what the gateway routes by: providers and routes, as one
// snapshot that the control plane puts and every gateway watches.
package catalog

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"loom.internal/pkg/envelope"
)

// Kind is the dialect a provider speaks.
type Kind string

// The kinds of provider there are.
const (
	OpenAI     Kind = "openai"
	Azure      Kind = "azure"      // Azure OpenAI: the dated API with an api_version, the v1 API without
	Anthropic  Kind = "anthropic"  // the Messages API; chat completions are translated
	Compatible Kind = "compatible" // any base URL that speaks OpenAI's API
	Demo       Kind = "demo"       // built in: deterministic answers, no account
)

// Kinds lists every kind.
func Kinds() []Kind { return []Kind{OpenAI, Azure, Anthropic, Compatible, Demo} }

// Provider is an upstream that answers requests.
type Provider struct {
	Name    string            `json:"name"`
	Kind    Kind              `json:"kind"`
	BaseURL string            `json:"base_url,omitempty"` // as SDKs take it: ends before /chat/completions
	Secret  *envelope.Wrapped `json:"secret,omitempty"`   // see SealSecret
	ProviderOptions
}

// ProviderOptions are what else a provider may be told; each is for some kinds only.
type ProviderOptions struct {
	Preset       string      `json:"preset,omitempty"`       // Compatible: a name of the table of presets
	APIVersion   string      `json:"api_version,omitempty"`  // Azure: of the dated API, such as 2024-10-21
	Entra        *Entra      `json:"entra,omitempty"`        // Azure: sign in with the secret as client secret, instead of by api-key
	Organization string      `json:"organization,omitempty"` // OpenAI: header OpenAI-Organization
	Project      string      `json:"project,omitempty"`      // OpenAI: header OpenAI-Project
	InjectUsage  InjectUsage `json:"inject_usage,omitempty"`
	MaxTokens    int         `json:"max_tokens,omitempty"` // Anthropic: where a chat completion names no limit; 0 is the kind's own default
}

// Entra is an application of Microsoft Entra ID that signs in with a client secret.
type Entra struct {
	TenantID  string `json:"tenant_id"`
	ClientID  string `json:"client_id"`
	Authority string `json:"authority,omitempty"` // empty: https://login.microsoftonline.com
}

// InjectUsage is whether streams are asked for usage where the client did not ask.
type InjectUsage string

// When they are.
const (
	InjectAuto InjectUsage = "auto" // as the kind or preset is known to understand; empty is auto
	InjectOn   InjectUsage = "on"
	InjectOff  InjectUsage = "off"
)

// Route sends the models its pattern matches to targets.
type Route struct {
	Model        string       `json:"model"` // an exact name, or a pattern in which each * stands for any text
	Targets      []Target     `json:"targets"`
	OnDisconnect OnDisconnect `json:"on_disconnect,omitempty"` // empty is Cancel
	RouteOptions
}

// RouteOptions are how a route tries its targets. Times are in milliseconds; 0 is the
// gateway's own setting.
type RouteOptions struct {
	Balance        Balance `json:"balance,omitempty"`         // empty is Failover
	Retries        int     `json:"retries,omitempty"`         // further calls of the same target where that is safe; SDKs retry too
	ConnectTimeout int64   `json:"connect_timeout,omitempty"` // to a connection, TLS included
	HeaderTimeout  int64   `json:"header_timeout,omitempty"`  // from a call to the first byte of its answer
	IdleTimeout    int64   `json:"idle_timeout,omitempty"`    // between two pieces of an answer
	Timeout        int64   `json:"timeout,omitempty"`         // of the whole request, all calls included
}

// Balance is which of a route's targets is tried first; the others follow where it
// fails before its first byte.
type Balance string

// The ways to choose.
const (
	Failover Balance = "failover" // in the order given
	Weighted Balance = "weighted" // drawn by weight
)

// OnDisconnect is what becomes of a provider's answer whose client has left.
type OnDisconnect string

// What can become of it.
const (
	Cancel OnDisconnect = "cancel" // the call is ended; most providers bill what they sent and report no usage
	Finish OnDisconnect = "finish" // it is read to its end, so that answer and usage are known
)

// ParseOnDisconnect reads a policy; empty is Cancel.
func ParseOnDisconnect(s string) (OnDisconnect, error) {
	switch p := OnDisconnect(s); p {
	case "":
		return Cancel, nil
	case Cancel, Finish:
		return p, nil
	default:
		return "", fmt.Errorf("%q: use %s or %s", s, Cancel, Finish)
	}
}

// Target is a provider and the name it knows the model by.
type Target struct {
	Provider string `json:"provider"`
	Model    string `json:"model,omitempty"` // empty: as the client asked
	Weight   int    `json:"weight,omitempty"`
}

// Snapshot is the whole catalogue at a revision. A route never names a provider that
// the same snapshot lacks.
type Snapshot struct {
	Revision  int64      `json:"revision"`
	Providers []Provider `json:"providers"`
	Routes    []Route    `json:"routes"`
}

// Decode reads a snapshot and checks that it is whole.
func Decode(data []byte) (*Snapshot, error) {
	s := new(Snapshot)
	if err := json.Unmarshal(data, s); err != nil {
		return nil, fmt.Errorf("decode catalogue: %w", err)
	}
	known := make(map[string]bool, len(s.Providers))
	for _, p := range s.Providers {
		known[p.Name] = true
	}
	for _, r := range s.Routes {
		if len(r.Targets) == 0 {
			return nil, fmt.Errorf("decode catalogue: route %q has no target", r.Model)
		}
		for _, t := range r.Targets {
			if !known[t.Provider] {
				return nil, fmt.Errorf("decode catalogue: route %q goes to unknown provider %q", r.Model, t.Provider)
			}
		}
	}
	return s, nil
}

// ParseBaseURL checks a provider's base URL: absolute http or https, with a host and
// without credentials, query or fragment.
func ParseBaseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, errors.New("is not a URL")
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("must start with https:// or http://")
	case u.Hostname() == "":
		return nil, errors.New("has no host")
	case u.User != nil:
		return nil, errors.New("must not hold a user or password: use secret")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, errors.New("must not hold a query or fragment")
	}
	return u, nil
}

// Table finds the route of a model. It is immutable.
type Table struct {
	exact    map[string]Route
	patterns []Route // most specific first
}

// NewTable orders routes: an exact name before any pattern, a pattern with more
// literal text before one with less, and the alphabet between equals.
func NewTable(routes []Route) *Table {
	t := &Table{exact: make(map[string]Route)}
	for _, r := range routes {
		if strings.Contains(r.Model, "*") {
			t.patterns = append(t.patterns, r)
		} else {
			t.exact[r.Model] = r
		}
	}
	slices.SortFunc(t.patterns, func(a, b Route) int {
		if d := literals(b.Model) - literals(a.Model); d != 0 {
			return d
		}
		return strings.Compare(a.Model, b.Model)
	})
	return t
}

// Match finds the most specific route for a model.
func (t *Table) Match(model string) (Route, bool) {
	if r, ok := t.exact[model]; ok {
		return r, true
	}
	for _, r := range t.patterns {
		if matches(r.Model, model) {
			return r, true
		}
	}
	return Route{}, false
}

// Names lists the models that have a route of their own, sorted.
func (t *Table) Names() []string {
	names := make([]string, 0, len(t.exact))
	for name := range t.exact {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func literals(pattern string) int { return len(pattern) - strings.Count(pattern, "*") }

// matches reports whether name fits a pattern in which * stands for any text. Taking
// the leftmost place for each middle piece is enough, so the time is linear in the
// number of pieces and the length of name.
func matches(pattern, name string) bool {
	pieces := strings.Split(pattern, "*")
	first, last := pieces[0], pieces[len(pieces)-1]
	if len(name) < len(first)+len(last) || !strings.HasPrefix(name, first) || !strings.HasSuffix(name, last) {
		return false
	}
	rest := name[len(first) : len(name)-len(last)]
	for _, piece := range pieces[1 : len(pieces)-1] {
		i := strings.Index(rest, piece)
		if i < 0 {
			return false
		}
		rest = rest[i+len(piece):]
	}
	return true
}
