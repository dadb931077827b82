package main

import (
	"strings"
	"testing"
)

func TestWhatCannotBeDoneIsRefused(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"-times 0":            "asked at least once",
		"-facts -1":           "asked at least once",
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
