package stats_test

import (
	"context"
	"errors"
	"testing"

	"loom.internal/services/dashboard/internal/stats"
)

// Who waits in vain takes no turn from others, be it for one of his own or for one of all.
func TestTurns(t *testing.T) {
	t.Parallel()
	turns := stats.NewTurns(10) // six, of a tenant four
	gone, leave := context.WithCancel(t.Context())
	leave()
	take := func(ctx context.Context, tenantID string) (done func()) {
		t.Helper()
		done, err := turns.Take(ctx, tenantID)
		if err != nil {
			t.Fatal(err)
		}
		return done
	}
	refused := func(tenantID string) {
		t.Helper()
		if _, err := turns.Take(gone, tenantID); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v, want that it waits", tenantID, err)
		}
	}
	var all []func()
	for range 4 {
		all = append(all, take(t.Context(), "acme"))
	}
	refused("acme") // of its own
	for range 2 {
		all = append(all, take(t.Context(), "other"))
	}
	refused("third") // of all
	all[0]()
	all = append(all[1:], take(t.Context(), "third"))
	for _, done := range all {
		done()
	}
	if n := turns.Tenants(); n != 0 {
		t.Errorf("%d tenants are remembered", n)
	}
}
