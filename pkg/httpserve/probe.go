package httpserve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"
)

// probeTimeout is less than what container engines give a health check.
const probeTimeout = 4 * time.Second

// ProbeAsked says that this program was started as `<program> healthcheck`: to ask the
// service that runs beside it, with the same settings, and not to be one. Images of
// services hold nothing else that could ask.
func ProbeAsked() bool { return slices.Equal(os.Args[1:], []string{"healthcheck"}) }

// Probe asks the /readyz at addr, the operators' address of a service on this machine,
// and returns an error that says what fails if it is not ready.
func Probe(ctx context.Context, addr, flagHint string) error {
	if addr == "" {
		return errors.New("nobody to ask: set " + flagHint)
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("want host:port in %s: %w", flagHint, err)
	}
	if ip := net.ParseIP(host); host == "" || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return fmt.Errorf("not ready: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		return fmt.Errorf("not ready: %s", strings.TrimSpace(string(body)))
	}
	return nil
}
