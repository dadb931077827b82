package balance_test

import (
	"net/http"
	"testing"
	"time"

	"loom.internal/services/gateway/internal/balance"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func retryAfter(after, ms string) time.Duration {
	return balance.RetryAfter(http.Header{"Retry-After": {after}, "Retry-After-Ms": {ms}}, noon)
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		after, ms string
		want      time.Duration
	}{
		{"", "", 0},
		{"7", "", 7 * time.Second},
		{" 7 ", "", 7 * time.Second},
		{"0.5", "", 500 * time.Millisecond},
		{"7", "250", 250 * time.Millisecond},
		{"7", "12.5", 12500 * time.Microsecond},
		{"7", "soon", 7 * time.Second},
		{"Sun, 01 Mar 2026 12:00:30 GMT", "", 30 * time.Second},
		{"Sunday, 01-Mar-26 12:00:30 GMT", "", 30 * time.Second},
		{"Sun, 01 Mar 2026 11:59:30 GMT", "", 0},
		{"Sun, 01 Mar 2099 12:00:00 GMT", "", 24 * time.Hour},
		{"99999999999999999999999999", "", 24 * time.Hour},
		{"", "99999999999999999999999999", 24 * time.Hour},
		{"0", "0", 0},
		{"-7", "-7", 0},
		{"NaN", "Inf", 0},
		{"1e3", "0x10", 0},
		{"1.2.3", ".", 0},
		{"7 seconds", "7ms", 0},
	} {
		if got := retryAfter(tc.after, tc.ms); got != tc.want {
			t.Errorf("%q, %q: got %s, want %s", tc.after, tc.ms, got, tc.want)
		}
	}
	if got := balance.RetryAfter(nil, noon); got != 0 {
		t.Errorf("no header: got %s, want none", got)
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"7", "0.25", "Sun, 01 Mar 2026 12:00:30 GMT", "1e309", "-1", "\x00"} {
		f.Add(s, "")
		f.Add("3", s)
	}
	f.Fuzz(func(t *testing.T, after, ms string) {
		if got := retryAfter(after, ms); got < 0 || got > 24*time.Hour {
			t.Errorf("got %s", got)
		}
	})
}
