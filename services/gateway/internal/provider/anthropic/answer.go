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
	status := resp.StatusCode
	switch {
	case status >= 300 && status < http.StatusBadRequest:
		return // its body is not for the client
	case h.Get("Content-Encoding") != "":
		h.Del("Content-Encoding")
		resp.Body = &document{source: resp.Body, limit: maxFault, translate: func([]byte) ([]byte, error) { return nil, errEncoded }}
	case status >= http.StatusBadRequest:
		resp.StatusCode = statusOf(status)
		resp.Status = strconv.Itoa(resp.StatusCode) + " " + http.StatusText(resp.StatusCode)
		resp.Body = &document{source: resp.Body, limit: maxFault, translate: func(b []byte) ([]byte, error) { return translateFault(b, status), nil }}
	case isEventStream(h):
		s := &stream{source: resp.Body, created: created.Unix(), asksUsage: asksUsage}
		resp.Body, resp.Usage = s, s.total
		h.Del("Content-Length")
		resp.ContentLength = -1
		return
	default:
		var usage []byte
		resp.Usage = func() []byte { return usage }
		resp.Body = &document{source: resp.Body, limit: maxAnswer, translate: func(b []byte) (answer []byte, err error) {
			answer, usage, err = translateMessage(b, created.Unix())
			return answer, err
		}}
	}
	h.Set("Content-Type", "application/json")
	h.Del("Content-Length")
	resp.ContentLength = -1
}

// document is a body that is translated in one piece, once all of it is there. Until
// then reads bring nothing, so that each waits for the provider no longer than one of
// the provider's own would.
type document struct {
	source    io.ReadCloser
	limit     int
	translate func([]byte) ([]byte, error)
	body      []byte // so far, and then what is left of the translation
	err       error  // of the source, or of the translation
}

// Read implements [io.Reader].
func (d *document) Read(p []byte) (int, error) {
	if d.err == nil {
		return 0, d.more(p)
	}
	n := copy(p, d.body)
	if d.body = d.body[n:]; n == 0 && len(p) > 0 {
		return 0, d.err
	}
	return n, nil
}

// more reads on; p holds what comes, until it is taken over.
func (d *document) more(p []byte) error {
	n, err := d.source.Read(p)
	switch d.body = append(d.body, p[:n]...); {
	case len(d.body) > d.limit:
		d.body, d.err = nil, errTooLarge
	case err == io.EOF:
		if d.body, d.err = d.translate(d.body); d.err == nil {
			d.err = io.EOF
			return nil
		}
	case err != nil:
		d.body, d.err = nil, err
	}
	return d.err
}

// Close implements [io.Closer].
func (d *document) Close() error { return d.source.Close() }

func isEventStream(h http.Header) bool {
	mediaType, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	return err == nil && mediaType == "text/event-stream"
}
