package proxy

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/google/uuid"

	"loom.internal/pkg/event"
	"loom.internal/pkg/faultpoint"
	"loom.internal/pkg/httpserve"
	"loom.internal/pkg/tenant"
	"loom.internal/services/gateway/internal/directory"
	"loom.internal/services/gateway/internal/endpoint"
	"loom.internal/services/gateway/internal/failure"
	"loom.internal/services/gateway/internal/openai"
	"loom.internal/services/gateway/internal/provider/call"
)

// exchange is one admitted request, from its body to its trace.
type exchange struct {
	p       *Proxy
	op      endpoint.Endpoint
	w       http.ResponseWriter
	r       *http.Request
	who     *tenant.Principal
	started time.Time
	waited  time.Duration // for the client's and the provider's bytes

	body   []byte
	req    *openai.Request
	target directory.Target

	trace  *event.TraceEvent // nil until begun
	sealed <-chan sealedBody
	ended  bool
}

// prepare reads the request and finds where it goes. After a fault there is nothing
// to record: no provider would have seen the request.
func (x *exchange) prepare() (fault *openai.Error) {
	start := time.Now()
	x.body, fault = x.p.readBody(x.w, x.r)
	x.waited += time.Since(start)
	if fault != nil {
		return fault
	}
	if x.req, fault = openai.ParseRequest(x.body); fault != nil {
		return fault
	}
	if !x.who.Key.MayUse(x.req.Model) {
		return openai.ModelNotAllowed(x.req.Model)
	}
	c := x.p.opt.Directory.Catalogue()
	if c == nil {
		return openai.Unavailable("The gateway has no models yet. Please try again.")
	}
	targets := c.Targets(x.req.Model)
	if len(targets) == 0 {
		return openai.ModelNotFound(x.req.Model)
	}
	x.target = targets[0]
	return nil
}

// run records the beginning, calls the provider, and relays its answer. Whatever
// happens in between, the trace is ended.
func (x *exchange) run(ctx context.Context) {
	if fault := x.begin(ctx); fault != nil {
		x.p.refuse(x.w, fault)
		return
	}
	defer func() {
		if !x.ended { // a panic is on its way
			x.end(ctx, ending{outcome: event.Outcome_OUTCOME_FAILED, status: http.StatusInternalServerError, class: "internal_error"})
		}
	}()
	x.w.Header().Set(HeaderTraceID, x.trace.GetTraceId())
	if x.target.Upstream == nil {
		x.attempt(0, openai.CodeUnavailable, time.Now())
		x.fail(ctx, openai.Unavailable("The provider of this model is not available."), openai.CodeUnavailable, nil)
		return
	}
	ctx, cancel := x.callContext(ctx)
	defer cancel(nil)
	hide := x.op == endpoint.Chat && x.target.Upstream.AsksUsage() && x.req.CanAskUsage()
	body := x.req.Rewrite(x.target.Model, hide)

	called := time.Now()
	resp, err := x.target.Upstream.Send(ctx, call.Request{
		Endpoint: x.op, Model: x.target.Model, Stream: x.req.Stream, Header: upstreamHeader(x.r.Header), Body: body,
	})
	x.waited += time.Since(called)
	if err != nil {
		class := x.classify(ctx, err)
		x.attempt(0, class, called)
		x.p.opt.Log.LogAttrs(ctx, slog.LevelWarn, "provider not reached", slog.String("provider", x.target.Provider),
			slog.String("trace_id", x.trace.GetTraceId()), slog.String("error_class", class), slog.Any("error", scrub(err)))
		x.fail(ctx, faultOf(class), class, nil)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	up := newUpstreamBody(resp.Body, x, cancel)
	defer up.stop()
	x.answer(ctx, resp.Response, up, called, hide)
}

// begin makes the trace and has the recorder take note of it.
func (x *exchange) begin(ctx context.Context) *openai.Error {
	id, err := uuid.NewV7()
	if err != nil {
		x.p.opt.Log.LogAttrs(ctx, slog.LevelError, "no trace id", slog.Any("error", err))
		return openai.Internal()
	}
	trace := x.newTrace(id.String())
	if err := x.p.opt.Recorder.Begin(ctx, trace); err != nil {
		x.p.opt.Log.LogAttrs(ctx, slog.LevelWarn, "request refused: its trace cannot be recorded", slog.Any("error", err))
		return openai.Unavailable("The gateway cannot record requests right now. Please try again.")
	}
	faultpoint.Hit("gateway.begun")
	x.trace = trace
	x.sealed = x.sealAside(x.body)
	return nil
}

// attempt adds a call of the target to the trace.
func (x *exchange) attempt(status int, class string, called time.Time) {
	x.trace.Attempts = append(x.trace.Attempts, &event.Attempt{
		Provider: clean(x.target.Provider), Model: clean(x.target.Model), Status: int32(status), ErrorClass: class, //nolint:gosec // a status has three digits
		StartUs: called.Sub(x.started).Microseconds(), DurationUs: time.Since(called).Microseconds(),
	})
}

// fail ends the trace and then answers with the gateway's own error. To a client that
// has left nothing is sent.
func (x *exchange) fail(ctx context.Context, fault *openai.Error, class string, response []byte) {
	e := ending{outcome: event.Outcome_OUTCOME_FAILED, status: fault.Status, class: class, response: response}
	if class == classCanceled {
		e.outcome, e.status = event.Outcome_OUTCOME_CANCELED, statusClientGone
		x.end(ctx, e)
		panic(http.ErrAbortHandler)
	}
	x.end(ctx, e)
	fault.Write(x.w)
}

// Classes of errors in a trace.
const (
	classCanceled    = failure.ClientGone
	classShutdown    = failure.Shutdown
	classUnreachable = failure.Unreachable
	classTimeout     = failure.Timeout
	classIdle        = failure.Idle
	classCut         = failure.Cut
	classAuth        = failure.Credentials
	classLimited     = failure.RateLimited
	classRejected    = failure.Rejected
	classFailed      = failure.Upstream
	classTruncated   = failure.Truncated
	classTooLarge    = failure.TooLarge
	classInside      = failure.InsideAnswer

	statusClientGone = 499
)

var errIdle = errors.New("provider sent nothing for too long")

// classify names why a provider gave no answer.
func (x *exchange) classify(ctx context.Context, err error) string {
	switch cause := context.Cause(ctx); {
	case clientGone(x.r.Context()): //nolint:contextcheck // of the client, not of the call
		return classCanceled
	case errors.Is(cause, httpserve.ErrShutdown):
		return classShutdown
	case errors.Is(cause, errIdle):
		return classIdle
	}
	return classOf(err)
}

// faultOf is the answer for a class.
func faultOf(class string) *openai.Error {
	switch class {
	case classTimeout, classIdle:
		return openai.UpstreamTimeout()
	case classShutdown:
		return openai.Unavailable("The gateway is shutting down. Please try again.")
	default:
		return openai.UpstreamFailed()
	}
}
