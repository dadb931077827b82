package local_test

import (
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"loom.internal/pkg/local"
)

func itoa(n int) string { return strconv.Itoa(n) }

func startNATS(t *testing.T, opt local.NATSOptions) *local.NATS {
	t.Helper()
	n, err := local.StartNATS(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Shutdown)
	return n
}

func connect(t *testing.T, n *local.NATS, opts ...nats.Option) jetstream.JetStream {
	t.Helper()
	nc, err := n.Connect(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func TestNATSInProcessKeepsStreams(t *testing.T) {
	opt := local.NATSOptions{StoreDir: t.TempDir(), Sync: true, MaxPayload: 2 << 20}
	n := startNATS(t, opt)
	if url := n.ClientURL(); url != "" {
		t.Errorf("URL without a listener: got %q", url)
	}
	js := connect(t, n)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "A", Subjects: []string{"a"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "a", make([]byte, 3<<19)); err != nil {
		t.Fatalf("1.5 MiB under a limit of 2 MiB: %v", err)
	}
	js.Conn().Close()
	n.Shutdown()
	js = connect(t, startNATS(t, opt))
	s, err := js.Stream(t.Context(), "A")
	if err != nil {
		t.Fatal(err)
	}
	if got := s.CachedInfo().State.Msgs; got != 1 {
		t.Errorf("messages after a restart: got %d, want 1", got)
	}
}

func TestNATSListener(t *testing.T) {
	n := startNATS(t, local.NATSOptions{StoreDir: t.TempDir(), Port: -1})
	nc, err := nats.Connect(n.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := nc.Publish("x", nil); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	js := connect(t, n)
	if _, err := js.AccountInfo(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestNATSFaults(t *testing.T) {
	if _, err := local.StartNATS(local.NATSOptions{}); err == nil {
		t.Error("no directory: got no error")
	}
	if _, err := local.StartNATS(local.NATSOptions{StoreDir: "/dev/null/x"}); err == nil {
		t.Error("impossible directory: got no error")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	port := ln.Addr().(*net.TCPAddr).Port
	n, err := local.StartNATS(local.NATSOptions{StoreDir: t.TempDir(), Port: port})
	if err == nil {
		n.Shutdown()
	}
	if err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("taken port: got %v", err)
	}
}
