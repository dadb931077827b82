package rig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Export writes into a directory what operators take away from a running system: a dump of
// the database by pg_dump, and what every process tells of itself at /metrics.
func (r *Rig) Export(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	var errs []error
	for kind, bases := range r.metrics {
		for n, base := range bases {
			errs = append(errs, save(ctx, base+"/metrics", filepath.Join(dir, fmt.Sprintf("%s-%d.metrics", kind, n))))
		}
	}
	bin := filepath.Join(r.PGBin, "pg_dump")
	if r.PGBin == "" {
		bin = "pg_dump"
	}
	dsn, err := r.dsn(database, "", "")
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, bin, "--dbname="+dsn, "--file="+filepath.Join(dir, "dump.sql")) //nolint:gosec // the runner's own choice
	if out, err := cmd.CombinedOutput(); err != nil {
		errs = append(errs, fmt.Errorf("pg_dump (Debian's postgresql-client has it): %w: %s", err, strings.TrimSpace(string(out))))
	}
	return errors.Join(errs...)
}

func save(ctx context.Context, url, path string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	f, err := os.Create(path) //nolint:gosec // in the run's directory
	if err != nil {
		return err
	}
	n, err := io.Copy(f, resp.Body)
	if n == 0 && err == nil {
		err = fmt.Errorf("%s is empty", url)
	}
	return errors.Join(err, f.Close())
}
