package catalog_test

import (
	"net"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"loom.internal/pkg/catalog"
)

func TestPresets(t *testing.T) {
	t.Parallel()
	var names []string
	for _, p := range catalog.Presets() {
		names = append(names, p.Name)
		if found, ok := catalog.FindPreset(p.Name); !ok || found.BaseURL != p.BaseURL {
			t.Errorf("%s: found %+v, %v", p.Name, found, ok)
		}
		if !slices.Contains(p.Endpoints, "chat.completions") {
			t.Errorf("%s serves no chat completions", p.Name)
		}
		if p.Private == p.NeedsSecret {
			t.Errorf("%s: private %v and in need of a secret %v", p.Name, p.Private, p.NeedsSecret)
		}
		if p.BaseURL == "" {
			continue
		}
		u, err := catalog.ParseBaseURL(p.BaseURL)
		if err != nil {
			t.Errorf("%s: base URL %v", p.Name, err)
			continue
		}
		if want := map[bool]string{true: "http", false: "https"}[p.Private]; u.Scheme != want || u.Path != "" && u.Path[len(u.Path)-1] == '/' {
			t.Errorf("%s: base URL %s, want %s and no slash at its end", p.Name, p.BaseURL, want)
		}
		if local := u.Hostname() == "localhost" || net.ParseIP(u.Hostname()) != nil; local != p.Private {
			t.Errorf("%s: base URL %s, private %v", p.Name, p.BaseURL, p.Private)
		}
	}
	want := []string{
		"bedrock", "cerebras", "deepseek", "fireworks", "gemini", "groq", "lmstudio", "mistral", "ollama", "openrouter",
		"perplexity", "sglang", "together", "vllm", "xai",
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	if p, ok := catalog.FindPreset("nobody"); ok {
		t.Errorf("found %+v", p)
	}
}

func TestDefaultBaseURL(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		kind         catalog.Kind
		preset, want string
	}{
		{catalog.OpenAI, "", "https://api.openai.com/v1"},
		{catalog.Anthropic, "", "https://api.anthropic.com"},
		{catalog.Azure, "", ""},
		{catalog.Demo, "", ""},
		{catalog.Compatible, "", ""},
		{catalog.Compatible, "bedrock", ""},
		{catalog.Compatible, "nobody", ""},
		{catalog.Compatible, "groq", "https://api.groq.com/openai/v1"},
	} {
		if got := catalog.DefaultBaseURL(tt.kind, tt.preset); got != tt.want {
			t.Errorf("%s %s: got %q, want %q", tt.kind, tt.preset, got, tt.want)
		}
	}
}

func TestAsksUsage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		kind    catalog.Kind
		options catalog.ProviderOptions
		want    bool
	}{
		{"openai", catalog.OpenAI, catalog.ProviderOptions{}, true},
		{"openai, auto", catalog.OpenAI, catalog.ProviderOptions{InjectUsage: catalog.InjectAuto}, true},
		{"openai, off", catalog.OpenAI, catalog.ProviderOptions{InjectUsage: catalog.InjectOff}, false},
		{"demo", catalog.Demo, catalog.ProviderOptions{}, true},
		{"anthropic", catalog.Anthropic, catalog.ProviderOptions{}, false},
		{"azure v1", catalog.Azure, catalog.ProviderOptions{}, true},
		{"azure before", catalog.Azure, catalog.ProviderOptions{APIVersion: "2024-08-01-preview"}, false},
		{"azure first", catalog.Azure, catalog.ProviderOptions{APIVersion: "2024-09-01-preview"}, true},
		{"azure later", catalog.Azure, catalog.ProviderOptions{APIVersion: "2024-10-21"}, true},
		{"azure old, on", catalog.Azure, catalog.ProviderOptions{APIVersion: "2023-05-15", InjectUsage: catalog.InjectOn}, true},
		{"azure new, off", catalog.Azure, catalog.ProviderOptions{APIVersion: "2024-10-21", InjectUsage: catalog.InjectOff}, false},
		{"compatible", catalog.Compatible, catalog.ProviderOptions{}, false},
		{"compatible, on", catalog.Compatible, catalog.ProviderOptions{InjectUsage: catalog.InjectOn}, true},
		{"a preset that understands", catalog.Compatible, catalog.ProviderOptions{Preset: "vllm"}, true},
		{"a preset that refuses", catalog.Compatible, catalog.ProviderOptions{Preset: "mistral"}, false},
		{"a preset turned off", catalog.Compatible, catalog.ProviderOptions{Preset: "vllm", InjectUsage: catalog.InjectOff}, false},
		{"a preset of a later version", catalog.Compatible, catalog.ProviderOptions{Preset: "nobody"}, false},
	} {
		p := catalog.Provider{Kind: tt.kind, ProviderOptions: tt.options}
		if got := p.AsksUsage(); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestEndpointsAndSecrets(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		provider  catalog.Provider
		endpoints []string
		secret    bool
	}{
		{"openai", catalog.Provider{Kind: catalog.OpenAI}, nil, false},
		{"compatible", catalog.Provider{Kind: catalog.Compatible}, nil, false},
		{"a preset", catalog.Provider{Kind: catalog.Compatible, ProviderOptions: catalog.ProviderOptions{Preset: "gemini"}}, []string{"chat.completions", "embeddings", "images.generations"}, true},
		{"a local preset", catalog.Provider{Kind: catalog.Compatible, ProviderOptions: catalog.ProviderOptions{Preset: "sglang"}}, []string{"chat.completions", "completions", "embeddings"}, false},
		{"a preset of a later version", catalog.Provider{Kind: catalog.Compatible, ProviderOptions: catalog.ProviderOptions{Preset: "nobody"}}, nil, false},
		{"azure by key", catalog.Provider{Kind: catalog.Azure}, nil, false},
		{"azure by Entra", catalog.Provider{Kind: catalog.Azure, ProviderOptions: catalog.ProviderOptions{Entra: new(catalog.Entra)}}, nil, true},
	} {
		if diff := cmp.Diff(tt.endpoints, tt.provider.Endpoints()); diff != "" {
			t.Errorf("%s: endpoints (-want +got):\n%s", tt.name, diff)
		}
		if got := tt.provider.NeedsSecret(); got != tt.secret {
			t.Errorf("%s: needs a secret: got %v, want %v", tt.name, got, tt.secret)
		}
	}
}
