package catalog_test

import (
	"errors"
	"strings"
	"testing"

	"loom.internal/pkg/catalog"
	"loom.internal/pkg/envelope"
)

func testRing(t *testing.T) *envelope.Ring {
	t.Helper()
	ring, err := envelope.NewRing(map[uint32]string{1: strings.Repeat("0123456789abcdef", 4)})
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func TestSecretBelongsToNameAndOrigin(t *testing.T) {
	t.Parallel()
	ring := testRing(t)
	secret, err := catalog.SealSecret(t.Context(), ring, "openai", "https://API.openai.com/v1", "sk-up")
	if err != nil {
		t.Fatal(err)
	}
	open := func(name, baseURL string) (string, error) {
		return (&catalog.Provider{Name: name, BaseURL: baseURL, Secret: secret}).OpenSecret(t.Context(), ring)
	}
	// The same origin in other words, and another path on it.
	for _, same := range []string{"https://api.openai.com/v1", "https://api.openai.com:443/v2"} {
		if got, err := open("openai", same); got != "sk-up" || err != nil {
			t.Errorf("%s: %q, %v", same, got, err)
		}
	}
	for name, p := range map[string][2]string{
		"another name":   {"other", "https://api.openai.com/v1"},
		"another host":   {"openai", "https://evil.example/v1"},
		"another port":   {"openai", "https://api.openai.com:8443/v1"},
		"another scheme": {"openai", "http://api.openai.com:443/v1"},
	} {
		if got, err := open(p[0], p[1]); !errors.Is(err, envelope.ErrOpen) || got != "" {
			t.Errorf("%s: %q, %v; want ErrOpen", name, got, err)
		}
	}
	if got, err := (&catalog.Provider{Name: "demo"}).OpenSecret(t.Context(), ring); got != "" || err != nil {
		t.Errorf("provider without a secret: %q, %v", got, err)
	}
	if _, err := catalog.SealSecret(t.Context(), ring, "x", "nowhere", "s"); err == nil {
		t.Error("sealed for a base URL that is none")
	}
}

// A client secret goes to the authority, and the token it gets to the base URL.
func TestClientSecretBelongsToAuthorityAndOrigin(t *testing.T) {
	t.Parallel()
	ring := testRing(t)
	sealed := catalog.Provider{
		Name: "azure", Kind: catalog.Azure, BaseURL: "https://x.openai.azure.com",
		ProviderOptions: catalog.ProviderOptions{Entra: &catalog.Entra{TenantID: "t", ClientID: "c"}},
	}
	secret, err := sealed.SealSecret(t.Context(), ring, "client-secret")
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		baseURL string
		entra   *catalog.Entra
		opens   bool
	}{
		"as it was":              {"https://x.openai.azure.com", &catalog.Entra{}, true},
		"the default written":    {"https://X.openai.azure.com/", &catalog.Entra{Authority: catalog.DefaultAuthority + "/"}, true},
		"another authority":      {"https://x.openai.azure.com", &catalog.Entra{Authority: "https://login.evil.example"}, false},
		"another authority port": {"https://x.openai.azure.com", &catalog.Entra{Authority: catalog.DefaultAuthority + ":8443"}, false},
		"an authority in clear":  {"https://x.openai.azure.com", &catalog.Entra{Authority: "http://login.microsoftonline.com:443"}, false},
		"no authority at all":    {"https://x.openai.azure.com", &catalog.Entra{Authority: "nowhere"}, false},
		"another base URL":       {"https://evil.example", &catalog.Entra{}, false},
		"as an API key":          {"https://x.openai.azure.com", nil, false},
		"as one to the other":    {catalog.DefaultAuthority, nil, false},
	} {
		p := catalog.Provider{Name: "azure", BaseURL: tt.baseURL, Secret: secret, ProviderOptions: catalog.ProviderOptions{Entra: tt.entra}}
		got, err := p.OpenSecret(t.Context(), ring)
		if tt.opens != (err == nil) || tt.opens != (got == "client-secret") {
			t.Errorf("%s: got %q, %v; want it to open: %v", name, got, err, tt.opens)
		}
	}
	key, err := catalog.SealSecret(t.Context(), ring, "azure", "https://x.openai.azure.com", "api-key")
	if err != nil {
		t.Fatal(err)
	}
	sealed.Secret = key
	if got, err := sealed.OpenSecret(t.Context(), ring); !errors.Is(err, envelope.ErrOpen) {
		t.Errorf("an API key went to the authority: %q, %v", got, err)
	}
}
