package rig

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

// Spooled is how many traces the gateways hold that are not over, or not known to be in
// Postgres, and how many they see in spools that nobody holds. The latter they look at
// every ten seconds.
func (r *Rig) Spooled(ctx context.Context) (n int, err error) {
	for _, base := range r.metrics[Gateway] {
		for _, name := range []string{
			"loom_gateway_spool_events", "loom_gateway_spool_open", "loom_gateway_spools_adopting_events", "loom_gateway_spools_orphaned_events",
		} {
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

// Adoptions counts how often a gateway began to empty the spool of another.
func (r *Rig) Adoptions() (n int, err error) {
	logs, err := filepath.Glob(filepath.Join(r.LogDir(), Gateway+"-*.log"))
	if err != nil {
		return 0, err
	}
	for _, name := range logs {
		f, err := os.Open(name) //nolint:gosec // of this run
		if err != nil {
			return n, err
		}
		lines := bufio.NewReader(f)
		for err == nil {
			var line string
			if line, err = lines.ReadString('\n'); strings.Contains(line, "adopting the spool of a gateway that is gone") {
				n++
			}
		}
		if err = f.Close(); err != nil {
			return n, err
		}
	}
	return n, nil
}
