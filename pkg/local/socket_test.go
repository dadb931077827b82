package local_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"loom.internal/pkg/local"
)

// Another process reaches the server that listens on no port over its socket, which only
// this account may use.
func TestServeSocket(t *testing.T) {
	for name, dir := range map[string]string{
		"in the directory": t.TempDir(), "too deep": filepath.Join(t.TempDir(), strings.Repeat("deep", 30)),
	} {
		t.Run(name, func(t *testing.T) {
			n := startNATS(t, local.NATSOptions{StoreDir: filepath.Join(t.TempDir(), "nats")})
			path, stop, err := n.ServeSocket(dir)
			if err != nil {
				t.Fatal(err)
			}
			if st, err := os.Stat(filepath.Dir(path)); err != nil || st.Mode().Perm() != 0o700 {
				t.Errorf("directory of the socket: %v, %v, want it private", st, err)
			}
			for range 2 {
				nc, err := nats.Connect("nats://any", local.DialNATS(path))
				if err != nil {
					t.Fatal(err)
				}
				sub, err := nc.SubscribeSync("a")
				if err != nil {
					t.Fatal(err)
				}
				if err := nc.Publish("a", make([]byte, 1<<19)); err != nil {
					t.Fatal(err)
				}
				if msg, err := sub.NextMsg(10 * time.Second); err != nil || len(msg.Data) != 1<<19 {
					t.Errorf("got %v, %v", msg, err)
				}
				nc.Close()
			}
			stop()
			if nc, err := nats.Connect("nats://any", local.DialNATS(path)); err == nil {
				nc.Close()
				t.Error("the socket still takes connections")
			}
		})
	}
}
