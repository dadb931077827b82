package manifest_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"loom.internal/pkg/catalog"
	"loom.internal/pkg/manifest"
)

const azure = "https://x.openai.azure.com"

func entra(edit func(*manifest.Entra)) *manifest.Entra {
	e := &manifest.Entra{TenantID: "contoso.onmicrosoft.com", ClientID: "0f1e2d3c-0000-4000-8000-000000000000"}
	if edit != nil {
		edit(e)
	}
	return e
}

func TestProviderOptions(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		p    manifest.Provider
		want map[string]string // path below the provider: a part of the message
	}{
		"openai, nothing more":    {manifest.Provider{Kind: "openai"}, nil},
		"openai, all of it":       {manifest.Provider{Kind: "openai", Organization: "org-1", Project: "proj_1", InjectUsage: "off"}, nil},
		"anthropic":               {manifest.Provider{Kind: "anthropic", MaxTokens: 8192}, nil},
		"azure, v1":               {manifest.Provider{Kind: "azure", BaseURL: azure, InjectUsage: "auto"}, nil},
		"azure, dated":            {manifest.Provider{Kind: "azure", BaseURL: azure, APIVersion: "2024-10-21"}, nil},
		"azure, preview":          {manifest.Provider{Kind: "azure", BaseURL: azure, APIVersion: "2025-04-01-preview", Entra: entra(nil)}, nil},
		"azure, another cloud":    {manifest.Provider{Kind: "azure", BaseURL: azure, Entra: entra(func(e *manifest.Entra) { e.Authority = "https://login.microsoftonline.us/" })}, nil},
		"a preset with its URL":   {manifest.Provider{Kind: "compatible", Preset: "groq"}, nil},
		"a preset elsewhere":      {manifest.Provider{Kind: "compatible", Preset: "groq", BaseURL: "https://proxy.example/groq/v1", InjectUsage: "on"}, nil},
		"a preset on this host":   {manifest.Provider{Kind: "compatible", Preset: "groq", BaseURL: "http://127.0.0.1:9000/v1"}, nil},
		"a private preset":        {manifest.Provider{Kind: "compatible", Preset: "vllm", BaseURL: "http://gpu-1.lan:8000/v1"}, nil},
		"any server":              {manifest.Provider{Kind: "compatible", BaseURL: "http://gpu-1.lan:8000/v1"}, nil},
		"demo with an option":     {manifest.Provider{Kind: "demo", InjectUsage: "on"}, map[string]string{".inject_usage": "only openai or azure or compatible takes it"}},
		"compatible without":      {manifest.Provider{Kind: "compatible"}, map[string]string{".base_url": "name a preset"}},
		"azure without":           {manifest.Provider{Kind: "azure"}, map[string]string{".base_url": "openai.azure.com"}},
		"bedrock without":         {manifest.Provider{Kind: "compatible", Preset: "bedrock"}, map[string]string{".base_url": "bedrock has no one address"}},
		"unknown preset":          {manifest.Provider{Kind: "compatible", Preset: "grok"}, map[string]string{".preset": "groq, lmstudio"}},
		"a public one in clear":   {manifest.Provider{Kind: "compatible", Preset: "groq", BaseURL: "http://api.groq.com/openai/v1"}, map[string]string{".base_url": "https://"}},
		"preset of another kind":  {manifest.Provider{Kind: "openai", Preset: "groq"}, map[string]string{".preset": "only compatible takes it"}},
		"version of another kind": {manifest.Provider{Kind: "openai", APIVersion: "2024-10-21"}, map[string]string{".api_version": "only azure takes it"}},
		"entra of another kind":   {manifest.Provider{Kind: "anthropic", Entra: entra(nil)}, map[string]string{".entra": "only azure takes it"}},
		"headers of another kind": {manifest.Provider{Kind: "azure", BaseURL: azure, Organization: "o", Project: "p"}, map[string]string{".organization": "only openai", ".project": "only openai"}},
		"usage of another kind":   {manifest.Provider{Kind: "anthropic", InjectUsage: "on"}, map[string]string{".inject_usage": "leave it out"}},
		"tokens of another kind":  {manifest.Provider{Kind: "openai", MaxTokens: 1}, map[string]string{".max_tokens": "only anthropic takes it"}},
		"version, no date":        {manifest.Provider{Kind: "azure", BaseURL: azure, APIVersion: "v1"}, map[string]string{".api_version": "2024-10-21"}},
		"version, no such day":    {manifest.Provider{Kind: "azure", BaseURL: azure, APIVersion: "2024-13-01"}, map[string]string{".api_version": "2024-13-01"}},
		"version, more behind it": {manifest.Provider{Kind: "azure", BaseURL: azure, APIVersion: "2024-10-21-preview&x=y"}, map[string]string{".api_version": "use a date"}},
		"a header with a newline": {manifest.Provider{Kind: "openai", Organization: "a\r\nHost: x", Project: strings.Repeat("p", 257)}, map[string]string{".organization": "printable", ".project": "256"}},
		"usage, no such word":     {manifest.Provider{Kind: "openai", InjectUsage: "yes"}, map[string]string{".inject_usage": "use auto, on or off"}},
		"tokens, too few":         {manifest.Provider{Kind: "anthropic", MaxTokens: -1}, map[string]string{".max_tokens": "between 1 and"}},
		"tokens, too many":        {manifest.Provider{Kind: "anthropic", MaxTokens: 10_000_001}, map[string]string{".max_tokens": "between 1 and"}},
		"entra, empty":            {manifest.Provider{Kind: "azure", BaseURL: azure, Entra: new(manifest.Entra)}, map[string]string{".entra.tenant_id": "is missing", ".entra.client_id": "is missing"}},
		"entra, a path": {
			manifest.Provider{Kind: "azure", BaseURL: azure, Entra: entra(func(e *manifest.Entra) { e.TenantID = "../x" })},
			map[string]string{".entra.tenant_id": "directory's id"},
		},
		"authority in clear": {
			manifest.Provider{Kind: "azure", BaseURL: azure, Entra: entra(func(e *manifest.Entra) { e.Authority = "http://login.microsoftonline.com" })},
			map[string]string{".entra.authority": "the client secret goes there"},
		},
		"authority with tenant": {
			manifest.Provider{Kind: "azure", BaseURL: azure, Entra: entra(func(e *manifest.Entra) { e.Authority = "https://login.microsoftonline.com/contoso" })},
			map[string]string{".entra.authority": "tenant_id"},
		},
		"no authority": {
			manifest.Provider{Kind: "azure", BaseURL: azure, Entra: entra(func(e *manifest.Entra) { e.Authority = "login" })},
			map[string]string{".entra.authority": "must start with"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.p.Name = "p"
			m := manifest.Manifest{Providers: []manifest.Provider{tt.p}}
			got := map[string]string{}
			for _, f := range m.Validate() {
				path := strings.TrimPrefix(f.Path, "providers[0]")
				got[path] = f.Message
				if part, ok := tt.want[path]; !ok || !strings.Contains(f.Message, part) {
					t.Errorf("got fault %s, want %q in it", f, part)
				}
			}
			if len(got) != len(tt.want) {
				t.Errorf("got faults %v, want %v", got, tt.want)
			}
		})
	}
}

func TestResolve(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		p    manifest.Provider
		want catalog.Provider
	}{
		"the kind's address":   {manifest.Provider{Kind: "anthropic"}, catalog.Provider{Kind: "anthropic", BaseURL: "https://api.anthropic.com"}},
		"the preset's address": {manifest.Provider{Kind: "compatible", Preset: "xai"}, catalog.Provider{Kind: "compatible", BaseURL: "https://api.x.ai/v1", ProviderOptions: catalog.ProviderOptions{Preset: "xai"}}},
		"its own address":      {manifest.Provider{Kind: "openai", BaseURL: "https://eu.api.openai.com/v1", InjectUsage: "auto"}, catalog.Provider{Kind: "openai", BaseURL: "https://eu.api.openai.com/v1"}},
		"all else": {
			manifest.Provider{
				Name: "p", Kind: "azure", BaseURL: azure, Secret: "never", APIVersion: "2024-10-21", Organization: "o", Project: "j", InjectUsage: "on", MaxTokens: 9,
				Entra: &manifest.Entra{TenantID: "t", ClientID: "c", Authority: "https://a"},
			},
			catalog.Provider{Name: "p", Kind: "azure", BaseURL: azure, ProviderOptions: catalog.ProviderOptions{
				APIVersion: "2024-10-21", Organization: "o", Project: "j", InjectUsage: "on", MaxTokens: 9,
				Entra: &catalog.Entra{TenantID: "t", ClientID: "c", Authority: "https://a"},
			}},
		},
	} {
		if diff := cmp.Diff(tt.want, tt.p.Resolve()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
