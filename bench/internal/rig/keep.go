package rig

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"loom.internal/pkg/local"
)

// Sub-commands of the runner's own binary.
const (
	KeepNATS     = "keep-nats"
	KeepPostgres = "keep-postgres"
)

const (
	maxPayload = 2 << 20
	dsnFile    = "superuser.dsn"
	pidFile    = "server.pid"
	startLimit = 60 * time.Second
)

// KeepNATSMain is a NATS server as a process of its own, until ctx ends. Every write is
// synced before it is acknowledged.
func KeepNATSMain(ctx context.Context, dir string, port int) error {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	srv, err := local.StartNATS(local.NATSOptions{StoreDir: dir, Port: port, MaxPayload: maxPayload, Sync: true, Log: log})
	if err != nil {
		return err
	}
	<-ctx.Done()
	srv.Shutdown()
	return nil
}

// KeepPostgresMain keeps a Postgres server as its child, until ctx ends or the server's
// own end. It writes the superuser's URL into dir.
func KeepPostgresMain(ctx context.Context, dir, bin string) error {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	pg, err := startPostgres(ctx, local.PostgresOptions{Dir: dir, BinDir: bin, InstallDebian: true, Sync: true, MaxConnections: 100, Log: log})
	if err != nil {
		return err
	}
	if err := announce(dir, pg); err != nil {
		return errors.Join(err, pg.Stop(context.WithoutCancel(ctx)))
	}
	defer func() { _ = os.Remove(filepath.Join(dir, pidFile)) }() // taken, if it was killed
	select {
	case <-ctx.Done():
		return pg.Stop(context.WithoutCancel(ctx))
	case <-pg.Done():
		return pg.Err()
	}
}

// startPostgres tries until the backends of a killed server have let go of its memory.
func startPostgres(ctx context.Context, o local.PostgresOptions) (*local.Postgres, error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		pg, err := local.StartPostgres(ctx, o)
		if err == nil || errors.Is(err, local.ErrNoPostgres) {
			return pg, err
		}
		o.Log.WarnContext(ctx, "PostgreSQL not started, trying again", slog.Any("error", err))
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-tick.C:
		}
	}
}

// announce writes what the runner needs: the superuser's URL, and the server's pid, which
// a file of the server's own would go on naming after its death.
func announce(dir string, pg *local.Postgres) error {
	b, err := os.ReadFile(filepath.Join(dir, "pg", "postmaster.pid")) //nolint:gosec // in the run's directory
	if err != nil {
		return err
	}
	pid, _, _ := strings.Cut(string(b), "\n")
	return errors.Join(
		os.WriteFile(filepath.Join(dir, dsnFile), []byte(pg.SuperDSN("postgres")), 0o600),
		os.WriteFile(filepath.Join(dir, pidFile), []byte(pid), 0o600)) //nolint:gosec // in the run's directory
}

// takePostmaster gives the pid of the server that the keeper of dir keeps, once: it is to
// be killed, and then the number may be another's.
func takePostmaster(dir string) (int, error) {
	path := filepath.Join(dir, pidFile)
	b, err := os.ReadFile(path) //nolint:gosec // in the run's directory
	if err != nil {
		return 0, err
	}
	pid, err := strconv.Atoi(string(b))
	return pid, errors.Join(err, os.Remove(path))
}
