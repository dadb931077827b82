package proxy

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"loom.internal/services/gateway/internal/openai"
)

// read reads the request's body, if there is memory for it.
func (x *exchange) read() *openai.Error {
	if fault := x.p.readable(x.r); fault != nil {
		return fault
	}
	if fault := x.reserve(); fault != nil {
		return fault
	}
	start := time.Now()
	body, fault := x.p.readBody(x.w, x.r)
	x.waited += time.Since(start)
	x.body = body
	x.trim()
	return fault
}

// readable judges a body by what its header says.
func (p *Proxy) readable(r *http.Request) *openai.Error {
	if e := r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return openai.EncodedBody(e)
	}
	if r.ContentLength > p.opt.MaxBody {
		return openai.TooLarge(p.opt.MaxBody)
	}
	return nil
}

// readBody reads the whole request body before anything is done with it: net/http
// notices a client that leaves only from then on.
func (p *Proxy) readBody(w http.ResponseWriter, r *http.Request) ([]byte, *openai.Error) {
	limit := p.opt.MaxBody
	conn := http.NewResponseController(w)
	_ = conn.SetReadDeadline(time.Now().Add(p.opt.BodyTimeout)) // not every test's writer has one
	defer func() { _ = conn.SetReadDeadline(time.Time{}) }()
	body, err := readAll(http.MaxBytesReader(w, r.Body, limit), r.ContentLength)
	_, tooLarge := errors.AsType[*http.MaxBytesError](err)
	switch {
	case err == nil:
		return body, nil
	case tooLarge:
		return nil, openai.TooLarge(limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, openai.BodyTimeout()
	default:
		return nil, openai.Invalid("", "The request body broke off.")
	}
}

// readAll reads r, whose size may be known; a size that a stranger claims does not
// take memory before its bytes come.
func readAll(r io.Reader, size int64) ([]byte, error) {
	const trusted = 1 << 20
	b := make([]byte, 0, min(max(size+1, 512), trusted))
	for {
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err == io.EOF {
			return b, nil
		}
		if err != nil {
			return b, err
		}
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
	}
}
