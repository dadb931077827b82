// Package up runs all of Loom in one process: Postgres as a child, NATS within, the
// four services, each with its own rights, as they would run apart.
package up

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"loom.internal/cmd/loom/internal/devenv"
	"loom.internal/cmd/loom/internal/manifestfile"
	"loom.internal/pkg/local"
)

// Run starts everything, prints a start page to out, and runs until ctx ends or
// something fails. What was started is stopped in the opposite order: gateway and
// dashboard, then recorder and analytics, then NATS, then Postgres.
func Run(ctx context.Context, s Settings, out io.Writer, log *slog.Logger) (err error) {
	began := time.Now()
	var file *manifestfile.File
	if s.Config != "" {
		if file, err = manifestfile.Load(s.Config, os.LookupEnv); err != nil {
			return fmt.Errorf("the manifest has faults, nothing was started:\n%w", err)
		}
	}
	unlock, err := local.LockDir(s.DataDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	ln, err := listen(ctx, s)
	if err != nil {
		return err
	}
	defer ln.close()
	key, err := findMasterKey(s.DataDir, s.MasterKey)
	if err != nil {
		return err
	}

	eng, err := startEngines(ctx, s, log)
	if err != nil {
		return interrupted(ctx, err)
	}
	defer func() { err = errors.Join(err, eng.stop(context.WithoutCancel(ctx))) }()
	closeDoors, err := eng.openDoors(s.DataDir)
	if err != nil {
		return err
	}
	defer closeDoors()
	svc, err := newServices(ctx, s, key.versions, eng, ln)
	defer svc.close()
	if err != nil {
		return err
	}
	conf, err := configurator{dashboard: svc.dashboard, settings: s, key: key, file: file}.run(ctx)
	if err != nil {
		return interrupted(ctx, err)
	}

	return svc.run(ctx, func() error {
		conf.env.BaseURL, conf.env.DashboardURL = address(ln.gateway)+"/v1", address(ln.dashboard)
		if err := devenv.Write(s.DataDir, conf.env); err != nil {
			return err
		}
		return startPage{settings: s, key: key, configured: conf, ops: ln.ops, took: time.Since(began)}.write(out)
	})
}

// interrupted makes a start that was stopped no error.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return failure(ctx)
}
