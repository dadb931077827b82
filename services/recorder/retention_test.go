package recorder_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"loom.internal/pkg/config"
	"loom.internal/pkg/testkit"
	"loom.internal/services/recorder"
)

// Old days go, and an event of one that comes late is set aside with the reason.
func TestRetention(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	old, kept := time.Now().AddDate(0, 0, -9), time.Now().AddDate(0, 0, -3)
	stop := r.replica(t).start(t)
	testkit.Publish(t, r.js, testkit.Event("acme", old), testkit.Event("acme", kept), testkit.Event("acme", time.Now()))
	r.settled(t)
	stop()
	if n := r.count(t, `SELECT count(*) FROM traces`); n != 3 {
		t.Fatalf("%d traces before, want 3", n)
	}

	stop = r.replica(t, func(c *recorder.Config) { c.Retention = 5 * 24 * time.Hour }).start(t)
	testkit.Await(t, "the old day dropped", func(context.Context) bool {
		return r.count(t, `SELECT count(*) FROM traces`) == 2
	})
	if n := r.count(t, `SELECT count(*) FROM trace_bodies`); n != 2 {
		t.Errorf("%d bodies left, want 2", n)
	}
	testkit.Publish(t, r.js, testkit.Event("acme", old), testkit.Event("acme", kept))
	r.settled(t)
	if n := r.count(t, `SELECT count(*) FROM dead_events WHERE reason LIKE '%is of a day that is no longer kept (LOOM_RECORDER_RETENTION is 120h0m0s)%'`); n != 1 {
		t.Errorf("%d events set aside for their age, want 1", n)
	}
	stop()

	// A recorder that would keep it still cannot make a dropped day again.
	r.replica(t).start(t)
	testkit.Publish(t, r.js, testkit.Event("acme", old), testkit.Event("acme", time.Now()))
	r.settled(t)
	if n := r.count(t, `SELECT count(*) FROM traces`); n != 4 {
		t.Errorf("%d traces, want the four of the days that are kept", n)
	}
	if n := r.count(t, `SELECT count(*) FROM dead_events`); n != 2 {
		t.Errorf("%d events set aside, want 2", n)
	}
}

// The watermark's time says since when a number is missing.
func TestWatermarkTime(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.replica(t).start(t)
	moved := func() time.Time {
		var at time.Time
		r.settled(t)
		if err := r.Pool("").QueryRow(t.Context(), `SELECT watermark_at FROM producers`).Scan(&at); err != nil {
			t.Fatal(err)
		}
		return at
	}
	send := func(seq uint64) { testkit.Publish(t, r.js, from("gw-a", 1, seq)) }
	send(1)
	first := moved()
	send(3) // a gap opens
	opened := moved()
	send(5) // and another, behind it
	if at := moved(); !opened.After(first) || !at.Equal(opened) {
		t.Errorf("gap opened %v after the first event, and is %v younger with the next", opened.Sub(first), at.Sub(opened))
	}
	send(2) // the first closes
	closed := moved()
	send(6)
	if at := moved(); !closed.After(opened) || !at.Equal(closed) {
		t.Errorf("watermark moved %v after the gap, and %v after that", closed.Sub(opened), at.Sub(closed))
	}
}

func TestRetentionSetting(t *testing.T) {
	for value, want := range map[string]string{
		"0": "", "24h": "", "720h": "",
		"1h": "LOOM_RECORDER_RETENTION 1h0m0s: give 0", "-720h": "LOOM_RECORDER_RETENTION -720h0m0s: give 0",
	} {
		t.Setenv("LOOM_RECORDER_DATABASE_URL", "postgres://h/d")
		t.Setenv("LOOM_RECORDER_RETENTION", value)
		var cfg recorder.Config
		err := config.Load(recorder.Prefix, &cfg)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", value, err, want)
		}
	}
}
