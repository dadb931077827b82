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

var errNoMemory = errors.New("no memory for the body")

// read reads the request's body, as far as there is memory for it.
func (x *exchange) read() (fault *openai.Error) {
	if fault := x.p.readable(x.r); fault != nil {
		return fault
	}
	start := time.Now()
	x.body, fault = x.p.readBody(x.w, x.r, x.reserve)
	x.waited += time.Since(start)
	return fault
}

// readable judges a body by what its header says.
func (p *Proxy) readable(r *http.Request) *openai.Error {
	if e := r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return openai.EncodedBody(e)
	}
	if len(r.Header["Content-Type"]) > 1 {
		return openai.Invalid("", "The request has more than one Content-Type header.")
	}
	if r.ContentLength > p.opt.MaxBody {
		return openai.TooLarge(p.opt.MaxBody)
	}
	return nil
}

// readBody reads the whole request body before anything is done with it: net/http
// notices a client that leaves only from then on.
func (p *Proxy) readBody(w http.ResponseWriter, r *http.Request, reserve func(int64) error) ([]byte, *openai.Error) {
	limit := p.opt.MaxBody
	conn := http.NewResponseController(w)
	_ = conn.SetReadDeadline(time.Now().Add(p.opt.BodyTimeout)) // not every test's writer has one
	defer func() { _ = conn.SetReadDeadline(time.Time{}) }()
	body, err := readAll(http.MaxBytesReader(w, r.Body, limit), r.ContentLength, reserve)
	_, tooLarge := errors.AsType[*http.MaxBytesError](err)
	switch {
	case err == nil:
		return body, nil
	case errors.Is(err, errNoMemory):
		return nil, noMemory()
	case tooLarge:
		return nil, openai.TooLarge(limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, openai.BodyTimeout()
	default:
		return nil, openai.Invalid("", "The request body broke off.")
	}
}

// readAll reads r, whose size may be known; a size that a stranger claims does not take
// memory before its bytes come. Before memory is taken, reserve is asked for it, unless
// it is nil.
func readAll(r io.Reader, size int64, reserve func(int64) error) ([]byte, error) {
	const trusted = 64 << 10
	grow := func(b []byte, n int64) ([]byte, error) {
		if reserve != nil {
			if err := reserve(n); err != nil {
				return b, err
			}
		}
		return append(make([]byte, 0, int64(cap(b))+n), b...), nil
	}
	b, err := grow(nil, min(max(size+1, 512), trusted))
	for err == nil {
		var n int
		n, err = r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err == nil && len(b) == cap(b) {
			more := int64(cap(b))
			if left := size + 1 - more; left > 0 {
				more = min(more, left)
			}
			b, err = grow(b, more)
		}
	}
	if err == io.EOF { //nolint:errorlint // readers return it bare
		err = nil
	}
	return b, err
}
