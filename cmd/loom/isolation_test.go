package main_test

import (
	"bytes"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"loom.internal/pkg/config"
	"loom.internal/services/analytics"
	"loom.internal/services/dashboard"
	"loom.internal/services/gateway"
	"loom.internal/services/recorder"
)

// What carries bodies between the gateway and the dashboard cannot open them: it has
// neither the code nor a setting for a key.
func TestCarriersHaveNoKeys(t *testing.T) {
	t.Parallel()
	const sealing, redacting = "loom.internal/pkg/envelope", "loom.internal/pkg/redact"
	for _, c := range []struct {
		service, prefix string
		settings        any
		keys            bool
	}{
		{"recorder", recorder.Prefix, &recorder.Config{}, false},
		{"analytics", analytics.Prefix, &analytics.Config{}, false},
		{"gateway", gateway.Prefix, &gateway.Config{}, true}, // these two show that the look finds what is there
		{"dashboard", dashboard.Prefix, &dashboard.Config{}, true},
	} {
		for _, pkg := range []string{"", "/cmd/" + c.service} {
			path := "loom.internal/services/" + c.service + pkg
			out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", path).Output()
			if err != nil {
				t.Fatalf("go list -deps %s: %v", path, err)
			}
			deps := strings.Fields(string(out))
			if !slices.Contains(deps, path) || len(deps) < 100 {
				t.Fatalf("go list -deps %s: %d packages", path, len(deps))
			}
			for _, dep := range []string{sealing, redacting} {
				if got := slices.Contains(deps, dep); got != c.keys {
					t.Errorf("%s has %s in it: %v, want %v", path, dep, got, c.keys)
				}
			}
		}
		var reference bytes.Buffer
		if err := config.Reference(&reference, c.prefix, c.settings); err != nil {
			t.Fatal(err)
		}
		var variables []string
		for line := range strings.Lines(reference.String()) {
			if cells := strings.Split(line, "|"); len(cells) > 2 && strings.Contains(cells[1], "_") {
				variables = append(variables, cells[1])
			}
		}
		if len(variables) < 4 {
			t.Fatalf("%s: cannot read its settings:\n%s", c.service, reference.String())
		}
		keyed := slices.ContainsFunc(variables, func(v string) bool { return strings.Contains(v, "KEY") || strings.Contains(v, "MASTER") })
		if keyed != c.keys {
			t.Errorf("%s has a setting for a key: %v, want %v: %v", c.service, keyed, c.keys, variables)
		}
	}
}
