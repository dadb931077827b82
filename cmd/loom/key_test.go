package main

import (
	"testing"
	"time"

	"loom.internal/cmd/loom/internal/client"
)

func TestParseExpiry(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"":                          {},
		"36h":                       now.Add(36 * time.Hour),
		"2027-01-01":                time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC),
		"2027-01-01T02:00:00+02:00": time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC),
	} {
		got, err := parseExpiry(text, now)
		switch {
		case err != nil:
			t.Errorf("%q: %v", text, err)
		case want.IsZero():
			if got != nil {
				t.Errorf("%q: got %v, want none", text, got)
			}
		case got == nil || !got.Equal(want):
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
	for _, text := range []string{"soon", "-1h", "0s", "01.01.2027"} {
		if got, err := parseExpiry(text, now); err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		}
	}
}

func TestKeyState(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	before, after := now.Add(-time.Hour), now.Add(time.Hour)
	for want, k := range map[string]client.Key{
		"good":                           {},
		"good until 2026-11-22 13:00:00": {ExpiresAt: &after},
		"expired 2026-11-22 11:00:00":    {ExpiresAt: &before},
		"revoked 2026-11-22 11:00:00":    {ExpiresAt: &after, RevokedAt: &before},
	} {
		if got := keyState(k, now); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
