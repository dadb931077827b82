package rig

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strings"
)

// Spooled is how many traces the gateways hold that are not over, or not known to be in
// Postgres.
func (r *Rig) Spooled(ctx context.Context) (n int, err error) {
	for _, base := range r.metrics[Gateway] {
		for _, name := range []string{"loom_gateway_spool_events", "loom_gateway_spool_open"} {
			v, err := metric(ctx, base+"/metrics", name)
			if err != nil {
				return n, err
			}
			n += int(v)
		}
	}
	return n, nil
}

// metric reads a metric without labels.
func metric(ctx context.Context, url, name string) (v float64, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			_, err := fmt.Sscan(text, &v)
			return v, err
		}
	}
	if err := lines.Err(); err != nil {
		return 0, err
	}
	return 0, fmt.Errorf("%s has no %s", url, name)
}
