package proc

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports that a child can come back to: below those that kernels give to outgoing
// connections, one of which could otherwise sit on the port while the child is down.
const (
	lowPort  = 20000
	highPort = 32000
)

// FreePort finds a loopback port that nobody listens on.
func FreePort(ctx context.Context) (int, error) {
	var lc net.ListenConfig
	for range 100 {
		port := lowPort + rand.IntN(highPort-lowPort) //nolint:gosec // any free one will do
		ln, err := lc.Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, ln.Close()
		}
	}
	return 0, errors.New("no free port on 127.0.0.1 between 20000 and 32000")
}
