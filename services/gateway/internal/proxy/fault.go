package proxy

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"loom.internal/pkg/httpserve"
	"loom.internal/services/gateway/internal/anthropic"
	"loom.internal/services/gateway/internal/endpoint"
	"loom.internal/services/gateway/internal/failure"
	"loom.internal/services/gateway/internal/openai"
)

const statusClientGone = 499

// writeFault answers with the gateway's own error, in the shape of the API that the
// client speaks.
func writeFault(w http.ResponseWriter, d endpoint.Dialect, fault *openai.Error) {
	if d != endpoint.Anthropic {
		fault.Write(w)
		return
	}
	id := w.Header().Get(HeaderRequestID)
	w.Header().Set("Request-Id", id) // where its SDKs look for it
	anthropic.Write(w, fault, id)
}

// faultEvent is the error as an event of a stream that has begun.
func faultEvent(d endpoint.Dialect, fault *openai.Error) []byte {
	if d == endpoint.Anthropic {
		return anthropic.Event(fault)
	}
	return fault.Event()
}

// classify names why a provider gave no answer, or only a part.
func (x *exchange) classify(ctx context.Context, err error) string {
	cause := context.Cause(ctx)
	switch {
	case clientGone(x.r.Context()): //nolint:contextcheck // of the client, not of the call
		return failure.ClientGone
	case errors.Is(cause, httpserve.ErrShutdown):
		return failure.Shutdown
	case errors.Is(cause, errIdle):
		return failure.Idle
	case errors.Is(cause, errHeader), errors.Is(cause, errTotal), errors.Is(cause, errFinishLimit):
		return failure.Timeout
	case errors.Is(cause, errDial):
		return failure.Unreachable
	}
	return classOf(err)
}

// faultOf is the answer for a class.
func faultOf(class string) *openai.Error {
	switch class {
	case failure.Timeout, failure.Idle:
		return openai.UpstreamTimeout()
	case failure.Credentials:
		return openai.ProviderAuth()
	case failure.Shutdown:
		return openai.Unavailable("The gateway is shutting down. Please try again.")
	default:
		return openai.UpstreamFailed()
	}
}

// log says what many requests may have to say at once: a line a second for each
// message, with how many were left out.
func (p *Proxy) log(ctx context.Context, level slog.Level, message string, attrs ...slog.Attr) {
	if n, ok := p.throttle.Allow(message); ok {
		if n > 0 {
			attrs = append(attrs, slog.Int64("left_out", n))
		}
		p.opt.Log.LogAttrs(ctx, level, message, attrs...) //nolint:sloglint // its callers have constants
	}
}
