package provider_test

import (
	"slices"
	"strings"
	"testing"

	"loom.internal/pkg/catalog"
	"loom.internal/pkg/envelope"
	"loom.internal/services/gateway/internal/endpoint"
	"loom.internal/services/gateway/internal/provider"
)

func opener(t *testing.T) provider.Opener {
	t.Helper()
	ring, err := envelope.NewRing(map[uint32]string{1: strings.Repeat("0123456789abcdef", 4)})
	if err != nil {
		t.Fatal(err)
	}
	return provider.Opener{Keys: ring, AllowPrivate: true}
}

// Every endpoint of a preset is one of the gateway's, and no other is served.
func TestPresetsServeWhatTheyName(t *testing.T) {
	t.Parallel()
	o := opener(t)
	for _, preset := range catalog.Presets() {
		base := preset.BaseURL
		if base == "" {
			base = "https://given.example/v1"
		}
		opened, err := o.Open(t.Context(), catalog.Provider{
			Name: "p", Kind: catalog.Compatible, BaseURL: base, ProviderOptions: catalog.ProviderOptions{Preset: preset.Name},
		})
		if err != nil {
			t.Errorf("%s: %v", preset.Name, err)
			continue
		}
		if got := opened.AsksUsage(); got != preset.IncludeUsage {
			t.Errorf("%s: asks for usage: got %v", preset.Name, got)
		}
		n := 0
		for _, e := range endpoint.All() {
			got, want := opened.Serves(e), slices.Contains(preset.Endpoints, e.Name)
			if got != want {
				t.Errorf("%s: serves %s: got %v, want %v", preset.Name, e.Name, got, want)
			}
			if want {
				n++
			}
		}
		if n != len(preset.Endpoints) {
			t.Errorf("%s: %d of its endpoints %v are known", preset.Name, n, preset.Endpoints)
		}
	}
}

func TestKindsThatAreOpenAIsServeAll(t *testing.T) {
	t.Parallel()
	for _, kind := range []catalog.Kind{catalog.OpenAI, catalog.Compatible} {
		opened, err := opener(t).Open(t.Context(), catalog.Provider{Name: "p", Kind: kind, BaseURL: "https://given.example/v1"})
		if err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		for _, e := range endpoint.All() {
			if got, want := opened.Serves(e), e.Dialect == endpoint.OpenAI; got != want {
				t.Errorf("%s serves %s: got %v", kind, e.Name, got)
			}
		}
	}
}
