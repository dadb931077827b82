package local

import (
	"bytes"
	"log/slog"
	"os/exec"
	"runtime"
	"strings"
	"sync"
)

// launch starts a child from a thread of its own that lives as long as the
// child: the signal of a dead parent is tied to the thread, not the process.
// ended gets what cmd.Wait returns.
func launch(cmd *exec.Cmd) (ended <-chan error, err error) {
	started, done := make(chan error), make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread goes with the goroutine
		err := cmd.Start()
		started <- err
		if err == nil {
			done <- cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return done, nil
}

const (
	maxLine = 8 << 10 // longer lines are cut in two
	maxTail = 2 << 10
)

// logWriter sends the lines of the server's log to slog, and keeps the last of
// them for an error.
type logWriter struct {
	log  *slog.Logger
	mu   sync.Mutex
	rest []byte // of a line not ended yet
	tail []byte
}

func (w *logWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tail = append(w.tail, b...)
	w.tail = w.tail[max(0, len(w.tail)-maxTail):]
	w.rest = append(w.rest, b...)
	for {
		line, rest, whole := bytes.Cut(w.rest, []byte("\n"))
		if !whole && len(line) > maxLine {
			line, rest, whole = line[:maxLine], line[maxLine:], true
		}
		if !whole {
			return len(b), nil
		}
		w.line(string(line))
		w.rest = rest
	}
}

func (w *logWriter) line(s string) {
	bad := strings.HasPrefix(s, "FATAL:") || strings.HasPrefix(s, "PANIC:")
	if bad && !strings.HasSuffix(s, "the database system is starting up") { // our own asking whether it is ready
		w.log.Warn("postgres", slog.String("text", s))
		return
	}
	w.log.Debug("postgres", slog.String("text", s))
}

// String is the end of the log.
func (w *logWriter) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.TrimSpace(string(w.tail))
}
