package proxy

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/google/uuid"

	"loom.internal/pkg/envelope"
	"loom.internal/pkg/event"
	"loom.internal/pkg/faultpoint"
	"loom.internal/services/gateway/internal/capture"
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
	form    capture.Form
	w       http.ResponseWriter
	r       *http.Request
	who     *directory.Caller
	started time.Time
	waited  time.Duration // for the client's and the provider's bytes

	body     []byte
	reserved int64 // bytes of memory set aside for it
	req      request
	stored   *storedCall // of a stored response; nil for everything else
	targets  []directory.Target
	target   directory.Target // the one being called

	trace    *event.TraceEvent  // nil until begun
	key      *envelope.TraceKey // nil where bodies are not recorded
	sealed   <-chan sealedBody
	answered bool // a provider has answered with a status of success
	ended    bool
}

// prepare reads the request and finds where it goes. After a fault there is nothing
// to record: no provider would have seen the request.
func (x *exchange) prepare(named string) (fault *openai.Error) {
	if fault = x.read(); fault != nil {
		return fault
	}
	if x.req, fault = x.parse(named); fault != nil {
		return fault
	}
	model := x.req.Facts().Model
	if !x.who.Key.MayUse(model) {
		return openai.ModelNotAllowed(model)
	}
	c := x.p.opt.Directory.Catalogue()
	if c == nil {
		return openai.Unavailable("The gateway has no models yet. Please try again.")
	}
	targets := c.Targets(model)
	if len(targets) == 0 {
		return openai.ModelNotFound(model)
	}
	for _, t := range targets { // one that could not be opened may serve it: that is for a call to tell
		if t.Upstream == nil || t.Upstream.Serves(x.op) {
			x.targets = append(x.targets, t)
		}
	}
	if len(x.targets) == 0 {
		return openai.NotServed(x.op.Path, model)
	}
	return x.follow()
}

// run records the beginning, calls providers until one answers, and relays its answer.
// Whatever happens in between, the trace is ended.
func (x *exchange) run(ctx context.Context) {
	plan := x.plan()
	defer plan.Close()
	if fault := x.choose(plan); fault != nil {
		x.refuse(fault)
		return
	}
	if fault := x.begin(ctx); fault != nil {
		x.refuse(fault)
		return
	}
	defer func() {
		if !x.ended { // a panic is on its way
			x.end(ctx, ending{outcome: event.Outcome_OUTCOME_FAILED, status: http.StatusInternalServerError, class: "internal_error"})
		}
	}()
	x.w.Header().Set(HeaderTraceID, x.trace.GetTraceId())
	ctx, cancel := x.callContext(ctx)
	defer cancel(nil)
	if limit := millis(x.target.Options.Timeout, 0); limit > 0 {
		timer := time.AfterFunc(limit-time.Since(x.started), func() { cancel(errTotal) })
		defer timer.Stop()
	}
	for {
		f := x.try(ctx, plan)
		if f == nil {
			return
		}
		if !x.again(ctx, plan) {
			x.giveUp(ctx, f)
			return
		}
	}
}

// begin makes the trace and has the recorder take note of it.
func (x *exchange) begin(ctx context.Context) *openai.Error {
	id, err := uuid.NewV7()
	if err != nil {
		x.p.opt.Log.LogAttrs(ctx, slog.LevelError, "no trace id", slog.Any("error", err))
		return openai.Internal()
	}
	trace := x.newTrace(id.String())
	if x.who.NoRules != nil && trace.GetContentMode() != event.ContentMode_CONTENT_MODE_NONE {
		x.p.log(ctx, slog.LevelError, "request refused: what must not be recorded of it is not known", slog.String("tenant_id", trace.GetTenantId()), slog.Any("error", x.who.NoRules))
		return openai.Unavailable("The gateway has no valid rules to record this request by. Please try again.")
	}
	if trace.GetContentMode() == event.ContentMode_CONTENT_MODE_FULL {
		if x.key, err = x.traceKey(trace.GetTraceId()); err != nil {
			x.p.log(ctx, slog.LevelError, "request refused: its bodies cannot be sealed", slog.String("tenant_id", trace.GetTenantId()), slog.Any("error", err))
			return openai.Unavailable("The gateway has no key to record this request with. Please try again.")
		}
	}
	if err := x.p.opt.Recorder.Begin(ctx, trace); err != nil {
		x.p.log(ctx, slog.LevelWarn, "request refused: its trace cannot be recorded", slog.Any("error", err))
		return openai.Unavailable("The gateway cannot record requests right now. Please try again.")
	}
	faultpoint.Hit("gateway.begun")
	x.trace = trace
	x.sealed = x.sealAside(x.req.Record)
	return nil
}

var errNoDataKey = errors.New("the tenant has no data key, or none that this gateway can unwrap")

// traceKey is what the bodies of a trace are sealed with, both of them, whatever key the
// tenant gets meanwhile.
func (x *exchange) traceKey(id string) (*envelope.TraceKey, error) {
	if x.who.DataKey == nil {
		return nil, errNoDataKey
	}
	return x.who.DataKey.Trace(id)
}

// refuse answers a request that makes no trace.
func (x *exchange) refuse(fault *openai.Error) { x.p.refuse(x.w, x.r, x.op.Dialect, fault) }

// callQuery is what of the client's query goes to a provider: not the version of an API
// that the provider's own configuration names.
func callQuery(r *http.Request) url.Values {
	if r.URL.RawQuery == "" {
		return nil
	}
	q := r.URL.Query()
	q.Del("api-version")
	return q
}

// callRequest is the call of the target.
func (x *exchange) callRequest() (r call.Request, hide bool) {
	facts := x.req.Facts()
	hide = x.op == endpoint.Chat && x.target.Upstream.AsksUsage() && x.req.CanAskUsage()
	r = call.Request{
		Endpoint: x.op, Model: x.target.Model, Stream: facts.Stream, Header: upstreamHeader(x.r.Header), Query: callQuery(x.r),
		Body: x.req.Rewrite(x.target.Model, hide),
	}
	if x.stored != nil {
		r.Endpoint, r.Method, r.Suffix = endpoint.Responses, x.r.Method, x.stored.suffix
	}
	return r, hide
}

// fail ends the trace and then answers with the gateway's own error. To a client that
// has left nothing is sent. The response is what of the provider's answer is recorded.
func (x *exchange) fail(ctx context.Context, fault *openai.Error, class string, response []byte, truncated bool) {
	e := ending{outcome: event.Outcome_OUTCOME_FAILED, status: fault.Status, class: class, response: response, truncated: truncated}
	if class == failure.ClientGone {
		e.outcome, e.status = event.Outcome_OUTCOME_CANCELED, statusClientGone
		x.end(ctx, e)
		panic(http.ErrAbortHandler)
	}
	if !x.end(ctx, e) {
		fault = openai.Internal()
	}
	writeFault(x.w, x.op.Dialect, fault)
}

var (
	errIdle   = errors.New("provider sent nothing for too long")
	errHeader = errors.New("provider did not begin its answer in time")
	errDial   = errors.New("provider could not be connected to in time")
	errTotal  = errors.New("the request took longer than its route allows")
)
