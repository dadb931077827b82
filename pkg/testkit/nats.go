package testkit

import (
	"net"
	"net/url"
	"os"
	"strconv"
	"testing"

	"github.com/nats-io/nats.go"

	"loom.internal/pkg/local"
)

// Broker is a NATS server with JetStream of a test's own, on a loopback port.
// Its streams live as long as the test.
type Broker struct {
	URL string

	opt local.NATSOptions
	srv *local.NATS
}

// NATS starts a broker; it stops when the test ends.
func NATS(tb testing.TB) *Broker {
	tb.Helper()
	b := &Broker{opt: local.NATSOptions{StoreDir: tb.TempDir(), Port: -1, Log: Log(tb)}}
	b.Start(tb)
	tb.Cleanup(b.Stop)
	u, err := url.Parse(b.URL)
	if err != nil {
		tb.Fatal(err)
	}
	_, port, err := net.SplitHostPort(u.Host)
	if err != nil {
		tb.Fatal(err)
	}
	if b.opt.Port, err = strconv.Atoi(port); err != nil {
		tb.Fatal(err)
	}
	return b
}

// Stop takes the broker away, as an outage would: clients see it go, streams
// stay on disk. Stopping a stopped broker does nothing.
func (b *Broker) Stop() {
	if b.srv != nil {
		b.srv.Shutdown()
		b.srv = nil
	}
}

// Start brings a stopped broker back on the same port with the same streams.
func (b *Broker) Start(tb testing.TB) {
	tb.Helper()
	if b.srv != nil {
		tb.Fatal("the broker runs")
	}
	srv, err := local.StartNATS(b.opt)
	if err != nil {
		tb.Fatal(err)
	}
	b.srv, b.URL = srv, srv.ClientURL()
}

// Wipe brings the broker back on the same port without its disk.
func (b *Broker) Wipe(tb testing.TB) {
	tb.Helper()
	b.Stop()
	if err := os.RemoveAll(b.opt.StoreDir); err != nil {
		tb.Fatal(err)
	}
	b.Start(tb)
}

// Conn opens a connection over the loopback port; it is closed when the test ends.
func (b *Broker) Conn(tb testing.TB, opts ...nats.Option) *nats.Conn {
	tb.Helper()
	nc, err := nats.Connect(b.URL, opts...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(nc.Close)
	return nc
}
