package manifest_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"loom.internal/pkg/manifest"
	"loom.internal/pkg/tenant"
)

func good() manifest.Manifest {
	return manifest.Manifest{
		Providers: []manifest.Provider{
			{Name: "openai", Kind: "openai", BaseURL: "https://api.openai.com/v1", Secret: "sk-x"},
			{Name: "demo", Kind: "demo"},
		},
		Routes:  []manifest.Route{{Model: "gpt-*", Targets: []manifest.Target{{Provider: "openai", Weight: 1}}}},
		Tenants: []manifest.Tenant{{ID: "acme", Name: "Acme", Keys: []manifest.Key{{Name: "ci", Scopes: []tenant.Scope{"chat", "models"}}}}},
		Prices:  []manifest.Price{{Provider: "openai", Model: "my-model", From: "2026-01-01", Input: "0.15", CachedInput: "0.075", Output: "0.60", Per: 1_000_000}},
	}
}

func TestValidateTakesAWholeManifest(t *testing.T) {
	t.Parallel()
	m := good()
	if faults := m.Validate(); len(faults) > 0 {
		t.Errorf("faults: %v", faults)
	}
	if faults := (&manifest.Manifest{}).Validate(); len(faults) > 0 {
		t.Errorf("an empty manifest: %v", faults)
	}
}

func TestValidateNamesEveryFault(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		spoil func(*manifest.Manifest)
		want  []string // paths
	}{
		"provider name":       {func(m *manifest.Manifest) { m.Providers[0].Name = "Open AI" }, []string{"providers[0].name"}},
		"provider twice":      {func(m *manifest.Manifest) { m.Providers[1].Name = "openai" }, []string{"providers[1].name"}},
		"kind":                {func(m *manifest.Manifest) { m.Providers[0].Kind = "gemini" }, []string{"providers[0].kind"}},
		"bad base_url":        {func(m *manifest.Manifest) { m.Providers[0].BaseURL = "ftp://x" }, []string{"providers[0].base_url"}},
		"secret with newline": {func(m *manifest.Manifest) { m.Providers[0].Secret = "a\r\nHost: x" }, []string{"providers[0].secret"}},
		"demo with secret":    {func(m *manifest.Manifest) { m.Providers[1].Secret = "s" }, []string{"providers[1]"}},
		"no targets":          {func(m *manifest.Manifest) { m.Routes[0].Targets = nil }, []string{"routes[0].targets"}},
		"weight":              {func(m *manifest.Manifest) { m.Routes[0].Targets[0].Weight = -1 }, []string{"routes[0].targets[0].weight"}},
		"balance":             {func(m *manifest.Manifest) { m.Routes[0].Balance = "random" }, []string{"routes[0].balance"}},
		"retries":             {func(m *manifest.Manifest) { m.Routes[0].Retries = 6 }, []string{"routes[0].retries"}},
		"on_disconnect":       {func(m *manifest.Manifest) { m.Routes[0].OnDisconnect = "wait" }, []string{"routes[0].on_disconnect"}},
		"no model":            {func(m *manifest.Manifest) { m.Routes[0].Model = "" }, []string{"routes[0].model"}},
		"tenant id":           {func(m *manifest.Manifest) { m.Tenants[0].ID = "Acme.Corp" }, []string{"tenants[0].id"}},
		"tenant status":       {func(m *manifest.Manifest) { m.Tenants[0].Status = "asleep" }, []string{"tenants[0].status"}},
		"content mode":        {func(m *manifest.Manifest) { m.Tenants[0].ContentMode = "some" }, []string{"tenants[0].content_mode"}},
		"scope":               {func(m *manifest.Manifest) { m.Tenants[0].Keys[0].Scopes[1] = "root" }, []string{"tenants[0].keys[0].scopes[1]"}},
		"key twice": {func(m *manifest.Manifest) {
			m.Tenants[0].Keys = append(m.Tenants[0].Keys, manifest.Key{Name: "ci"})
		}, []string{"tenants[0].keys[1].name"}},
		"price date":     {func(m *manifest.Manifest) { m.Prices[0].From = "1 Jan" }, []string{"prices[0].from"}},
		"price missing":  {func(m *manifest.Manifest) { m.Prices[0].Input, m.Prices[0].Output = "", "" }, []string{"prices[0].input", "prices[0].output"}},
		"price no money": {func(m *manifest.Manifest) { m.Prices[0].Input = "cheap" }, []string{"prices[0].input"}},
		"price too fine": {func(m *manifest.Manifest) { m.Prices[0].CachedInput = "0.0000001" }, []string{"prices[0].cached_input"}},
		"price per":      {func(m *manifest.Manifest) { m.Prices[0].Per = -3 }, []string{"prices[0].per"}},
		"several at once": {func(m *manifest.Manifest) {
			m.Providers[0].Kind, m.Routes[0].Targets, m.Tenants[0].ID = "x", nil, ""
		}, []string{"providers[0].kind", "routes[0].targets", "tenants[0].id"}},
		"too many": {func(m *manifest.Manifest) {
			m.Tenants[0].Keys[0].Models = slices.Repeat([]string{"m"}, manifest.MaxEntries+1)
		}, []string{"tenants[0].keys[0].models"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := good()
			tt.spoil(&m)
			var got []string
			for _, f := range m.Validate() {
				got = append(got, f.Path)
				if f.Message == "" || !strings.HasPrefix(f.String(), f.Path+": ") {
					t.Errorf("fault %+v says nothing", f)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("paths of faults (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRatesAreExact(t *testing.T) {
	t.Parallel()
	m := good()
	r, faults := m.Prices[0].Rates()
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	if r.Input != 150_000 || *r.CachedInput != 75_000 || r.Output != 600_000 || r.CacheWrite != nil || r.From.Format("2006-01-02") != "2026-01-01" {
		t.Errorf("rates %+v", r)
	}
	m.Prices[0].Per = 0 // a million, unless it says otherwise
	again, _ := m.Prices[0].Rates()
	if again.Input != r.Input {
		t.Errorf("default per: %d, want %d", again.Input, r.Input)
	}
}
