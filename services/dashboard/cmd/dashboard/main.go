// Command dashboard runs the dashboard service.
package main

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/sync/errgroup"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/config"
	"loom.internal/pkg/httpserve"
	"loom.internal/pkg/telemetry"
	"loom.internal/services/dashboard"
)

func main() {
	if err := run(httpserve.UntilSignal()); err != nil {
		fmt.Fprintln(os.Stderr, "dashboard:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	var cfg dashboard.Config
	if err = config.Load(dashboard.Prefix, &cfg); err != nil {
		return err
	}
	if httpserve.ProbeAsked() {
		return httpserve.Probe(ctx, cfg.OpsAddr, dashboard.Prefix+"_OPS_ADDR")
	}
	reg, ready := telemetry.NewRegistry(), new(telemetry.Readiness)
	d := dashboard.Deps{Metrics: reg, Ready: ready}
	if d.Log, err = telemetry.NewLogger(os.Stderr, cfg.LogLevel, cfg.LogFormat); err != nil {
		return err
	}
	if d.DB, d.AdminDB, err = cfg.Pools(ctx); err != nil {
		return err
	}
	defer d.DB.Close()
	defer d.AdminDB.Close()
	if d.NATS, err = bus.Connect(cfg.NATSURL.Reveal(), "dashboard", d.Log); err != nil {
		return err
	}
	defer d.NATS.Close()
	svc, err := dashboard.New(cfg, d) //nolint:contextcheck // each request brings its own
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return httpserve.Optional(ctx, cfg.OpsAddr, dashboard.Prefix+"_OPS_ADDR", telemetry.OpsHandler(reg, ready), httpserve.Options{Log: d.Log})
	})
	g.Go(func() error { return svc.Run(ctx) })
	return g.Wait()
}
