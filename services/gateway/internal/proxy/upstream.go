package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"loom.internal/services/gateway/internal/failure"
	"loom.internal/services/gateway/internal/provider/call"
)

// upstreamBody is a provider's answer. A read that brings nothing for the idle timeout
// ends the call; the time spent in reads is not the gateway's own.
type upstreamBody struct {
	x     *exchange
	body  io.Reader
	idle  time.Duration
	timer *time.Timer
	bytes int64
}

func newUpstreamBody(body io.Reader, x *exchange, idle time.Duration, cancel context.CancelCauseFunc) *upstreamBody {
	return &upstreamBody{x: x, body: body, idle: idle, timer: time.AfterFunc(idle, func() { cancel(errIdle) })}
}

// Read implements [io.Reader].
func (u *upstreamBody) Read(p []byte) (int, error) {
	start := time.Now()
	u.timer.Reset(u.idle)
	n, err := u.body.Read(p)
	u.timer.Stop() // the client's slowness is not the provider's
	u.x.waited += time.Since(start)
	u.bytes += int64(n)
	return n, err
}

// hurry lets the provider take d more from now on, however its reads go.
func (u *upstreamBody) hurry(d time.Duration) { u.idle = min(u.idle, d) }

func (u *upstreamBody) stop() { u.timer.Stop() }

// classOf names an error of a call from the error alone.
func classOf(err error) string {
	if errors.Is(err, call.ErrCredentials) {
		return failure.Credentials
	}
	if dial, ok := errors.AsType[*net.OpError](err); ok && dial.Op == "dial" {
		return failure.Unreachable
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return failure.Unreachable
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return failure.Timeout
	}
	return failure.Upstream
}

// scrub is what of an error may be logged: of a connection, of a name or of a sign-in all
// it says; of anything else, which may hold bytes of a provider's, its type.
func scrub(err error) string {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Error()
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return dns.Error()
	}
	if errors.Is(err, call.ErrSignIn) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, io.EOF) {
		return err.Error()
	}
	return fmt.Sprintf("%T", err)
}
