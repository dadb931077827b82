package proxy

import (
	"context"
	"errors"
	"time"

	"loom.internal/pkg/httpserve"
)

// finishLimit is how long the answer of a client that has left may go on, on a route
// that finishes it.
const finishLimit = 10 * time.Minute

var errFinishLimit = errors.New("the answer took too long after its client had left")

// clientGone reports whether the client, whose request's context is ctx, has left, and
// not been sent away.
func clientGone(ctx context.Context) bool {
	cause := context.Cause(ctx)
	return cause != nil && !errors.Is(cause, httpserve.ErrShutdown)
}

// callContext is what the provider's call lives by: the client, whose request's context
// is ctx; or, on a route that finishes answers, the server.
func (x *exchange) callContext(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	if !x.target.Finish {
		return context.WithCancelCause(ctx)
	}
	call, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	server := httpserve.Base(ctx)
	context.AfterFunc(ctx, func() { // also when the request is over, and then the call is
		limit := time.NewTimer(finishLimit)
		defer limit.Stop()
		select {
		case <-limit.C:
			cancel(errFinishLimit)
		case <-server.Done():
			cancel(context.Cause(server))
		case <-call.Done():
		}
	})
	return call, cancel
}
