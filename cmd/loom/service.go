package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/config"
	"loom.internal/pkg/httpserve"
	"loom.internal/pkg/store"
	"loom.internal/pkg/telemetry"
	"loom.internal/services/analytics"
	"loom.internal/services/dashboard"
	"loom.internal/services/gateway"
	"loom.internal/services/recorder"
)

// process is one service as a process of its own, as the service's own main runs it.
type process struct {
	name, prefix        string
	natsURL             config.Secret
	opsAddr             string
	logLevel, logFormat string

	log   *slog.Logger
	nats  *nats.Conn
	reg   *prometheus.Registry
	ready *telemetry.Readiness
	pools []*pgxpool.Pool
}

// open makes what every service works with. The caller closes it.
func (p *process) open() (err error) {
	if p.log, err = telemetry.NewLogger(os.Stderr, p.logLevel, p.logFormat); err != nil {
		return err
	}
	p.reg, p.ready = telemetry.NewRegistry(), new(telemetry.Readiness)
	p.nats, err = bus.Connect(p.natsURL.Reveal(), p.name, p.log)
	return err
}

func (p *process) database(ctx context.Context, url config.Secret) (*pgxpool.Pool, error) {
	db, err := store.New(ctx, url.Reveal(), store.Options{Name: p.name, Log: p.log})
	if err == nil {
		p.pools = append(p.pools, db)
	}
	return db, err
}

func (p *process) close() {
	if p.nats != nil {
		p.nats.Close()
	}
	for _, db := range p.pools {
		db.Close()
	}
}

type runner interface {
	Run(ctx context.Context) error
}

// run runs the service, and its operators' server if it has one, until ctx ends.
func (p *process) run(ctx context.Context, svc runner) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return httpserve.Optional(ctx, p.opsAddr, p.prefix+"_OPS_ADDR", telemetry.OpsHandler(p.reg, p.ready), httpserve.Options{Log: p.log})
	})
	g.Go(func() error { return svc.Run(ctx) })
	return g.Wait()
}

func serviceCommand(name, short string, run func(ctx context.Context) error) *cobra.Command {
	return &cobra.Command{
		Use:   name,
		Short: short,
		Long:  short + ". Its settings come from the environment; see loom config.",
		Args:  args(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return run(cmd.Context()) },
	}
}

func newGateway() *cobra.Command {
	return serviceCommand("gateway", "Run the gateway alone", func(ctx context.Context) error {
		var cfg gateway.Config
		if err := config.Load(gateway.Prefix, &cfg); err != nil {
			return err
		}
		p := process{name: "gateway", prefix: gateway.Prefix, natsURL: cfg.NATSURL, opsAddr: cfg.OpsAddr, logLevel: cfg.LogLevel, logFormat: cfg.LogFormat}
		defer p.close()
		if err := p.open(); err != nil {
			return err
		}
		ln, err := httpserve.Listen(ctx, cfg.Addr, gateway.Prefix+"_ADDR")
		if err != nil {
			return err
		}
		defer func() { _ = ln.Close() }()
		bodies, err := bus.Connect(cfg.NATSURL.Reveal(), "gateway bodies", p.log)
		if err != nil {
			return err
		}
		defer bodies.Close()
		svc, err := gateway.New(cfg, gateway.Deps{Log: p.log, NATS: p.nats, Bodies: bodies, Metrics: p.reg, Ready: p.ready, Listener: ln})
		if err != nil {
			return err
		}
		return p.run(ctx, svc)
	})
}

func newRecorder() *cobra.Command {
	return serviceCommand("recorder", "Run the recorder alone", func(ctx context.Context) error {
		var cfg recorder.Config
		if err := config.Load(recorder.Prefix, &cfg); err != nil {
			return err
		}
		p := process{name: "recorder", prefix: recorder.Prefix, natsURL: cfg.NATSURL, opsAddr: cfg.OpsAddr, logLevel: cfg.LogLevel, logFormat: cfg.LogFormat}
		defer p.close()
		if err := p.open(); err != nil {
			return err
		}
		db, err := p.database(ctx, cfg.DatabaseURL)
		if err != nil {
			return err
		}
		svc, err := recorder.New(cfg, recorder.Deps{Log: p.log, NATS: p.nats, DB: db, Metrics: p.reg, Ready: p.ready})
		if err != nil {
			return err
		}
		return p.run(ctx, svc)
	})
}

func newAnalytics() *cobra.Command {
	return serviceCommand("analytics", "Run analytics alone", func(ctx context.Context) error {
		var cfg analytics.Config
		if err := config.Load(analytics.Prefix, &cfg); err != nil {
			return err
		}
		p := process{name: "analytics", prefix: analytics.Prefix, natsURL: cfg.NATSURL, opsAddr: cfg.OpsAddr, logLevel: cfg.LogLevel, logFormat: cfg.LogFormat}
		defer p.close()
		if err := p.open(); err != nil {
			return err
		}
		db, err := p.database(ctx, cfg.DatabaseURL)
		if err != nil {
			return err
		}
		svc, err := analytics.New(cfg, analytics.Deps{Log: p.log, NATS: p.nats, DB: db, Metrics: p.reg, Ready: p.ready})
		if err != nil {
			return err
		}
		return p.run(ctx, svc)
	})
}

func newDashboard() *cobra.Command {
	return serviceCommand("dashboard", "Run the dashboard alone", func(ctx context.Context) error {
		var cfg dashboard.Config
		if err := config.Load(dashboard.Prefix, &cfg); err != nil {
			return err
		}
		p := process{name: "dashboard", prefix: dashboard.Prefix, natsURL: cfg.NATSURL, opsAddr: cfg.OpsAddr, logLevel: cfg.LogLevel, logFormat: cfg.LogFormat}
		defer p.close()
		if err := p.open(); err != nil {
			return err
		}
		db, err := p.database(ctx, cfg.DatabaseURL)
		if err != nil {
			return err
		}
		admin, err := p.database(ctx, cfg.AdminDatabaseURL)
		if err != nil {
			return err
		}
		ln, err := httpserve.Listen(ctx, cfg.Addr, dashboard.Prefix+"_ADDR")
		if err != nil {
			return err
		}
		defer func() { _ = ln.Close() }()
		svc, err := dashboard.New(cfg, dashboard.Deps{ //nolint:contextcheck // its handlers take the context of their requests
			Log: p.log, NATS: p.nats, DB: db, AdminDB: admin, Metrics: p.reg, Ready: p.ready, Listener: ln,
		})
		if err != nil {
			return err
		}
		return p.run(ctx, svc)
	})
}
