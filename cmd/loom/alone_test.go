package main_test

import (
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// freeAddr is an address nobody listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// TestServicesWaitForTheirEngines runs each service while NATS and Postgres are away:
// it is healthy, not ready, says why, and stops when asked.
func TestServicesWaitForTheirEngines(t *testing.T) {
	t.Parallel()
	const masterKey = "ENCRYPTION_MASTER_KEY=000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
	for _, service := range []string{"gateway", "recorder", "analytics", "dashboard"} {
		t.Run(service, func(t *testing.T) {
			t.Parallel()
			prefix, ops, nowhere := "LOOM_"+strings.ToUpper(service), freeAddr(t), freeAddr(t)
			cmd := exec.Command(binary, service)
			var stderr output
			cmd.Stderr = &stderr
			cmd.Env = environment(masterKey, prefix+"_SPOOL_DIR="+t.TempDir(),
				prefix+"_OPS_ADDR="+ops, prefix+"_ADDR=127.0.0.1:0", prefix+"_NATS_URL=nats://"+nowhere,
				prefix+"_DATABASE_URL=postgres://loom:x@"+nowhere+"/loom", prefix+"_ADMIN_DATABASE_URL=postgres://loom:x@"+nowhere+"/loom",
			)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			t.Cleanup(func() { _ = cmd.Process.Kill() })

			for path, want := range map[string]int{"/healthz": http.StatusOK, "/readyz": http.StatusServiceUnavailable, "/metrics": http.StatusOK} {
				eventually(t, 10*time.Second, func() error {
					resp, err := http.Get("http://" + ops + path)
					if err != nil {
						return fmt.Errorf("%w\n%s", err, stderr.String())
					}
					defer resp.Body.Close()
					if resp.StatusCode != want {
						return fmt.Errorf("%s: got %d, want %d", path, resp.StatusCode, want)
					}
					return nil
				})
			}
			eventually(t, 5*time.Second, func() error {
				if s := stderr.String(); !strings.Contains(s, "NATS not reachable") {
					return fmt.Errorf("the log does not say that NATS is away:\n%s", s)
				}
				return nil
			})
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-ended:
				if err != nil {
					t.Errorf("SIGTERM: %v\n%s", err, stderr.String())
				}
			case <-time.After(20 * time.Second):
				t.Errorf("does not stop\n%s", stderr.String())
			}
		})
	}
}
