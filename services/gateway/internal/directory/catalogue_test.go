package directory

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"loom.internal/pkg/catalog"
)

// A target carries how its route is to try it.
func TestTargetsCarryTheirRoute(t *testing.T) {
	t.Parallel()
	options := catalog.RouteOptions{Balance: catalog.Weighted, Retries: 2, Timeout: 60_000}
	c := &Catalogue{
		table: catalog.NewTable([]catalog.Route{{
			Model: "gpt-*", Targets: []catalog.Target{{Provider: "a", Weight: 3}, {Provider: "b", Model: "other"}},
			OnDisconnect: catalog.Finish, RouteOptions: options,
		}}),
		providers: map[string]upstream{"a": {kind: catalog.OpenAI, entry: catalog.Provider{BaseURL: "https://a.example"}}, "b": {kind: catalog.Compatible}},
	}
	want := []Target{
		{Route: "gpt-*", Provider: "a", Kind: catalog.OpenAI, Model: "gpt-x", Key: "a https://a.example gpt-x", Finish: true, Weight: 3, Options: options},
		{Route: "gpt-*", Provider: "b", Kind: catalog.Compatible, Model: "other", Key: "b  other", Finish: true, Weight: 1, Options: options},
	}
	if diff := cmp.Diff(want, c.Targets("gpt-x")); diff != "" {
		t.Errorf("targets (-want +got):\n%s", diff)
	}
}
