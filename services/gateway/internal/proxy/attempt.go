package proxy

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"time"

	"loom.internal/pkg/event"
	"loom.internal/services/gateway/internal/balance"
	"loom.internal/services/gateway/internal/failure"
	"loom.internal/services/gateway/internal/openai"
	"loom.internal/services/gateway/internal/provider/call"
)

// failedCall is a call of a target that brought nothing to relay.
type failedCall struct {
	class string
	resp  *http.Response // whose body has been read; nil when no answer came
	body  []byte         // as much of it as was kept
	fault *openai.Error  // of the request itself: nothing was sent
}

// try calls the target and relays its answer. It comes back with a failure where
// another call may still be made: nothing has gone to the client.
func (x *exchange) try(ctx context.Context, plan *balance.Plan) *failedCall {
	called := time.Now()
	if x.target.Upstream == nil {
		f := &failedCall{class: failure.Unavailable, fault: openai.Unavailable("The provider of this model is not available.")}
		return x.failed(plan, f, called)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r, hide := x.callRequest()
	resp, err := x.send(ctx, cancel, r)
	x.waited += time.Since(called)
	if err != nil {
		f := &failedCall{class: x.classify(ctx, err)}
		if fault, ok := errors.AsType[*openai.Error](err); ok {
			f.class, f.fault = failure.Unsuited, fault
		} else {
			x.p.log(ctx, slog.LevelWarn, "provider not reached", slog.String("provider", x.target.Provider),
				slog.String("trace_id", x.trace.GetTraceId()), slog.String("error_class", f.class), slog.String("error", scrub(err)))
		}
		return x.failed(plan, f, called)
	}
	defer func() { _ = resp.Body.Close() }()
	up := newUpstreamBody(resp.Body, x, millis(x.target.Options.IdleTimeout, x.p.opt.IdleTimeout), cancel)
	defer up.stop()
	x.trace.Region = clean(resp.Header.Get("X-Ms-Region"))
	if class := classOfStatus(resp.StatusCode); class != "" {
		body, err := readLimited(up, resp.ContentLength, maxFault)
		if err != nil && !errors.Is(err, errTooLarge) {
			if class = x.classify(ctx, err); class == failure.Upstream {
				class = failure.Cut
			}
			return x.failed(plan, &failedCall{class: class, body: body}, called)
		}
		return x.failed(plan, &failedCall{class: class, resp: resp.Response, body: body}, called)
	}
	plan.Answering()
	x.answered = true
	a := &answer{x: x, plan: plan, resp: resp, up: up, called: called}
	a.relay(ctx, hide)
	return nil
}

// failed notes a failed call down.
func (x *exchange) failed(plan *balance.Plan, f *failedCall, called time.Time) *failedCall {
	r := balance.Result{Class: f.class}
	if f.resp != nil {
		r.Status, r.RetryAfter = f.resp.StatusCode, balance.RetryAfter(f.resp.Header, time.Now())
	}
	x.attempt(r.Status, f.class, called)
	plan.Report(r)
	return f
}

// send calls the provider, within the time it has for a connection and for the first
// byte of its answer.
func (x *exchange) send(ctx context.Context, cancel context.CancelCauseFunc, r call.Request) (*call.Response, error) {
	header := time.AfterFunc(millis(x.target.Options.HeaderTimeout, x.p.opt.HeaderTimeout), func() { cancel(errHeader) })
	defer header.Stop()
	if limit := millis(x.target.Options.ConnectTimeout, 0); limit > 0 {
		dial := time.AfterFunc(limit, func() { cancel(errDial) })
		defer dial.Stop()
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { dial.Stop() }})
	}
	return x.target.Upstream.Send(ctx, r)
}

// giveUp answers with the last failure; a client that has left meanwhile is the last one.
func (x *exchange) giveUp(ctx context.Context, f *failedCall) {
	switch {
	case clientGone(x.r.Context()): //nolint:contextcheck // of the client, not of the call
		x.fail(ctx, faultOf(failure.ClientGone), failure.ClientGone, f.body, false)
	case f.fault != nil:
		x.fail(ctx, f.fault, f.class, nil, false)
	case f.resp == nil:
		x.fail(ctx, faultOf(f.class), f.class, f.body, f.body != nil)
	default:
		x.providerFault(ctx, f.resp, f.body, f.class)
	}
}

// attempt adds a call of the target to the trace.
func (x *exchange) attempt(status int, class string, called time.Time) {
	x.trace.Attempts = append(x.trace.Attempts, &event.Attempt{
		Provider: clean(x.target.Provider), Model: clean(x.target.Model), Status: int32(status), ErrorClass: class, //nolint:gosec // a status has three digits
		StartUs: called.Sub(x.started).Microseconds(), DurationUs: time.Since(called).Microseconds(),
	})
}

// millis is a time of a route's, or what holds without.
func millis(ms int64, without time.Duration) time.Duration {
	if ms <= 0 {
		return without
	}
	return time.Duration(ms) * time.Millisecond
}
