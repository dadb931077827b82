package manifestfile_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"loom.internal/cmd/loom/internal/manifestfile"
	"loom.internal/pkg/manifest"
	"loom.internal/pkg/tenant"
)

var update = flag.Bool("update", false, "write the golden files anew")

// environment looks names up in pairs.
func environment(pairs ...string) func(string) (string, bool) {
	env := make(map[string]string)
	for i := 0; i < len(pairs); i += 2 {
		env[pairs[i]] = pairs[i+1]
	}
	return func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok
	}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	f, err := manifestfile.Load(filepath.Join("testdata", "whole.yaml"), environment("KEY", "sk-${WEIGHT}", "WEIGHT", "3", "LONG", "1m30s"))
	if err != nil {
		t.Fatal(err)
	}
	expires := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	want := manifest.Manifest{
		Providers: []manifest.Provider{
			{Name: "openai", Kind: "openai", BaseURL: "https://api.openai.com/v1", Secret: "sk-${WEIGHT}"},
			{Name: "demo", Kind: "demo"},
			{
				Name: "azure", Kind: "azure", BaseURL: "https://x.openai.azure.com", APIVersion: "2024-10-21", InjectUsage: "off",
				Entra: &manifest.Entra{TenantID: "contoso.onmicrosoft.com", ClientID: "0"},
			},
			{Name: "groq", Kind: "compatible", Preset: "groq", Secret: "sk-${WEIGHT}"},
		},
		Routes: []manifest.Route{
			{Model: "gpt-*", Targets: []manifest.Target{{Provider: "openai", Weight: 3}}},
			{
				Model: "*", Targets: []manifest.Target{{Provider: "demo", Model: "loom-demo"}},
				Balance: "weighted", Retries: 2, ConnectTimeout: "500ms", Timeout: "1m30s",
			},
		},
		Tenants: []manifest.Tenant{{
			ID: "acme", Name: "${KEY} costs $5", Status: tenant.Active, ContentMode: "metadata",
			Keys: []manifest.Key{
				{Name: "ci", Scopes: []tenant.Scope{"chat", "models"}, Models: []string{"gpt-4o"}, ExpiresAt: &expires},
				{Name: "2"},
			},
		}},
		Prices: []manifest.Price{{
			Provider: "openai", Model: "my-model", From: "2026-01-01",
			Input: "0.15", CachedInput: "0.075", Output: "0.60", Per: 1000000,
		}},
	}
	if d := cmp.Diff(want, f.Manifest); d != "" {
		t.Errorf("manifest (-want +got):\n%s", d)
	}

	got := f.Locate([]manifest.Fault{
		{Path: "tenants[0].keys[1].models[3]", Message: "c"},
		{Path: "routes[0].targets[0].provider", Message: "a"},
		{Path: "routes[1]", Message: "b"},
		{Path: "nowhere", Message: "whole"},
	})
	const lines = "testdata/whole.yaml: nowhere: whole\n" +
		"testdata/whole.yaml:18: routes[0].targets[0].provider: a\n" +
		"testdata/whole.yaml:21: routes[1]: b\n" +
		"testdata/whole.yaml:37: tenants[0].keys[1].models[3]: c"
	if d := cmp.Diff(strings.ReplaceAll(lines, "/", string(filepath.Separator)), got.Error()); d != "" {
		t.Errorf("located faults (-want +got):\n%s", d)
	}
}

func TestEveryFaultIsListed(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join("testdata", "broken.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = manifestfile.Parse("loom.yaml", data, environment("EMPTY", ""))
	var faults manifestfile.Faults
	if !errors.As(err, &faults) {
		t.Fatalf("got %v, want faults", err)
	}
	golden := filepath.Join("testdata", "broken.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(err.Error()+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), faults.Error()+"\n"); d != "" {
		t.Errorf("faults (-want +got):\n%s", d)
	}
}

func TestParseFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, text, want string }{
		{"not YAML", "providers: [\n", "f:2: not YAML: "},
		{"unquoted star", "routes:\n  - model: *\n", `f:2: not YAML: did not find expected alphabetic or numeric character, while scanning an alias (a value that starts with * needs quotes: "*")`},
		{"two documents", "routes: []\n---\nroutes: []\n", "f:2: a second document starts here: a manifest is one"},
		{"a list", "- a\n", "f:1: must be a mapping of providers, routes, tenants, prices, not a list"},
		{"anchor", "routes: &r []\n", "f:1: routes: anchors and aliases (& and *) are not read: write it out"},
		{"alias", "tenants: &r []\nroutes: *r\n", "f:2: routes: anchors and aliases"},
		{"merge", "tenants:\n  - {<<: {id: a}, id: b}\n", "f:2: tenants[0].<<: unknown key: use id, name, status, content_mode, missing_usage, redact, keys"},
		{"given twice", "routes: []\nprices: []\nroutes: []\n", "f:3: routes: is given twice, first on line 1"},
		{"key is a list", "[a]: b\n", "f:1: a key must be a word, not a list"},
		{"boolean", "tenants:\n  - id: true\n", "f:2: tenants[0].id: must be text, not a boolean: put it in quotes"},
		{"date and time", "tenants: [{id: a, keys: [{name: k, expires_at: 5}]}]\n", "expires_at: must be a date or time such as"},
		{"too big", strings.Repeat("#", 5<<20), "f: has 5242880 bytes, at most 4194304 are read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := manifestfile.Parse("f", []byte(c.text), environment())
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q in it", err, c.want)
			}
		})
	}
}

func TestNothingIsAManifest(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "# later\n", "---\n", "routes:\n"} {
		f, err := manifestfile.Parse("f", []byte(text), environment())
		if err != nil {
			t.Errorf("%q: %v", text, err)
		} else if d := cmp.Diff(manifest.Manifest{}, f.Manifest); d != "" {
			t.Errorf("%q: (-want +got):\n%s", text, d)
		}
	}
}

func TestFaultsShowNoSecret(t *testing.T) {
	t.Parallel()
	const text = "providers: [{name: a, kind: openai, base_url: 'https://user:hidden-1@h', secret: '${KEY}'}, {name: b, kind: demo, secret: 4711}]\n"
	_, err := manifestfile.Parse("f", []byte(text), environment("KEY", "hidden 2"))
	if err == nil {
		t.Fatal("got no fault")
	}
	for _, secret := range []string{"hidden", "4711"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("the faults show %q:\n%v", secret, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range []string{"whole.yaml", "broken.yaml"} {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := manifestfile.Parse("f", data, environment("KEY", "k"))
		if err == nil && len(file.Manifest.Validate()) > 0 {
			t.Errorf("took a manifest that is not valid")
		}
		var faults manifestfile.Faults
		if err != nil && (!errors.As(err, &faults) || len(faults) == 0) {
			t.Errorf("got %v, want faults", err)
		}
	})
}
