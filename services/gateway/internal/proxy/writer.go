package proxy

import (
	"errors"
	"net/http"
	"time"
)

var errClientGone = errors.New("client gone")

// clientWriter sends an answer piece by piece. Where the answer is finished without its
// client, one that cannot be reached is no error.
type clientWriter struct {
	x     *exchange
	flush *http.ResponseController
	gone  bool // the client is, and the answer is finished without it
}

func newClientWriter(x *exchange) clientWriter {
	return clientWriter{x: x, flush: http.NewResponseController(x.w)}
}

// write sends b and flushes it out.
func (c *clientWriter) write(b []byte) error {
	if c.gone {
		return nil
	}
	err := c.send(b)
	if err != nil && c.x.target.Finish {
		c.gone = true
		return nil
	}
	return err
}

func (c *clientWriter) send(b []byte) error {
	start := time.Now()
	defer func() { c.x.waited += time.Since(start) }()
	if len(b) > 0 {
		if _, err := c.x.w.Write(b); err != nil {
			return errClientGone
		}
	}
	if err := c.flush.Flush(); err != nil {
		return errClientGone
	}
	return nil
}
