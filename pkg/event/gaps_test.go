package event_test

import (
	"testing"

	"loom.internal/pkg/event"
)

func TestGaps(t *testing.T) {
	t.Parallel()
	life := event.Life{ProducerID: "gw", Epoch: 7}
	gaps := event.Gaps{life: {{From: 2, To: 2}, {From: 5, To: 8}}}
	want := map[int64]bool{2: true, 5: true, 6: true, 7: true, 8: true}
	for seq := range int64(12) {
		if got := gaps.Has(event.Place{ProducerID: "gw", Epoch: 7, Seq: seq}); got != want[seq] {
			t.Errorf("%d is in a gap: %v", seq, got)
		}
		if gaps.Has(event.Place{ProducerID: "gw", Epoch: 8, Seq: seq}) {
			t.Errorf("%d of another epoch is in a gap", seq)
		}
	}
	if got := gaps.Count(); got != 5 {
		t.Errorf("count %d, want 5", got)
	}
	for _, c := range []struct {
		of   event.Gaps
		want bool
	}{
		{event.Gaps{}, true},
		{event.Gaps{life: {{From: 6, To: 7}}}, true},
		{event.Gaps{life: {{From: 2, To: 2}, {From: 8, To: 8}}}, true},
		{event.Gaps{life: {{From: 8, To: 9}}}, false},
		{event.Gaps{{ProducerID: "gw", Epoch: 8}: {{From: 2, To: 2}}}, false},
	} {
		if got := c.of.Within(gaps); got != c.want {
			t.Errorf("%v is within: %v", c.of, got)
		}
	}
}
