package dashboard_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"loom.internal/pkg/catalog"
	"loom.internal/pkg/envelope"
	"loom.internal/pkg/manifest"
)

// withOptions is a provider of each kind and a route with every option.
func withOptions() *manifest.Manifest {
	return &manifest.Manifest{
		Providers: []manifest.Provider{
			{Name: "a-openai", Kind: catalog.OpenAI, Secret: providerSecret, Organization: "org-1", Project: "proj_1", InjectUsage: catalog.InjectOff},
			{
				Name: "b-azure", Kind: catalog.Azure, BaseURL: "https://x.openai.azure.com", Secret: "client-secret", APIVersion: "2024-10-21",
				Entra: &manifest.Entra{TenantID: "contoso.onmicrosoft.com", ClientID: "client"},
			},
			{Name: "c-anthropic", Kind: catalog.Anthropic, Secret: "sk-ant", MaxTokens: 8192},
			{Name: "d-groq", Kind: catalog.Compatible, Preset: "groq", Secret: "gsk", InjectUsage: catalog.InjectAuto},
			{Name: "e-ollama", Kind: catalog.Compatible, Preset: "ollama"},
		},
		Routes: []manifest.Route{{
			Model: "m", Targets: []manifest.Target{{Provider: "a-openai", Weight: 3}, {Provider: "d-groq"}},
			Balance: catalog.Weighted, Retries: 2, ConnectTimeout: "500ms", HeaderTimeout: "30s", IdleTimeout: "1m30s", Timeout: "1h",
		}},
	}
}

func TestOptionsReachTheGateways(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	created := []string{
		"create provider a-openai kind,base_url,secret,organization,project,inject_usage",
		"create provider b-azure kind,base_url,secret,api_version,entra",
		"create provider c-anthropic kind,base_url,secret,max_tokens",
		"create provider d-groq kind,base_url,secret,preset",
		"create provider e-ollama kind,base_url,preset",
		"create route m targets,balance,retries,connect_timeout,header_timeout,idle_timeout,timeout",
	}
	if diff := cmp.Diff(created, names(r.apply(t, withOptions(), "").Changes)); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	if got := names(r.apply(t, withOptions(), "").Changes); len(got) != 0 {
		t.Errorf("the same again: %v", got)
	}

	snapshot := r.catalogue(t)
	secrets := map[string]string{}
	for i := range snapshot.Providers {
		p := &snapshot.Providers[i]
		secret, err := p.OpenSecret(t.Context(), r.ring)
		if err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
		secrets[p.Name], p.Secret = secret, nil
	}
	wantSecrets := map[string]string{"a-openai": providerSecret, "b-azure": "client-secret", "c-anthropic": "sk-ant", "d-groq": "gsk", "e-ollama": ""}
	if diff := cmp.Diff(wantSecrets, secrets); diff != "" {
		t.Errorf("secrets (-want +got):\n%s", diff)
	}
	wantProviders := []catalog.Provider{
		{
			Name: "a-openai", Kind: catalog.OpenAI, BaseURL: "https://api.openai.com/v1",
			ProviderOptions: catalog.ProviderOptions{Organization: "org-1", Project: "proj_1", InjectUsage: catalog.InjectOff},
		},
		{
			Name: "b-azure", Kind: catalog.Azure, BaseURL: "https://x.openai.azure.com",
			ProviderOptions: catalog.ProviderOptions{APIVersion: "2024-10-21", Entra: &catalog.Entra{TenantID: "contoso.onmicrosoft.com", ClientID: "client"}},
		},
		{Name: "c-anthropic", Kind: catalog.Anthropic, BaseURL: "https://api.anthropic.com", ProviderOptions: catalog.ProviderOptions{MaxTokens: 8192}},
		{Name: "d-groq", Kind: catalog.Compatible, BaseURL: "https://api.groq.com/openai/v1", ProviderOptions: catalog.ProviderOptions{Preset: "groq"}},
		{Name: "e-ollama", Kind: catalog.Compatible, BaseURL: "http://localhost:11434/v1", ProviderOptions: catalog.ProviderOptions{Preset: "ollama"}},
	}
	if diff := cmp.Diff(wantProviders, snapshot.Providers); diff != "" {
		t.Errorf("providers (-want +got):\n%s", diff)
	}
	wantRoutes := []catalog.Route{{
		Model: "m", Targets: []catalog.Target{{Provider: "a-openai", Weight: 3}, {Provider: "d-groq", Weight: 1}}, OnDisconnect: catalog.Cancel,
		RouteOptions: catalog.RouteOptions{
			Balance: catalog.Weighted, Retries: 2, ConnectTimeout: 500, HeaderTimeout: 30_000, IdleTimeout: 90_000, Timeout: 3_600_000,
		},
	}}
	if diff := cmp.Diff(wantRoutes, snapshot.Routes); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
}

// An option that the manifest names no more is as it is without.
func TestOptionsChangeAndGo(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.apply(t, withOptions(), "")
	m := withOptions()
	m.Providers[0].Organization, m.Providers[0].InjectUsage = "org-2", ""
	m.Providers[1].Entra.ClientID = "other" // the same places: the stored secret may go there
	m.Providers[1].Secret = ""
	m.Providers[2].MaxTokens = 0
	m.Providers[3].Preset, m.Providers[3].BaseURL, m.Providers[3].Secret = "", "https://api.groq.com/openai/v1", ""
	m.Routes[0].Balance, m.Routes[0].Timeout, m.Routes[0].Retries = "failover", "60s", 0
	want := []string{
		"update provider a-openai organization,inject_usage", "update provider b-azure entra", "update provider c-anthropic max_tokens",
		"update provider d-groq preset", "update route m balance,retries,timeout",
	}
	if diff := cmp.Diff(want, names(r.apply(t, m, "").Changes)); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	snapshot := r.catalogue(t)
	if diff := cmp.Diff(catalog.ProviderOptions{Organization: "org-2", Project: "proj_1"}, snapshot.Providers[0].ProviderOptions); diff != "" {
		t.Errorf("pushed (-want +got):\n%s", diff)
	}
	if got := snapshot.Routes[0].RouteOptions; got.Timeout != 60_000 || got.Balance != "" || got.Retries != 0 || got.ConnectTimeout != 500 {
		t.Errorf("pushed %+v", got)
	}
	for _, p := range snapshot.Providers {
		if _, err := p.OpenSecret(t.Context(), r.ring); err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
	}
}

// A secret goes nowhere but where it was given for.
func TestSecretsStayWithTheirPlaces(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.apply(t, withOptions(), "")
	for name, edit := range map[string]func(*manifest.Provider){
		"another authority": func(p *manifest.Provider) { p.Entra.Authority = "https://login.evil.example" },
		"another base URL":  func(p *manifest.Provider) { p.BaseURL = "https://evil.example" },
		"as an API key":     func(p *manifest.Provider) { p.Entra = nil },
		"of another kind":   func(p *manifest.Provider) { p.Kind, p.Entra, p.APIVersion = catalog.OpenAI, nil, "" },
	} {
		m := withOptions()
		m.Routes, m.Providers = nil, m.Providers[1:2]
		m.Providers[0].Secret = ""
		edit(&m.Providers[0])
		f := r.fails(t, call{method: http.MethodPost, path: "/api/v1/admin/apply", key: r.admin, body: m}, http.StatusBadRequest, "invalid_manifest")
		if len(f.Faults) != 1 || f.Faults[0].Path != "providers[0].secret" || !strings.Contains(f.Faults[0].Message, catalog.DefaultAuthority+" and https://x.openai.azure.com") {
			t.Errorf("%s: got faults %v", name, f.Faults)
		}
	}

	// Nor when somebody edits the row behind the service's back.
	r.exec(t, `UPDATE providers SET options = jsonb_set(options, '{entra,authority}', '"https://login.evil.example"'), revision = nextval('config_revision') WHERE name = 'b-azure'`)
	r.apply(t, &manifest.Manifest{Tenants: []manifest.Tenant{{ID: "acme", Name: "pushes"}}}, "")
	snapshot := r.catalogue(t)
	i := slices.IndexFunc(snapshot.Providers, func(p catalog.Provider) bool { return p.Name == "b-azure" })
	p := snapshot.Providers[i]
	if p.Entra == nil || p.Entra.Authority != "https://login.evil.example" {
		t.Fatalf("the edit was not pushed: %+v", p)
	}
	if got, err := p.OpenSecret(t.Context(), r.ring); got != "" || !errors.Is(err, envelope.ErrOpen) {
		t.Errorf("the secret opens for another authority: %q, %v", got, err)
	}

	// Given again, it goes to the new place.
	m := withOptions()
	m.Providers[1].Entra.Authority = "https://login.microsoftonline.us"
	if diff := cmp.Diff([]string{"update provider b-azure secret,entra"}, names(r.apply(t, m, "").Changes)); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	snapshot = r.catalogue(t)
	if got, err := snapshot.Providers[i].OpenSecret(t.Context(), r.ring); got != "client-secret" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestSecretsThatMustBe(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	m := withOptions()
	for i := range m.Providers {
		m.Providers[i].Secret = ""
	}
	f := r.fails(t, call{method: http.MethodPost, path: "/api/v1/admin/apply", key: r.admin, body: m}, http.StatusBadRequest, "invalid_manifest")
	want := []manifest.Fault{
		{Path: "providers[1].secret", Message: "is missing: the client secret of the application under entra"},
		{Path: "providers[3].secret", Message: "is missing: groq answers nobody without a key"},
	}
	if diff := cmp.Diff(want, f.Faults); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
}
