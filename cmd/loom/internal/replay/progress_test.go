package replay_test

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"loom.internal/cmd/loom/internal/replay"
)

// told is a line about events: how many, how fast, and how long it will take.
var told = regexp.MustCompile(`^([a-z]+): event (\d+) of 3000, \d+/s, (\d+h)?(\d+m)?\d+s left$`)

// Whoever waits sees how fast it goes and how much time is left, of either projection, of
// both, and of an export.
func TestProgress(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.live(t)
	r.publish(t, mixed(3000, 31)...)
	r.settled(t)
	for name, run := range map[string]func(cfg replay.Config) error{
		"traces": func(cfg replay.Config) error {
			_, err := replay.Run(t.Context(), cfg, replay.Options{Traces: true, DryRun: true})
			return err
		},
		"usage": func(cfg replay.Config) error {
			_, err := replay.Run(t.Context(), cfg, replay.Options{Usage: true, DryRun: true})
			return err
		},
		"both": func(cfg replay.Config) error {
			_, err := replay.Run(t.Context(), cfg, replay.Options{Traces: true, Usage: true, DryRun: true})
			return err
		},
		"export": func(cfg replay.Config) error {
			_, err := replay.Export(t.Context(), cfg, replay.Scope{}, new(bytes.Buffer))
			return err
		},
	} {
		for _, tty := range []bool{false, true} {
			var out bytes.Buffer
			cfg := r.config(t)
			cfg.Progress, cfg.TTY = &out, tty
			if err := run(cfg); err != nil {
				t.Fatal(err)
			}
			const over = "\r\033[K" // what a terminal's line is written over with
			lines := strings.FieldsFunc(strings.ReplaceAll(out.String(), over, "\n"), func(c rune) bool { return c == '\n' })
			seen := false
			for _, line := range lines {
				seen = seen || told.MatchString(line)
			}
			if !seen || strings.Contains(out.String(), over) != tty || !strings.HasSuffix(out.String(), "\n") {
				t.Errorf("%s, terminal %v: got %q, want a line with rate and time left", name, tty, out.String())
			}
		}
	}
}
