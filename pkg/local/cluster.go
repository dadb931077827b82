package local

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// maxSocketDir is what is left of 104 bytes (the shortest limit of a socket's
// path, on macOS) for the directory of a socket named .s.PGSQL.5432.
const maxSocketDir = 104 - len("/.s.PGSQL.5432") - 1

func (p *Postgres) passwordFile() string { return filepath.Join(p.opt.Dir, "pg.password") }

// makeSocketDir makes the private directory of the socket: in Dir, or where
// temporary files go if Dir lies too deep.
func (p *Postgres) makeSocketDir() error {
	p.sock = filepath.Join(p.opt.Dir, "run")
	if len(p.sock) > maxSocketDir {
		base := os.TempDir()
		if len(base) > maxSocketDir-len("/loom-4294967295") {
			base = "/tmp"
		}
		dir, err := os.MkdirTemp(base, "loom-")
		if err != nil {
			return err
		}
		p.sock, p.tempSock = dir, true
	}
	if err := give(p.sock, p.account); err != nil {
		return err
	}
	return os.Chmod(p.sock, 0o700) //nolint:gosec // a directory
}

// ensureCluster makes the cluster, or checks that the one there can be used.
func (p *Postgres) ensureCluster(ctx context.Context) error {
	b, err := os.ReadFile(filepath.Join(p.data, "PG_VERSION"))
	if errors.Is(err, fs.ErrNotExist) {
		return p.initCluster(ctx)
	}
	if err != nil {
		return err
	}
	if have := strings.TrimSpace(string(b)); have != p.in.major {
		return fmt.Errorf("the data in %s was written by PostgreSQL %s, and %s is PostgreSQL %s: set LOOM_PG_BIN to the programs of version %s, or move the data with pg_dump or pg_upgrade",
			p.data, have, p.in.bin, p.in.major, have)
	}
	b, err = os.ReadFile(p.passwordFile())
	if err != nil {
		return fmt.Errorf("the password of the cluster %s is gone: restore the file: %w", p.data, err)
	}
	p.password = strings.TrimSpace(string(b))
	return nil
}

// initCluster runs initdb beside the place of the cluster and then moves the
// result there: a run cut short never leaves half a cluster.
func (p *Postgres) initCluster(ctx context.Context) error {
	if left, err := os.ReadDir(p.data); err == nil && len(left) > 0 {
		return fmt.Errorf("%s is not empty and no PostgreSQL cluster: move it away", p.data)
	}
	// A new name each time: what a killed run's initdb has started may still write to
	// the old one, which then goes at the next occasion.
	if old, err := filepath.Glob(p.data + ".init-*"); err == nil {
		for _, dir := range old {
			_ = os.RemoveAll(dir)
		}
	}
	tmp := p.data + ".init-" + rand.Text()[:8]
	if err := give(tmp, p.account); err != nil {
		return err
	}
	p.password = rand.Text()
	pwfile, err := p.lendPassword()
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(pwfile) }()
	args := []string{
		"-D", tmp, "-U", superuser, "-A", "scram-sha-256", "--pwfile", pwfile,
		"-E", "UTF8", "--locale=C", "--no-instructions",
	}
	if !p.opt.Sync {
		args = append(args, "--no-sync")
	}
	cmd := p.command(ctx, "initdb", args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	ended, err := launch(cmd)
	if err == nil {
		err = <-ended
	}
	if err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, bytes.TrimSpace(out.Bytes()))
	}
	if err := writeSynced(p.passwordFile(), p.password+"\n"); err != nil {
		return err
	}
	if err := os.Remove(p.data); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(tmp, p.data)
}

// lendPassword writes the password where only the server's account can read it.
func (p *Postgres) lendPassword() (string, error) {
	path := filepath.Join(p.sock, "initdb.password")
	if err := os.WriteFile(path, []byte(p.password+"\n"), 0o600); err != nil {
		return "", err
	}
	if p.account == nil {
		return path, nil
	}
	return path, os.Chown(path, int(p.account.Uid), int(p.account.Gid))
}

// writeSynced replaces a file as a whole, private to us.
func writeSynced(path, text string) error {
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) //nolint:gosec // inside the data directory
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// stopOrphan ends the server that a killed run may have left in our cluster.
// The caller holds the lock of the directory: nobody needs that server.
func (p *Postgres) stopOrphan(ctx context.Context) error {
	pidfile := filepath.Join(p.data, "postmaster.pid")
	b, err := os.ReadFile(pidfile) //nolint:gosec // inside the data directory
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	first, _, _ := strings.Cut(string(b), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil || pid <= 1 {
		return fmt.Errorf("%s holds no process id: remove it if no PostgreSQL runs on %s", pidfile, p.data)
	}
	if !isPostmaster(pid, p.data) {
		if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			return nil // Postgres sees for itself that the file is stale
		}
		return os.Remove(pidfile) // the number is another process's now, which Postgres would take for a server
	}
	p.opt.Log.WarnContext(ctx, "stopping a PostgreSQL that an earlier run left", slog.Int("pid", pid))
	for _, step := range []struct {
		signal syscall.Signal
		wait   time.Duration
	}{{syscall.SIGINT, fastStop}, {syscall.SIGQUIT, immediateStop}} {
		if err := syscall.Kill(pid, step.signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("stop the PostgreSQL (pid %d) an earlier run left: %w", pid, err)
		}
		if gone(ctx, pid, p.data, step.wait) {
			return nil
		}
	}
	return fmt.Errorf("a PostgreSQL (pid %d) that an earlier run left in %s does not end: stop it", pid, p.data)
}

// gone polls until the server has ended, for d at most.
func gone(ctx context.Context, pid int, data string, d time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for isPostmaster(pid, data) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}
