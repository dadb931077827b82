package up

import (
	"context"
	"net"

	"loom.internal/pkg/httpserve"
)

// listeners are every port of ours, opened before anything else is started: a port
// that is taken shows at once. Closing one that has been served already is no error.
type listeners struct {
	gateway, dashboard net.Listener
	ops                net.Listener // nil: off
}

func listen(ctx context.Context, s Settings) (l listeners, err error) {
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	l.gateway, err = httpserve.Listen(ctx, s.GatewayAddr, "--gateway-addr or LOOM_GATEWAY_ADDR")
	if err != nil {
		return l, err
	}
	l.dashboard, err = httpserve.Listen(ctx, s.DashboardAddr, "--dashboard-addr or LOOM_DASHBOARD_ADDR")
	if err != nil {
		return l, err
	}
	if s.OpsAddr != "" {
		if l.ops, err = httpserve.Listen(ctx, s.OpsAddr, "--ops-addr or LOOM_OPS_ADDR"); err != nil {
			return l, err
		}
	}
	if s.NATSAddr == "" {
		return l, nil
	}
	// The NATS server opens its port itself: only see now that it can.
	probe, err := httpserve.Listen(ctx, s.NATSAddr, "--nats-addr or LOOM_NATS_ADDR")
	if err != nil {
		return l, err
	}
	return l, probe.Close()
}

func (l listeners) close() {
	for _, ln := range []net.Listener{l.gateway, l.dashboard, l.ops} {
		if ln != nil {
			_ = ln.Close()
		}
	}
}

// address is the URL of a listener for people on this machine.
func address(ln net.Listener) string {
	host, port, err := net.SplitHostPort(ln.Addr().String())
	if err != nil {
		return "http://" + ln.Addr().String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}
