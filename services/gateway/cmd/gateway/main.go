// Command gateway runs Loom's gateway as a process of its own.
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
	"loom.internal/services/gateway"
)

func main() {
	telemetry.SilenceStandardLog()
	if err := run(httpserve.UntilSignal()); err != nil {
		fmt.Fprintln(os.Stderr, "gateway:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	var cfg gateway.Config
	if err := config.Load(gateway.Prefix, &cfg); err != nil {
		return err
	}
	if httpserve.ProbeAsked() {
		return httpserve.Probe(ctx, cfg.OpsAddr, gateway.Prefix+"_OPS_ADDR")
	}
	log, err := telemetry.NewLogger(os.Stderr, cfg.LogLevel, cfg.LogFormat)
	if err != nil {
		return err
	}
	nc, err := bus.Connect(cfg.NATSURL.Reveal(), "gateway", log)
	if err != nil {
		return err
	}
	defer nc.Close()
	bodies, err := bus.Connect(cfg.NATSURL.Reveal(), "gateway bodies", log)
	if err != nil {
		return err
	}
	defer bodies.Close()
	metrics, ready := telemetry.NewRegistry(), new(telemetry.Readiness)
	service, err := gateway.New(cfg, gateway.Deps{Log: log, Metrics: metrics, Ready: ready, NATS: nc, Bodies: bodies})
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return httpserve.Optional(ctx, cfg.OpsAddr, gateway.Prefix+"_OPS_ADDR", gateway.Ops(metrics, ready), httpserve.Options{Log: log})
	})
	g.Go(func() error { return service.Run(ctx) })
	return g.Wait()
}
