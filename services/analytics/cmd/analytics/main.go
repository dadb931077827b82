// Command analytics runs the analytics service.
package main

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/sync/errgroup"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/config"
	"loom.internal/pkg/httpserve"
	"loom.internal/pkg/store"
	"loom.internal/pkg/telemetry"
	"loom.internal/services/analytics"
)

func main() {
	if err := run(httpserve.UntilSignal()); err != nil {
		fmt.Fprintln(os.Stderr, "analytics:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	var cfg analytics.Config
	if err := config.Load(analytics.Prefix, &cfg); err != nil {
		return err
	}
	if httpserve.ProbeAsked() {
		return httpserve.Probe(ctx, cfg.OpsAddr, analytics.Prefix+"_OPS_ADDR")
	}
	log, err := telemetry.NewLogger(os.Stderr, cfg.LogLevel, cfg.LogFormat)
	if err != nil {
		return err
	}
	db, err := store.New(ctx, cfg.DatabaseURL.Reveal(), store.Options{Name: "analytics"})
	if err != nil {
		return err
	}
	defer db.Close()
	nc, err := bus.Connect(cfg.NATSURL.Reveal(), "analytics", log)
	if err != nil {
		return err
	}
	defer nc.Close()
	reg, ready := telemetry.NewRegistry(), new(telemetry.Readiness)
	svc, err := analytics.New(cfg, analytics.Deps{Log: log, NATS: nc, DB: db, Metrics: reg, Ready: ready})
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return httpserve.Optional(ctx, cfg.OpsAddr, analytics.Prefix+"_OPS_ADDR", telemetry.OpsHandler(reg, ready), httpserve.Options{Log: log})
	})
	g.Go(func() error { return svc.Run(ctx) })
	return g.Wait()
}
