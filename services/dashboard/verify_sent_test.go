package dashboard_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/event"
)

// told puts a gateway's word, as the gateway does.
func (r *rig) told(t *testing.T, id string, word bus.Numbered) {
	t.Helper()
	if err := bus.PutNumbered(t.Context(), r.js, map[event.Life]bus.Numbered{{ProducerID: id, Epoch: 1}: word}); err != nil {
		t.Fatal(err)
	}
}

// What was sent is what the gateway says, not the highest number that has come.
func TestVerifySent(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		recorded   string // ranges; empty: nothing
		word       bus.Numbered
		sent       int64
		gaps       string
		atOnce     string
		later      string
		checks     string // the findings later
		mustAdvise string
	}{
		"the last ones":           {"{[1,9)}", bus.Numbered{Highest: 10}, 10, "[{9 10}]", "pending", "missing", "producers", "Start a gateway"},
		"all of them":             {"", bus.Numbered{Highest: 3}, 3, "[{1 3}]", "pending", "missing", "producers", "Start a gateway"},
		"in the middle, too":      {"{[1,3),[5,9)}", bus.Numbered{Highest: 10}, 10, "[{3 4} {9 10}]", "pending", "missing", "producers", "Start a gateway"},
		"held by a spool":         {"{[1,9)}", bus.Numbered{Highest: 10, Held: 2}, 10, "[{9 10}]", "pending", "pending", "spools", "LOOM_GATEWAY_SPOOL_DIR"},
		"all held by a spool":     {"", bus.Numbered{Highest: 3, Held: 3}, 3, "[{1 3}]", "pending", "pending", "spools", "LOOM_GATEWAY_SPOOL_DIR"},
		"none":                    {"{[1,11)}", bus.Numbered{Highest: 10}, 10, "[]", "complete", "complete", "", ""},
		"none, and not confirmed": {"{[1,11)}", bus.Numbered{Highest: 10, Held: 4}, 10, "[]", "complete", "complete", "", ""},
		"none, the word is old":   {"{[1,13)}", bus.Numbered{Highest: 10, Held: 2}, 12, "[]", "complete", "complete", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			if c.recorded != "" {
				r.produced(t, "gw-1", c.recorded, time.Now())
			}
			r.told(t, "gw-1", c.word)
			got := r.verify(t)
			if got.State != c.atOnce || got.checks() != "" || len(got.Producers) != 1 {
				t.Fatalf("at once: got %+v, want %s", got, c.atOnce)
			}
			p := got.Producers[0]
			if p.Sent != c.sent || p.Missing != c.sent-p.Recorded || fmt.Sprint(p.Gaps) != c.gaps || p.Held != min(c.word.Held, p.Missing) {
				t.Errorf("got %+v, want %d sent, gaps %s", p, c.sent, c.gaps)
			}
			r.clock.forward(6 * time.Minute)
			if got = r.verify(t); got.State != c.later || got.checks() != c.checks {
				t.Errorf("later: got %+v, want %s", got, c.later)
			}
			if c.checks != "" && !strings.Contains(got.Findings[0].Advice, c.mustAdvise) {
				t.Errorf("advice: got %q, want %q in it", got.Findings[0].Advice, c.mustAdvise)
			}
		})
	}
}

// A number that is new again, or a recorder that has not seen the time since, owes nothing.
func TestVerifySentLately(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.produced(t, "gw-1", "{[1,9)}", time.Now())
	r.told(t, "gw-1", bus.Numbered{Highest: 10})
	r.clock.forward(6 * time.Minute)
	r.exec(t, `UPDATE producers SET recorded = '{[1,10)}', watermark_at = $1`, r.clock.now())
	if got := r.verify(t); got.State != "pending" || got.Producers[0].Missing != 1 {
		t.Errorf("with a watermark that has just moved: got %+v, want pending", got)
	}
	r.clock.forward(6 * time.Minute)
	if got := r.verify(t); got.State != "missing" {
		t.Errorf("later: got %+v, want missing", got)
	}
}
