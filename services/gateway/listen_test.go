package gateway_test

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/telemetry"
	"loom.internal/services/gateway"
)

// alone starts a gateway that opens its port itself, with an address for probes, while the
// broker is away.
func (w *world) alone(addr string) (stop func(), done chan error) {
	w.tb.Helper()
	cfg := w.config(func(c *gateway.Config) { c.Addr, c.OpsAddr = addr, "127.0.0.1:0" })
	w.broker.Stop()
	nc, err := bus.Connect(w.broker.URL, "gateway-test", quiet(w.tb), nats.ReconnectWait(20e6))
	w.must(err)
	w.tb.Cleanup(nc.Close)
	w.ready = new(telemetry.Readiness)
	svc, err := gateway.New(cfg, gateway.Deps{Log: quiet(w.tb), Metrics: prometheus.NewRegistry(), Ready: w.ready, NATS: nc, Bodies: nc})
	w.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	w.tb.Cleanup(cancel)
	done = make(chan error, 1)
	go func() { done <- svc.Run(ctx) }()
	return cancel, done
}

// freeAddr is an address that nobody listens on.
func (w *world) freeAddr() string {
	w.tb.Helper()
	ln := w.listenAnywhere()
	w.must(ln.Close())
	return ln.Addr().String()
}

func (w *world) listenAnywhere() net.Listener {
	w.tb.Helper()
	var lc net.ListenConfig
	ln, err := lc.Listen(w.tb.Context(), "tcp", "127.0.0.1:0")
	w.must(err)
	return ln
}

func TestNobodyIsLetInBeforeKeysAreKnown(t *testing.T) {
	t.Parallel()
	w := start(t, setup{noStart: true})
	addr := w.freeAddr()
	stop, done := w.alone(addr)
	w.url, w.client = "http://"+addr, new(http.Client)
	if resp, err := w.client.Do(w.request(t.Context(), http.MethodGet, "/healthz", nil)); err == nil {
		_ = resp.Body.Close()
		t.Error("a gateway without keys takes connections")
	}
	w.broker.Start(t)
	w.eventually("ready", func() bool { return w.ready.Err() == nil })
	equal(t, "status", w.chat(demoChat).status, 200)
	stop()
	w.must(<-done)
}

func TestStopBeforeKeysAreKnown(t *testing.T) {
	t.Parallel()
	w := start(t, setup{noStart: true})
	stop, done := w.alone(w.freeAddr())
	stop()
	w.must(<-done)
}

func TestPortTakenWhenKeysAreKnown(t *testing.T) {
	t.Parallel()
	w := start(t, setup{noStart: true})
	ln := w.listenAnywhere()
	defer ln.Close()
	_, done := w.alone(ln.Addr().String())
	w.broker.Start(t)
	if err := <-done; err == nil || !strings.Contains(err.Error(), "LOOM_GATEWAY_ADDR") {
		t.Errorf("got %v, want an error that names LOOM_GATEWAY_ADDR", err)
	}
}
