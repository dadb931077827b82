package testkit

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/testcontainers/testcontainers-go"

	"loom.internal/pkg/local"
)

const (
	natsImage = "nats:2.15-alpine"
	natsPort  = "4222/tcp"
	natsDir   = "/data"
	// What the server of a container is started with.
	natsConfig = `server_name: loom
port: 4222
jetstream { store_dir: ` + natsDir + `, sync_interval: always }
`
)

// Broker is a NATS server with JetStream of a test's own, on a loopback port.
// Its streams live as long as the test.
type Broker struct {
	URL string

	srv     natsServer
	running bool
}

// natsServer is where a broker runs.
type natsServer interface {
	start() (url string, err error) // the same each time
	stop() error                    // streams stay
	wipe() error                    // of a stopped one: streams are gone
	remove() error                  // of a stopped one
}

var saysNATS sync.Once

// NATS starts a broker; it stops when the test ends.
func NATS(tb testing.TB) *Broker {
	tb.Helper()
	containers, err := inContainers()
	if err != nil {
		tb.Fatal(err)
	}
	used := "in the test's process"
	if containers {
		used = "containers of " + natsImage
	}
	saysNATS.Do(func() { fmt.Fprintln(os.Stderr, "testkit: NATS:", used) })
	if containers {
		return startBroker(tb, &natsContainer{})
	}
	return NATSInProcess(tb)
}

// NATSInProcess is NATS for a test that reads the broker's files, which are in a
// temporary directory of the test: it never runs in a container.
func NATSInProcess(tb testing.TB) *Broker {
	tb.Helper()
	return startBroker(tb, &natsInProcess{opt: local.NATSOptions{StoreDir: tb.TempDir(), Port: -1, Log: Log(tb)}})
}

func startBroker(tb testing.TB, srv natsServer) *Broker {
	tb.Helper()
	b := &Broker{srv: srv}
	tb.Cleanup(func() {
		b.Stop()
		if err := b.srv.remove(); err != nil {
			tb.Error(err)
		}
	})
	b.Start(tb)
	return b
}

// Stop takes the broker away, as an outage would: clients see it go, streams
// stay on disk. Stopping a stopped broker does nothing.
func (b *Broker) Stop() {
	if !b.running {
		return
	}
	b.running = false
	if err := b.srv.stop(); err != nil {
		panic(fmt.Sprintf("stop the broker: %v", err)) // only an engine that fails: no test has a use for it
	}
}

// Start brings a stopped broker back on the same port with the same streams.
func (b *Broker) Start(tb testing.TB) {
	tb.Helper()
	if b.running {
		tb.Fatal("the broker runs")
	}
	var err error
	if b.URL, err = b.srv.start(); err != nil {
		tb.Fatal(err)
	}
	b.running = true
}

// Wipe brings the broker back on the same port without its disk.
func (b *Broker) Wipe(tb testing.TB) {
	tb.Helper()
	b.Stop()
	if err := b.srv.wipe(); err != nil {
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

// natsInProcess is a server in the test's process.
type natsInProcess struct {
	opt local.NATSOptions
	srv *local.NATS
}

func (n *natsInProcess) start() (string, error) {
	var err error
	if n.srv, err = local.StartNATS(n.opt); err != nil {
		return "", err
	}
	url := n.srv.ClientURL()
	_, port, _ := strings.Cut(strings.TrimPrefix(url, "nats://"), ":")
	n.opt.Port, err = strconv.Atoi(port)
	return url, err
}

func (n *natsInProcess) stop() error {
	n.srv.Shutdown()
	return nil
}

func (n *natsInProcess) wipe() error { return os.RemoveAll(n.opt.StoreDir) }

func (*natsInProcess) remove() error { return nil }

// natsContainer is a server in a container. Its port on this machine is chosen once: one
// that the engine chooses is another after each stop.
type natsContainer struct {
	c    *testcontainers.DockerContainer
	addr string
}

func (n *natsContainer) start() (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	var err error
	if n.c != nil {
		err = n.c.Start(ctx)
	} else {
		err = n.create(ctx)
	}
	if err != nil {
		return "", fmt.Errorf("start a container of %s: %w", natsImage, err)
	}
	url := "nats://" + n.addr
	return url, awaitNATS(ctx, url)
}

// create makes the container and starts it, in a few tries: somebody may be quicker to
// take the port.
func (n *natsContainer) create(ctx context.Context) error {
	var errs error
	for range 5 {
		addr := n.addr
		if addr == "" {
			l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is closed at once
			if err != nil {
				return err
			}
			addr = l.Addr().String()
			_ = l.Close()
		}
		host, port, _ := net.SplitHostPort(addr)
		c, err := runContainer(ctx, natsImage,
			testcontainers.WithCmd("-c", "/nats.conf"),
			testcontainers.WithFiles(testcontainers.ContainerFile{Reader: strings.NewReader(natsConfig), ContainerFilePath: "/nats.conf", FileMode: 0o444}),
			testcontainers.WithExposedPorts(natsPort),
			testcontainers.WithHostConfigModifier(func(hc *container.HostConfig) {
				binding := network.PortBinding{HostPort: port}
				_ = binding.HostIP.UnmarshalText([]byte(host)) // it is an address that was listened on
				hc.PortBindings = network.PortMap{network.MustParsePort(natsPort): {binding}}
			}))
		if err == nil {
			n.c, n.addr = c, addr
			return nil
		}
		errs = errors.Join(errs, err, testcontainers.TerminateContainer(c))
	}
	return errs
}

func (n *natsContainer) stop() error {
	patience := 10 * time.Second
	return n.c.Stop(context.Background(), &patience)
}

func (n *natsContainer) wipe() error {
	err := n.remove()
	n.c = nil
	return err
}

func (n *natsContainer) remove() error {
	if n.c == nil {
		return nil
	}
	return testcontainers.TerminateContainer(n.c)
}

// awaitNATS waits until a server answers whose JetStream does. The engine takes
// connections to the port before the server does.
func awaitNATS(ctx context.Context, url string) error {
	for {
		err := asksJetStream(ctx, url)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer: %w", url, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func asksJetStream(ctx context.Context, url string) error {
	nc, err := nats.Connect(url)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	_, err = js.AccountInfo(ctx)
	return err
}
