package proxy

import (
	"net/http"
	"time"
)

const (
	// writePiece is what has to be taken within the write timeout: a whole answer may be
	// large, and a slow client is no dead one.
	writePiece = 256 << 10
	// deadlineSlack saves setting the write deadline anew at every chunk.
	deadlineSlack = 5 * time.Second
)

// watchedWriter remembers whether the answer has begun, and gives the client a limited
// time to take each piece of it: nobody may hold a request for ever by not reading.
type watchedWriter struct {
	http.ResponseWriter
	conn     *http.ResponseController
	limit    time.Duration
	deadline time.Time
	begun    bool
}

// WriteHeader implements [http.ResponseWriter].
func (w *watchedWriter) WriteHeader(status int) {
	w.extend()
	w.begun = w.begun || status >= http.StatusOK
	w.ResponseWriter.WriteHeader(status)
}

// Write implements [http.ResponseWriter].
func (w *watchedWriter) Write(b []byte) (written int, err error) {
	w.begun = true
	for {
		w.extend()
		n, err := w.ResponseWriter.Write(b[:min(len(b), writePiece)])
		written, b = written+n, b[n:]
		if err != nil || len(b) == 0 {
			return written, err
		}
	}
}

// FlushError is what http.ResponseController flushes by.
func (w *watchedWriter) FlushError() error {
	w.extend()
	return w.conn.Flush()
}

func (w *watchedWriter) extend() {
	if until := time.Now().Add(w.limit); until.Sub(w.deadline) > deadlineSlack {
		_ = w.conn.SetWriteDeadline(until) // not every test's writer has one
		w.deadline = until
	}
}

// Unwrap is for http.ResponseController.
func (w *watchedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
