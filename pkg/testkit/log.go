package testkit

import (
	"bytes"
	"log/slog"
	"sync"
	"testing"
)

// Log returns a logger whose lines, down to debug, go to the test's log. Lines
// that come after the test has ended are dropped.
func Log(tb testing.TB) *slog.Logger {
	tb.Helper()
	w := &testWriter{tb: tb}
	tb.Cleanup(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.ended = true // testing panics on a log line after the end
	})
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

type testWriter struct {
	tb    testing.TB
	mu    sync.Mutex
	ended bool
}

func (w *testWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.ended {
		w.tb.Log(string(bytes.TrimSuffix(b, []byte("\n"))))
	}
	return len(b), nil
}
