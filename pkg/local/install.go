package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
)

// installer puts Postgres on a Debian machine.
type installer struct {
	etc string // "/etc"
	run func(ctx context.Context, name string, args ...string) error
	log *slog.Logger
}

// canInstall reports whether this is a Debian machine and we are root.
func canInstall() bool {
	_, err := os.Stat("/etc/debian_version")
	return err == nil && os.Getuid() == 0
}

// install runs apt-get. Debian would make and start a cluster of its own;
// createcluster.conf says not to, unless the operator has said otherwise there.
func (i installer) install(ctx context.Context) error {
	i.log.InfoContext(ctx, "installing PostgreSQL with apt-get, once")
	conf := filepath.Join(i.etc, "postgresql-common", "createcluster.conf")
	if _, err := os.Stat(conf); errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(conf), 0o755); err != nil { //nolint:gosec // as Debian makes it
			return fmt.Errorf("install PostgreSQL: %w", err)
		}
		if err := os.WriteFile(conf, []byte("create_main_cluster = false\n"), 0o644); err != nil { //nolint:gosec // as Debian makes it
			return fmt.Errorf("install PostgreSQL: %w", err)
		}
	}
	for _, args := range [][]string{
		{"update", "-q"},
		{"install", "-q", "-y", "--no-install-recommends", "-o", "Dpkg::Options::=--force-confold", "postgresql"},
	} {
		if err := i.run(ctx, "apt-get", args...); err != nil {
			return fmt.Errorf("install PostgreSQL: apt-get %s: %w", args[0], err)
		}
	}
	return nil
}

// runQuietly runs a program; its output is only for the error.
func runQuietly(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // apt-get, by install
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w\n%s", err, bytes.TrimSpace(out[max(0, len(out)-2048):]))
	}
	return nil
}
