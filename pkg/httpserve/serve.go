// Package httpserve runs an HTTP server and ends it without cutting answers
// short: short requests finish, long streams are told that the server stops.
package httpserve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// ErrShutdown is the cause (context.Cause) of a request context that the
// server cancelled because it stops.
var ErrShutdown = errors.New("the server is shutting down")

const (
	headerTimeout  = 5 * time.Second
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 32 << 10
	defaultDrain   = 10 * time.Second
	maxLinger      = 5 * time.Second
)

type baseKey struct{}

// Base is the context of the server that serves the request of ctx. It outlives the
// request and its client, and ends, with the cause [ErrShutdown], when the server ends
// the requests that are left. Without such a server it never ends.
func Base(ctx context.Context) context.Context {
	if base, ok := ctx.Value(baseKey{}).(context.Context); ok {
		return base
	}
	return context.Background()
}

// Options of Run; the zero value will do.
type Options struct {
	Drain   time.Duration // how long open requests may go on after ctx has ended; 10 s when 0
	Log     *slog.Logger  // hears of drains that took too long; the server's own complaints at debug
	OnDrain func()        // called once when ctx has ended: the place to turn readiness off
	// Delay is how long requests are still taken after OnDrain, until those who ask for
	// readiness have learned of it. Connections that wait to be taken when a port closes are
	// reset, whatever was sent on them.
	Delay time.Duration
}

// Run serves h on ln, over HTTP/1.1 and unencrypted HTTP/2, until ctx ends or
// ln fails, and closes ln. There is no write timeout: answers may stream for
// as long as they take.
//
// When ctx ends, Run goes on for Delay, with a `Connection: close` on every HTTP/1.1
// answer. Next it stops accepting and lets requests go on for Drain. Then it
// cancels the contexts of those left, with the cause [ErrShutdown], waits at
// most as long again (5 s at the longest) for their handlers, and closes their
// connections. It returns nil: a stop that was asked for is no error. Request
// contexts carry ctx's values but not its end.
func Run(ctx context.Context, ln net.Listener, h http.Handler, opt Options) error {
	if opt.Drain <= 0 {
		opt.Drain = defaultDrain
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	base, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(ErrShutdown)
	var leaving atomic.Bool
	srv := newServer(context.WithValue(base, baseKey{}, base), sayClose(h, &leaving), opt.Log)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	failed := func(err error) error {
		cancel(ErrShutdown)
		_ = srv.Close()
		return fmt.Errorf("serve %s: %w", ln.Addr(), err)
	}

	select {
	case err := <-served:
		return failed(err)
	case <-ctx.Done():
	}
	if opt.OnDrain != nil {
		opt.OnDrain()
	}
	leaving.Store(true)
	select {
	case err := <-served:
		return failed(err)
	case <-time.After(opt.Delay):
	}
	if !shutdown(base, srv, opt.Drain) {
		opt.Log.WarnContext(base, "ending requests that outlived the drain", slog.Duration("drain", opt.Drain))
		// Cancelling base also ends the wait for it: hence WithoutCancel.
		cancel(ErrShutdown)
		if !shutdown(context.WithoutCancel(base), srv, min(opt.Drain, maxLinger)) {
			opt.Log.WarnContext(base, "closing connections of requests that did not end")
		}
	}
	_ = srv.Close() // what is left has had its time
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", ln.Addr(), err)
	}
	return nil
}

// sayClose asks clients not to come back on their connection, once leaving is set. Of
// HTTP/2, Shutdown itself tells them.
func sayClose(h http.Handler, leaving *atomic.Bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 1 && leaving.Load() {
			w.Header().Set("Connection", "close")
		}
		h.ServeHTTP(w, r)
	})
}

func newServer(base context.Context, h http.Handler, log *slog.Logger) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:           h,
		Protocols:         protocols,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		BaseContext:       func(net.Listener) context.Context { return base },
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// shutdown reports whether every request ended within d.
func shutdown(ctx context.Context, srv *http.Server, d time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return srv.Shutdown(ctx) == nil
}
