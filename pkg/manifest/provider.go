package manifest

import (
	"cmp"
	"net"
	"regexp"
	"slices"
	"strings"
	"time"

	"loom.internal/pkg/catalog"
)

// maxTokens bounds a provider's max_tokens, far above what any model writes.
const maxTokens = 10_000_000

// Provider is an upstream. Secret is in clear here, on its way to be sealed; empty
// leaves a stored one alone unless it would go to another host than before. What else
// is empty is as the kind, or the preset, has it.
type Provider struct {
	Name         string              `json:"name" yaml:"name"`
	Kind         catalog.Kind        `json:"kind" yaml:"kind"`
	Preset       string              `json:"preset,omitempty" yaml:"preset"`
	BaseURL      string              `json:"base_url,omitempty" yaml:"base_url"`
	Secret       string              `json:"secret,omitempty" yaml:"secret"`
	APIVersion   string              `json:"api_version,omitempty" yaml:"api_version"`
	Entra        *Entra              `json:"entra,omitempty" yaml:"entra"`
	Organization string              `json:"organization,omitempty" yaml:"organization"`
	Project      string              `json:"project,omitempty" yaml:"project"`
	InjectUsage  catalog.InjectUsage `json:"inject_usage,omitempty" yaml:"inject_usage"`
	MaxTokens    int                 `json:"max_tokens,omitempty" yaml:"max_tokens"`
}

// Entra is an application of Microsoft Entra ID; the provider's secret is its client
// secret.
type Entra struct {
	TenantID  string `json:"tenant_id" yaml:"tenant_id"`
	ClientID  string `json:"client_id" yaml:"client_id"`
	Authority string `json:"authority,omitempty" yaml:"authority"` // empty: catalog.DefaultAuthority
}

// Resolve gives the provider as the catalogue has it, all but its secret.
func (p Provider) Resolve() catalog.Provider {
	r := catalog.Provider{
		Name: p.Name, Kind: p.Kind, BaseURL: cmp.Or(p.BaseURL, catalog.DefaultBaseURL(p.Kind, p.Preset)),
		ProviderOptions: catalog.ProviderOptions{
			Preset: p.Preset, APIVersion: p.APIVersion, Organization: p.Organization, Project: p.Project,
			InjectUsage: p.InjectUsage, MaxTokens: p.MaxTokens,
		},
	}
	if p.InjectUsage == catalog.InjectAuto {
		r.InjectUsage = ""
	}
	if p.Entra != nil {
		r.Entra = &catalog.Entra{TenantID: p.Entra.TenantID, ClientID: p.Entra.ClientID, Authority: p.Entra.Authority}
	}
	return r
}

func (v *validator) provider(path string, p Provider) {
	v.name(path+".name", p.Name)
	v.once(path+".name", "provider", p.Name)
	if !slices.Contains(catalog.Kinds(), p.Kind) {
		v.fault(path+".kind", "%q: use one of %v", p.Kind, catalog.Kinds())
		return
	}
	v.options(path, p)
	if p.Kind == catalog.Demo {
		if p.BaseURL != "" || p.Secret != "" {
			v.fault(path, "a demo provider takes neither base_url nor secret")
		}
		return
	}
	v.address(path+".base_url", p)
	if strings.ContainsFunc(p.Secret, func(r rune) bool { return r <= ' ' || r > '~' }) {
		v.fault(path+".secret", "must be printable ASCII without spaces")
	}
}

// address checks where the provider is.
func (v *validator) address(path string, p Provider) {
	preset, known := catalog.FindPreset(p.Preset)
	switch {
	case p.BaseURL != "":
	case catalog.DefaultBaseURL(p.Kind, p.Preset) != "" || p.Preset != "" && !known:
		return
	case p.Kind == catalog.Azure:
		v.fault(path, "is missing: the endpoint of the resource, such as https://NAME.openai.azure.com")
		return
	case known:
		v.fault(path, "is missing: %s has no one address, see its documentation for yours", p.Preset)
		return
	default:
		v.fault(path, "is missing: the address SDKs would use, such as https://api.openai.com/v1; or name a preset")
		return
	}
	u, err := catalog.ParseBaseURL(p.BaseURL)
	if err != nil {
		v.fault(path, "%v", err)
		return
	}
	if known && !preset.Private && u.Scheme != "https" && !loopback(u.Hostname()) {
		v.fault(path, "must start with https://: %s is not on a private network, and the secret would travel in clear", p.Preset)
	}
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// options checks what only some kinds take.
func (v *validator) options(path string, p Provider) {
	v.only(path+".preset", p, p.Preset != "", catalog.Compatible)
	v.only(path+".api_version", p, p.APIVersion != "", catalog.Azure)
	v.only(path+".entra", p, p.Entra != nil, catalog.Azure)
	v.only(path+".organization", p, p.Organization != "", catalog.OpenAI)
	v.only(path+".project", p, p.Project != "", catalog.OpenAI)
	v.only(path+".inject_usage", p, p.InjectUsage != "", catalog.OpenAI, catalog.Azure, catalog.Compatible)
	v.only(path+".max_tokens", p, p.MaxTokens != 0, catalog.Anthropic)

	if _, known := catalog.FindPreset(p.Preset); p.Preset != "" && !known {
		v.fault(path+".preset", "%q: use one of %s; or leave it out and give base_url", p.Preset, strings.Join(presetNames(), ", "))
	}
	if p.APIVersion != "" && !validAPIVersion(p.APIVersion) {
		v.fault(path+".api_version", "%q: use a date such as 2024-10-21 or 2025-04-01-preview; leave it out for the v1 API", p.APIVersion)
	}
	v.header(path+".organization", p.Organization)
	v.header(path+".project", p.Project)
	switch p.InjectUsage {
	case "", catalog.InjectAuto, catalog.InjectOn, catalog.InjectOff:
	default:
		v.fault(path+".inject_usage", "%q: use %s, %s or %s", p.InjectUsage, catalog.InjectAuto, catalog.InjectOn, catalog.InjectOff)
	}
	if p.MaxTokens < 0 || p.MaxTokens > maxTokens {
		v.fault(path+".max_tokens", "%d: between 1 and %d", p.MaxTokens, maxTokens)
	}
	if p.Entra != nil && p.Kind == catalog.Azure {
		v.entra(path+".entra", *p.Entra, strings.HasPrefix(p.BaseURL, "http://"))
	}
}

// only faults an option that was given to a kind that does not take it.
func (v *validator) only(path string, p Provider, given bool, kinds ...catalog.Kind) {
	if !given || slices.Contains(kinds, p.Kind) {
		return
	}
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = string(k)
	}
	v.fault(path, "is not for a provider of kind %s: leave it out, only %s takes it", p.Kind, strings.Join(names, " or "))
}

func presetNames() []string {
	var names []string
	for _, p := range catalog.Presets() {
		names = append(names, p.Name)
	}
	return names
}

func validAPIVersion(s string) bool {
	_, err := time.Parse(time.DateOnly, strings.TrimSuffix(s, "-preview"))
	return err == nil
}

// header checks what is sent as the value of a header.
func (v *validator) header(path, s string) {
	if len(s) > 256 || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
		v.fault(path, "must be at most 256 bytes of printable ASCII without spaces")
	}
}

var entraID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.-]{0,127}$`)

// entra judges who signs in; plain is whether the provider itself is reached by plain http.
func (v *validator) entra(path string, e Entra, plain bool) {
	for _, id := range []struct{ path, value, what string }{
		{".tenant_id", e.TenantID, "the directory's id, or a domain of it"},
		{".client_id", e.ClientID, "the application's id"},
	} {
		switch {
		case id.value == "":
			v.fault(path+id.path, "is missing: %s", id.what)
		case !entraID.MatchString(id.value):
			v.fault(path+id.path, "%q: use %s", id.value, id.what)
		}
	}
	if e.Authority == "" {
		return
	}
	u, err := catalog.ParseBaseURL(e.Authority)
	switch {
	case err != nil:
		v.fault(path+".authority", "%v", err)
	case u.Scheme != "https" && !plain:
		v.fault(path+".authority", "must start with https://: the client secret goes there")
	case u.Path != "" && u.Path != "/":
		v.fault(path+".authority", "must end after the host: what follows comes from tenant_id")
	}
}
