package up

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"loom.internal/pkg/config"
	"loom.internal/pkg/httpserve"
	"loom.internal/pkg/store"
	"loom.internal/pkg/telemetry"
	"loom.internal/services/analytics"
	"loom.internal/services/dashboard"
	"loom.internal/services/gateway"
	"loom.internal/services/recorder"
)

const readyPatience = 15 * time.Second

// services are the four, with what each works with: its own database role and its own
// connection to NATS, as if it were a process.
type services struct {
	front     map[string]runner // take requests: stop first
	back      map[string]runner // take what those leave
	dashboard *dashboard.Service

	engines   *engines
	listeners listeners
	registry  *prometheus.Registry
	ready     map[string]*telemetry.Readiness
	pools     []*pgxpool.Pool
	conns     []*nats.Conn
	log       *slog.Logger
}

type runner interface {
	Run(ctx context.Context) error
}

// newServices wires the services; none runs yet. The caller closes them, whatever the
// error.
func newServices(ctx context.Context, s Settings, key config.VersionedSecret, e *engines, l listeners) (*services, error) {
	v := &services{
		engines: e, listeners: l, log: e.log,
		registry: telemetry.NewRegistry(), ready: make(map[string]*telemetry.Readiness),
	}
	rec, err := v.newRecorder(ctx)
	if err != nil {
		return v, err
	}
	ana, err := v.newAnalytics(ctx)
	if err != nil {
		return v, err
	}
	if v.dashboard, err = v.newDashboard(ctx, s, key); err != nil {
		return v, err
	}
	gw, err := v.newGateway(s, key)
	if err != nil {
		return v, err
	}
	v.front = map[string]runner{"gateway": gw, "dashboard": v.dashboard}
	v.back = map[string]runner{"recorder": rec, "analytics": ana}
	return v, nil
}

func (v *services) newRecorder(ctx context.Context) (*recorder.Service, error) {
	p, err := v.parts("recorder")
	if err != nil {
		return nil, err
	}
	db, err := v.pool(ctx, "loom_recorder")
	if err != nil {
		return nil, err
	}
	cfg := recorder.Config{DatabaseURL: given}
	if err := config.Load(recorder.Prefix, &cfg); err != nil {
		return nil, err
	}
	return recorder.New(cfg, recorder.Deps{Log: p.log, NATS: p.nats, DB: db, Metrics: p.metrics, Ready: p.ready})
}

func (v *services) newAnalytics(ctx context.Context) (*analytics.Service, error) {
	p, err := v.parts("analytics")
	if err != nil {
		return nil, err
	}
	db, err := v.pool(ctx, "loom_analytics")
	if err != nil {
		return nil, err
	}
	cfg := analytics.Config{DatabaseURL: given}
	if err := config.Load(analytics.Prefix, &cfg); err != nil {
		return nil, err
	}
	return analytics.New(cfg, analytics.Deps{Log: p.log, NATS: p.nats, DB: db, Metrics: p.metrics, Ready: p.ready})
}

func (v *services) newDashboard(ctx context.Context, s Settings, key config.VersionedSecret) (*dashboard.Service, error) {
	p, err := v.parts("dashboard")
	if err != nil {
		return nil, err
	}
	db, err := v.pool(ctx, "loom_dashboard")
	if err != nil {
		return nil, err
	}
	admin, err := v.pool(ctx, "loom_admin")
	if err != nil {
		return nil, err
	}
	cfg := dashboard.Config{DatabaseURL: given, AdminDatabaseURL: given, MasterKey: key}
	if err := config.Load(dashboard.Prefix, &cfg); err != nil {
		return nil, err
	}
	cfg.MasterKey, cfg.Drain, cfg.GatewayURL = key, s.Drain, address(v.listeners.gateway)
	return dashboard.New(cfg, dashboard.Deps{ //nolint:contextcheck // its handlers take the context of their requests
		Log: p.log, NATS: p.nats, DB: db, AdminDB: admin, Metrics: p.metrics, Ready: p.ready, Listener: v.listeners.dashboard,
	})
}

func (v *services) newGateway(s Settings, key config.VersionedSecret) (*gateway.Service, error) {
	p, err := v.parts("gateway")
	if err != nil {
		return nil, err
	}
	bodies, err := v.connect("gateway bodies")
	if err != nil {
		return nil, err
	}
	cfg := gateway.Config{MasterKey: key}
	if err := config.Load(gateway.Prefix, &cfg); err != nil {
		return nil, err
	}
	cfg.MasterKey, cfg.Drain, cfg.AllowPrivateUpstreams = key, s.Drain, s.AllowPrivateUpstreams
	cfg.SpoolDir = filepath.Join(s.DataDir, "spool")
	return gateway.New(cfg, gateway.Deps{
		Log: p.log, NATS: p.nats, Bodies: bodies, Metrics: p.metrics, Ready: p.ready, Listener: v.listeners.gateway,
	})
}

// given stands for what a service is handed open instead of as an address.
const given = config.Secret("given")

// parts are what every service gets.
type parts struct {
	log     *slog.Logger
	nats    *nats.Conn
	metrics prometheus.Registerer
	ready   *telemetry.Readiness
}

func (v *services) parts(service string) (parts, error) {
	nc, err := v.connect(service)
	if err != nil {
		return parts{}, err
	}
	v.ready[service] = new(telemetry.Readiness)
	return parts{
		log: v.log.With(slog.String("service", service)), nats: nc, ready: v.ready[service],
		metrics: prometheus.WrapRegistererWith(prometheus.Labels{"service": service}, v.registry),
	}, nil
}

func (v *services) connect(name string) (*nats.Conn, error) {
	nc, err := v.engines.connect(name)
	if err != nil {
		return nil, err
	}
	v.conns = append(v.conns, nc)
	return nc, nil
}

func (v *services) pool(ctx context.Context, role string) (*pgxpool.Pool, error) {
	dsn, err := v.engines.dsn(role)
	if err != nil {
		return nil, err
	}
	db, err := store.New(ctx, dsn, store.Options{Name: role})
	if err != nil {
		return nil, err
	}
	v.pools = append(v.pools, db)
	return db, nil
}

// close gives the connections back, in the order a stop needs.
func (v *services) close() {
	for _, nc := range v.conns {
		nc.Close()
	}
	for _, db := range v.pools {
		db.Close()
	}
}

// run runs the services until ctx ends or something fails. When all of them are ready
// it calls onReady. It returns when they have stopped.
func (v *services) run(ctx context.Context, onReady func() error) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	asked := context.WithoutCancel(ctx) // what ends the groups is this function, in its order

	back, stopBack := v.start(asked, v.back, fail)
	front, stopFront := v.start(asked, v.front, fail)
	ops, stopOps := v.startOps(asked, fail)

	err := v.waitReady(ctx)
	if err == nil {
		err = onReady()
	}
	if err == nil {
		err = v.wait(ctx)
	}
	v.log.InfoContext(ctx, "stopping")

	stopFront()
	err = errors.Join(err, front())
	if v.engines.alive() {
		v.catchUp(asked)
	}
	stopBack()
	err = errors.Join(err, back())
	stopOps()
	return errors.Join(err, ops())
}

// start runs a group of services. The first that ends without being asked to fails
// everything. wait returns when all have ended; stop asks them to.
func (v *services) start(ctx context.Context, group map[string]runner, fail context.CancelCauseFunc) (wait func() error, stop func()) {
	ctx, stop = context.WithCancel(ctx)
	var g errgroup.Group
	for name, svc := range group {
		g.Go(func() error {
			err := svc.Run(ctx)
			if err != nil {
				err = fmt.Errorf("%s: %w", name, err)
			}
			if ctx.Err() == nil {
				fail(errors.Join(fmt.Errorf("the %s ended by itself", name), err))
				return nil // told by fail
			}
			return err
		})
	}
	return g.Wait, stop
}

func (v *services) startOps(ctx context.Context, fail context.CancelCauseFunc) (wait func() error, stop func()) {
	if v.listeners.ops == nil {
		return func() error { return nil }, func() {}
	}
	return v.start(ctx, map[string]runner{"ops server": opsServer{v}}, fail)
}

// wait returns when it is time to stop: nil when asked to, else why.
func (v *services) wait(ctx context.Context) error {
	select {
	case <-v.engines.died():
		return v.engines.postgres.Err()
	case <-ctx.Done():
		return failure(ctx)
	}
}

// failure is why ctx ended, nil if only because a stop was asked for.
func failure(ctx context.Context) error {
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// waitReady returns when every service is ready.
func (v *services) waitReady(ctx context.Context) error {
	patience, cancel := context.WithTimeout(ctx, readyPatience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		merged := v.readiness()
		err := merged.Err()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-v.engines.died():
			return v.engines.postgres.Err()
		case <-patience.Done():
			if ctx.Err() != nil {
				return failure(ctx)
			}
			return fmt.Errorf("not ready within %v: %w", readyPatience, err)
		}
	}
}

// readiness is that of all services together.
func (v *services) readiness() *telemetry.Readiness {
	merged := new(telemetry.Readiness)
	for name, r := range v.ready {
		merged.Set(name, r.Err())
	}
	return merged
}

// catchUp lets the consumers finish what the gateway has just published.
func (v *services) catchUp(ctx context.Context) {
	js, err := jetstream.New(v.conns[0])
	if err == nil {
		catchUp(ctx, js, v.log)
	}
}

// opsServer serves /metrics, /healthz and /readyz of all services.
type opsServer struct{ v *services }

func (o opsServer) Run(ctx context.Context) error {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		telemetry.OpsHandler(o.v.registry, o.v.readiness()).ServeHTTP(w, r)
	})
	return httpserve.Run(ctx, o.v.listeners.ops, h, httpserve.Options{Drain: time.Second, Log: o.v.log})
}
