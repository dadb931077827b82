package seed_test

import (
	"strings"
	"testing"

	"loom.internal/bench/internal/seed"
)

func TestProgressIsToldByTenths(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	tell := seed.Progress(&out, 1000)
	for n := 30; n <= 1000; n += 10 {
		tell(n)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 10 || !strings.HasPrefix(strings.TrimSpace(lines[0]), "100 of 1000 after") || !strings.HasPrefix(strings.TrimSpace(lines[9]), "1000 of 1000") {
		t.Errorf("got %q", lines)
	}
}
