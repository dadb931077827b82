package anthropic

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"

	"loom.internal/services/gateway/internal/provider/call"
)

// Bounds of an answer that is translated in one piece.
const (
	maxAnswer = 64 << 20
	maxFault  = 4 << 20
)

var (
	errTooLarge   = errors.New("provider's answer is too large to translate")
	errEncoded    = errors.New("provider's answer has a content encoding that was not asked for")
	errNotMessage = errors.New("provider's answer is no message")
)

// answer makes resp the answer to a chat completion. What it is read as is told by its
// content type, whatever was asked for.
func answer(resp *call.Response, asksUsage bool) {
	h := resp.Header
	created := time.Now()
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		created = date
	}
	encoded := h.Get("Content-Encoding") != ""
	status := resp.StatusCode
	switch {
	case status >= 300 && status < http.StatusBadRequest:
		return // its body is not for the client
	case encoded:
		h.Del("Content-Encoding")
		resp.Body = &document{source: resp.Body, read: func(io.Reader) ([]byte, error) { return nil, errEncoded }}
	case status >= http.StatusBadRequest:
		resp.StatusCode = statusOf(status)
		resp.Status = strconv.Itoa(resp.StatusCode) + " " + http.StatusText(resp.StatusCode)
		resp.Body = &document{source: resp.Body, read: func(r io.Reader) ([]byte, error) { return readFault(r, status) }}
		resp.Usage = func() []byte { return nil }
	case isEventStream(h):
		s := &stream{source: resp.Body, created: created.Unix(), asksUsage: asksUsage}
		resp.Body, resp.Usage = s, func() []byte { return s.usage }
		h.Del("Content-Length")
		resp.ContentLength = -1
		return
	default:
		d := &document{source: resp.Body}
		var usage []byte
		d.read = func(r io.Reader) (b []byte, err error) {
			b, usage, err = readMessage(r, created.Unix())
			return b, err
		}
		resp.Body, resp.Usage = d, func() []byte { return usage }
	}
	h.Set("Content-Type", "application/json")
	h.Del("Content-Length")
	resp.ContentLength = -1
}

// document is a body that is translated in one piece, once it is read.
type document struct {
	source io.ReadCloser
	read   func(io.Reader) ([]byte, error)
	done   bool
	rest   []byte
	err    error
}

// Read implements [io.Reader].
func (d *document) Read(p []byte) (int, error) {
	if !d.done {
		d.rest, d.err = d.read(d.source)
		d.done = true
	}
	if len(d.rest) == 0 {
		if d.err != nil {
			return 0, d.err
		}
		return 0, io.EOF
	}
	n := copy(p, d.rest)
	d.rest = d.rest[n:]
	return n, nil
}

// Close implements [io.Closer].
func (d *document) Close() error { return d.source.Close() }

func isEventStream(h http.Header) bool {
	mediaType, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	return err == nil && mediaType == "text/event-stream"
}

// readLimited reads all of r, and refuses what is too large.
func readLimited(r io.Reader, limit int) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	if err == nil && len(b) > limit {
		return nil, errTooLarge
	}
	return b, err
}
