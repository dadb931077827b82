package httpserve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
)

// Listen opens a TCP listener on addr ("host:port", ":port"). When it cannot,
// the error says why and names the setting to change, which is flagHint, such
// as "--gateway-addr or LOOM_GATEWAY_ADDR".
func Listen(ctx context.Context, addr, flagHint string) (net.Listener, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", addr)
	if err == nil {
		return ln, nil
	}
	_, port, splitErr := net.SplitHostPort(addr)
	switch {
	case splitErr != nil:
		return nil, fmt.Errorf("cannot listen on %q: want host:port or :port in %s: %w", addr, flagHint, err)
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("port %s is taken by another program: stop it, or choose another port with %s: %w", port, flagHint, err)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("port %s may not be opened by this account: choose one above 1023 with %s: %w", port, flagHint, err)
	default:
		return nil, fmt.Errorf("cannot listen on %q: change it with %s: %w", addr, flagHint, err)
	}
}
