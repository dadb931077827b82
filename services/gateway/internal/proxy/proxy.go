// Package proxy is the path of one request: authenticate, read, route, call the
// provider, relay the answer, and record the trace before its last byte is released.
package proxy

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"loom.internal/pkg/event"
	"loom.internal/pkg/telemetry"
	"loom.internal/services/gateway/internal/balance"
	"loom.internal/services/gateway/internal/capture"
	"loom.internal/services/gateway/internal/directory"
	"loom.internal/services/gateway/internal/endpoint"
	"loom.internal/services/gateway/internal/openai"
)

// Headers of the gateway's own.
const (
	HeaderRequestID   = "X-Request-Id"
	HeaderTraceID     = "X-Loom-Trace-Id"
	HeaderSessionID   = "X-Loom-Session-Id"
	HeaderContentMode = "X-Loom-Content-Mode"
)

// Recorder keeps traces. It is safe for concurrent use.
type Recorder interface {
	// Begin is called before a provider is, with what is known by then. After an
	// error the request is refused; after nil, End follows.
	Begin(ctx context.Context, e *event.TraceEvent) error
	// End takes the whole event. When it returns nil the trace is safe, and the
	// answer's last byte may go out.
	End(ctx context.Context, e *event.TraceEvent) error
}

// Directory knows keys and models.
type Directory interface {
	Authenticate(ctx context.Context, key string) (*directory.Caller, error)
	Catalogue() *directory.Catalogue
}

// Options of New. Sizes are in bytes.
type Options struct {
	Directory     Directory
	Recorder      Recorder
	Responses     Responses
	Balancer      *balance.Balancer
	Log           *slog.Logger
	Metrics       prometheus.Registerer
	MaxBody       int64         // of a request
	BodyMemory    int64         // of all requests that are being served
	BodyTimeout   time.Duration // for the whole request body to arrive
	CaptureLimit  int           // of each body in the trace
	HeaderTimeout time.Duration // for a provider to begin its answer
	IdleTimeout   time.Duration // between two reads of an answer
	WriteTimeout  time.Duration // for a client to take what was sent
}

// Proxy serves the API. It is safe for concurrent use.
type Proxy struct {
	opt      Options
	metrics  *metrics
	memory   *memory
	throttle telemetry.Throttle
}

// New makes a proxy.
func New(o Options) *Proxy {
	return &Proxy{opt: o, metrics: newMetrics(o.Metrics), memory: newMemory(o.BodyMemory, o.MaxBody)}
}

// Serve serves an endpoint for the model of that name; for the one that the body names
// where it is empty.
func (p *Proxy) Serve(op endpoint.Endpoint, model string) http.Handler {
	return p.exchange(op, func(x *exchange) *openai.Error { return x.prepare(model) })
}

// exchange serves an endpoint whose requests prepare makes ready to run.
func (p *Proxy) exchange(op endpoint.Endpoint, prepare func(*exchange) *openai.Error) http.Handler {
	form := capture.FormOf(op)
	return p.Shield(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		started := time.Now()
		p.metrics.inFlight.Inc()
		defer p.metrics.inFlight.Dec()
		who, fault := p.admit(r, op.Scope)
		if fault != nil {
			p.refuse(w, r, op.Dialect, fault)
			return
		}
		x := &exchange{p: p, op: op, form: form, w: w, r: r, who: who, started: started}
		defer x.free()
		if fault := prepare(x); fault != nil {
			x.free()
			x.refuse(fault)
			return
		}
		x.run(r.Context())
	}))
}

// Refuse serves nothing but a fault.
func (p *Proxy) Refuse(d endpoint.Dialect, fault *openai.Error) http.Handler {
	return p.Shield(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { writeFault(w, d, fault) }))
}

// refuse answers a request that made no trace.
func (p *Proxy) refuse(w http.ResponseWriter, r *http.Request, d endpoint.Dialect, fault *openai.Error) {
	p.metrics.request("refused", fault.Status)
	conn := http.NewResponseController(w)
	unread := r.ContentLength != 0 && conn.EnableFullDuplex() == nil
	writeFault(w, d, fault)
	if unread && conn.Flush() == nil {
		// A connection that is closed with some of the body unread is reset, and the client
		// may lose the answer by that.
		_ = conn.SetReadDeadline(time.Now().Add(lingerTime))
		if _, err := io.CopyN(io.Discard, r.Body, lingerBytes); err != io.EOF { //nolint:errorlint // readers return it bare
			panic(http.ErrAbortHandler) // or what is left of the body would be taken for the next request
		}
	}
}

// How long, and for how many bytes, a client that was refused may go on sending.
const (
	lingerTime  = time.Second
	lingerBytes = 64 << 20
)

// Shield gives every answer a request id, and turns a panic into an answer of status
// 500, or into a broken connection where the answer has begun: never into an answer
// that looks whole.
func (p *Proxy) Shield(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, id := r.Context(), requestID()
		w.Header().Set(HeaderRequestID, id)
		watched := &watchedWriter{ResponseWriter: w, conn: http.NewResponseController(w), limit: p.opt.WriteTimeout}
		defer func() {
			fault := recover()
			if fault == nil {
				return
			}
			if err, ok := fault.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(http.ErrAbortHandler)
			}
			// Without the value: it may hold a piece of a body.
			p.opt.Log.LogAttrs(ctx, slog.LevelError, "panic while serving a request", slog.String("request_id", id), stack())
			if watched.begun {
				panic(http.ErrAbortHandler)
			}
			openai.Internal().Write(watched)
		}()
		h.ServeHTTP(watched, r)
	})
}

func requestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return "req_" + hex.EncodeToString(b[:])
}
