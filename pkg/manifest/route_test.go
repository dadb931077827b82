package manifest_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"loom.internal/pkg/catalog"
	"loom.internal/pkg/manifest"
)

func TestRouteOptions(t *testing.T) {
	t.Parallel()
	r := manifest.Route{
		Balance: "weighted", Retries: 5, ConnectTimeout: "1ms", HeaderTimeout: "30s", IdleTimeout: "1m30s", Timeout: "1h",
	}
	got, faults := r.Options()
	want := catalog.RouteOptions{
		Balance: catalog.Weighted, Retries: 5, ConnectTimeout: 1, HeaderTimeout: 30_000, IdleTimeout: 90_000, Timeout: 3_600_000,
	}
	if diff := cmp.Diff(want, got); diff != "" || len(faults) > 0 {
		t.Errorf("faults %v (-want +got):\n%s", faults, diff)
	}
	// What is as it would be without is nothing.
	if got, faults := (manifest.Route{Balance: "failover"}).Options(); got != (catalog.RouteOptions{}) || len(faults) > 0 {
		t.Errorf("got %+v, %v", got, faults)
	}
}

func TestTimeoutsAreBounded(t *testing.T) {
	t.Parallel()
	for _, bad := range []manifest.Duration{"30", "soon", "0s", "-1s", "1h0m0.001s", "999us", "1.5ms", "9999999h"} {
		m := good()
		m.Routes[0].ConnectTimeout, m.Routes[0].HeaderTimeout, m.Routes[0].IdleTimeout, m.Routes[0].Timeout = bad, bad, bad, bad
		var got []string
		for _, f := range m.Validate() {
			got = append(got, f.Path)
		}
		want := []string{"routes[0].connect_timeout", "routes[0].header_timeout", "routes[0].idle_timeout", "routes[0].timeout"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", bad, diff)
		}
	}
}
