package oracle_test

import (
	"testing"
	"time"

	"loom.internal/bench/internal/ledger"
	"loom.internal/bench/internal/oracle"
	"loom.internal/bench/internal/script"
)

func TestMeanwhile(t *testing.T) {
	t.Parallel()
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	till := from.Add(time.Minute)
	line := func(at time.Duration, kind script.Kind, ended bool, first time.Duration) ledger.Line {
		return ledger.Line{At: from.Add(at), Kind: kind, Stream: true, Status: 200, Ended: ended, First: first}
	}
	got := oracle.Meanwhile([]ledger.Line{
		line(-time.Second, script.Answer, false, 7*time.Millisecond), // before
		line(0, script.Answer, true, 3*time.Millisecond),
		line(time.Second, script.Slow, true, time.Second),
		line(time.Second, script.Long, false, time.Second),    // planned, and not answered
		line(time.Second, script.Cut, false, time.Second),     // not to be answered
		line(time.Second, script.Endless, false, time.Second), // likewise: it is a stream
		line(time.Second, script.Abandoned, false, time.Second),
		line(time.Minute, script.Answer, false, time.Second), // after
	}, from, till)
	if got.All != 6 || got.Planned != 3 || got.Answered != 2 || len(got.Examples) != 1 {
		t.Errorf("got %+v, want 6 requests, 3 planned to be answered, 2 answered", got)
	}
	if got.P50 != 3*time.Millisecond || got.P99 != 3*time.Millisecond || got.BeforeP99 != 7*time.Millisecond {
		t.Errorf("first bytes: got %+v", got)
	}
	if got := oracle.Meanwhile(nil, from, till); got.Planned != 0 || got.P99 != 0 {
		t.Errorf("of nothing: got %+v", got)
	}
}
