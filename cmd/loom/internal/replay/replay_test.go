package replay_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRebuiltIsEqual(t *testing.T) {
	t.Parallel()
	r := seed(t, 3000)
	before := r.sums(t)
	report := r.replay(t, all)
	if diff := cmp.Diff(before, r.sums(t)); diff != "" {
		t.Errorf("checksums (-before +after):\n%s", diff)
	}
	r.reconciled(t)
	r.clean(t)
	t.Logf("%+v", report)
	for _, c := range report.Compared {
		if c.Old == 0 || c.Old != c.New || c.OnlyOld+c.OnlyNew+c.Different != 0 || c.OldCost != c.NewCost {
			t.Errorf("compared: %+v, want no difference", c)
		}
	}
	if !report.Swapped || report.Counts.Applied != 3000 || report.Counts.Refused != 0 {
		t.Errorf("got %+v", report)
	}
}
