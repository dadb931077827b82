package main

import (
	"strings"
	"testing"
)

func TestWhatCannotBeDoneIsRefused(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"-n 0":                "at least one request",
		"-days 400":           "1 to 365 days",
		"-facts -1":           "at least one request",
		"-what":               "not defined",
		"-data /no/such/loom": "find loom up",
		"-h":                  "",
	} {
		err := run(t.Context(), strings.Fields(args))
		if want == "" && err == nil {
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", args, err, want)
		}
	}
}
