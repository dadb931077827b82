package point_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"loom.internal/bench/internal/point"
	"loom.internal/bench/internal/rig"
	"loom.internal/pkg/faultpoint"
)

func TestArmsWhatIsLacking(t *testing.T) {
	t.Parallel()
	log := filepath.Join(t.TempDir(), "log")
	p := point.New(point.Options{Want: 2, Rate: 60, Seed: 7, Log: log})
	if got := p.Lacking(); !slices.Equal(got, faultpoint.Names()) {
		t.Errorf("before the first: got %v", got)
	}
	armed := func(kind string) string { return strings.TrimPrefix(p.Env(kind)[0], "LOOM_FAULTPOINTS=") }
	var all []string
	for _, kind := range []string{rig.Gateway, rig.Recorder, rig.Analytics} {
		for item := range strings.SplitSeq(armed(kind), ",") {
			name, chance, _ := strings.Cut(item, "=")
			if chance == "" || chance == "0" {
				t.Errorf("%s can never die at %q", kind, item)
			}
			all = append(all, name)
		}
	}
	slices.Sort(all)
	want := slices.Sorted(slices.Values(faultpoint.Names()))
	if !slices.Equal(all, want) {
		t.Errorf("armed in all kinds together: got %v, want each once: %v", all, want)
	}

	// One has killed often enough, one has not yet.
	if err := os.WriteFile(log, []byte("gateway.begun\nrecorder.acked\ngateway.begun\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := armed(rig.Gateway); strings.Contains(got, "gateway.begun") || !strings.Contains(got, "gateway.ended") {
		t.Errorf("gateway: got %s", got)
	}
	if got := armed(rig.Recorder); !strings.Contains(got, "recorder.acked") {
		t.Errorf("recorder: got %s", got)
	}
	if got := p.Lacking(); slices.Contains(got, "gateway.begun") || len(got) != len(want)-1 {
		t.Errorf("lacking: got %v", got)
	}
	one, two := p.Env(rig.Gateway), p.Env(rig.Gateway)
	if slices.Equal(one, two) {
		t.Errorf("two lives throw the same dice: %v", one)
	}
	p.Disarm()
	if got := p.Env(rig.Gateway); got != nil {
		t.Errorf("disarmed: got %v", got)
	}
}
