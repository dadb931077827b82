package dashboard

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/httpserve"
	"loom.internal/pkg/manifest"
	"loom.internal/pkg/store"
	"loom.internal/pkg/telemetry"
	"loom.internal/services/dashboard/internal/admin"
	"loom.internal/services/dashboard/internal/auth"
	"loom.internal/services/dashboard/internal/dead"
	"loom.internal/services/dashboard/internal/httpapi"
	"loom.internal/services/dashboard/internal/keyring"
	"loom.internal/services/dashboard/internal/pipeline"
	"loom.internal/services/dashboard/internal/push"
	"loom.internal/services/dashboard/internal/stats"
	"loom.internal/services/dashboard/internal/tail"
	"loom.internal/services/dashboard/internal/traces"
	"loom.internal/services/dashboard/internal/verify"
	"loom.internal/services/dashboard/web"
)

const (
	sweepEvery = 10 * time.Minute
	pushLimit  = 3 * time.Second
)

// Result is what Apply did.
type Result = admin.Result

// Change is one thing that Apply created or updated.
type Change = admin.Change

// NewKey is a key that Apply made, with its secret.
type NewKey = admin.NewKey

// InvalidError lists what is wrong with a manifest.
type InvalidError = admin.InvalidError

// ErrWrongMaster is of a master key other than the one with which the database was filled.
var ErrWrongMaster = keyring.ErrWrongMaster

// Deps are what the dashboard works with; who opened them closes them.
type Deps struct {
	Log      *slog.Logger
	NATS     *nats.Conn
	DB       *pgxpool.Pool // role loom_dashboard
	AdminDB  *pgxpool.Pool // role loom_admin
	Metrics  prometheus.Registerer
	Ready    *telemetry.Readiness // gets the conditions postgres, nats and config_push
	Listener net.Listener         // Run closes it; nil: Run listens on Config.Addr
	Now      func() time.Time     // nil: time.Now
}

// Service is the dashboard.
type Service struct {
	cfg    Config
	d      Deps
	auth   *auth.Authenticator
	admin  *admin.Admin
	keys   *keyring.Keyring
	push   *push.Pusher
	gauges *verify.Gauges
	pipe   *pipeline.Pipeline
	tail   *tail.Hub
	api    *httpapi.API
}

// New wires the service; it does no I/O.
func New(cfg Config, d Deps) (*Service, error) {
	if d.Now == nil {
		d.Now = time.Now
	}
	ring, err := cfg.ring()
	if err != nil {
		return nil, err
	}
	keys := keyring.New(keyring.Options{
		DB: d.AdminDB, Wrapper: ring, Log: d.Log, Now: d.Now, MaxAge: cfg.KeyMaxAge, MaxSeals: keyring.MaxSeals,
	})
	limiter, err := auth.NewLimiter(d.Now)
	if err != nil {
		return nil, err
	}
	s := &Service{cfg: cfg, d: d, keys: keys, auth: auth.New(d.AdminDB, keys, d.Now), admin: admin.New(d.AdminDB, keys, d.Now)}
	for _, condition := range []string{"postgres", "nats", "config_push", "master_key"} {
		d.Ready.Set(condition, errors.New("not yet checked"))
	}
	layout := bus.DefaultLayout()
	layout.Replicas = cfg.NATSReplicas
	s.push, err = push.New(d.AdminDB, d.NATS, layout, d.Log, func(err error) { d.Ready.Set("config_push", err) })
	if err != nil {
		return nil, err
	}
	verifier, err := verify.New(d.AdminDB, d.NATS, d.Now)
	if err != nil {
		return nil, err
	}
	s.gauges, err = verify.NewGauges(d.AdminDB, d.Log, d.Metrics)
	if err != nil {
		return nil, err
	}
	s.pipe, err = pipeline.New(d.AdminDB, d.NATS, d.Log, d.Now)
	if err != nil {
		return nil, err
	}
	desk, err := dead.New(d.AdminDB, d.NATS)
	if err != nil {
		return nil, err
	}
	reader, err := traces.NewReader(d.DB, keys, d.Metrics)
	if err != nil {
		return nil, err
	}
	s.tail = tail.NewHub(reader, d.Log)
	s.api, err = httpapi.New(httpapi.Options{
		Auth: s.auth, Limiter: limiter, Traces: reader, Keys: keys, Stats: stats.NewReader(d.DB), Admin: s.admin,
		Push: s.push.Push, Verifier: verifier, Pipeline: s.pipe, Tail: s.tail, Dead: desk, UI: web.Handler(cfg.BasePath), Ready: d.Ready, Log: d.Log, Metrics: d.Metrics, Now: d.Now,
		BasePath: cfg.BasePath, GatewayURL: cfg.GatewayURL, PlaygroundURL: cmp.Or(cfg.PlaygroundURL, cfg.GatewayURL), SecureCookies: cfg.SecureCookies, TrustProxy: cfg.TrustProxy,
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Handler serves the UI, the API, /healthz and /readyz.
func (s *Service) Handler() http.Handler { return s.api.Handler() }

// Run serves, and keeps the bus in step with the configuration, until ctx ends. It
// waits for NATS and Postgres, however long they are away.
func (s *Service) Run(ctx context.Context) error {
	ln := s.d.Listener
	if ln == nil {
		var err error
		if ln, err = httpserve.Listen(ctx, s.cfg.Addr, Prefix+"_ADDR"); err != nil {
			return err
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return httpserve.Run(ctx, ln, s.Handler(), httpserve.Options{Drain: s.cfg.Drain, Delay: s.cfg.DrainDelay, Log: s.d.Log, OnDrain: func() {
			s.d.Ready.Set("serving", httpserve.ErrShutdown)
		}})
	})
	g.Go(func() error { return s.push.Run(ctx) })
	g.Go(func() error {
		schema := store.Check(s.d.DB, s.d.Log)
		s.d.Ready.Watch(ctx, s.d.Log, map[string]func(context.Context) error{
			"postgres": func(ctx context.Context) error {
				return cmp.Or(ping(ctx, "loom_dashboard", s.d.DB), ping(ctx, "loom_admin", s.d.AdminDB), schema(ctx))
			},
			"nats": func(context.Context) error { return bus.Ready(s.d.NATS) },
		})
		return nil
	})
	g.Go(func() error { s.sweep(ctx); return nil })
	g.Go(func() error { return s.keepKeys(ctx) })
	g.Go(func() error { s.gauges.Run(ctx); return nil })
	g.Go(func() error { s.pipe.Run(ctx); return nil })
	g.Go(func() error { s.tail.Run(ctx); return nil })
	return g.Wait()
}

// keepKeys looks after data keys, once it is known that all of them can be unwrapped. The
// service ends where they cannot: whoever took a master key away too early is to know.
func (s *Service) keepKeys(ctx context.Context) error {
	var wrong error
	stopped := bus.Retry(ctx, s.d.Log, "keys not checked yet, trying again", func(ctx context.Context) error {
		err := s.keys.Check(ctx)
		s.d.Ready.Set("master_key", err)
		if errors.Is(err, keyring.ErrMissingMaster) || errors.Is(err, keyring.ErrWrongMaster) {
			wrong, err = err, nil
		}
		return err
	})
	if stopped != nil {
		return nil //nolint:nilerr // asked to stop
	}
	if wrong != nil {
		return wrong
	}
	s.keys.Keep(ctx, func() { s.pushSoon(ctx) })
	return nil
}

// pushSoon tells gateways of a change; where that fails, the loop of the pusher does.
func (s *Service) pushSoon(ctx context.Context) bool {
	pushing, cancel := context.WithTimeout(ctx, pushLimit)
	defer cancel()
	if err := s.push.Push(pushing); err != nil {
		s.d.Log.LogAttrs(ctx, slog.LevelWarn, "change committed, not pushed yet", slog.Any("error", err))
		return false
	}
	return true
}

// Bootstrap makes the first admin key, if there is no live one, and returns it this
// once.
func (s *Service) Bootstrap(ctx context.Context) (adminKey string, created bool, err error) {
	return s.admin.Bootstrap(ctx)
}

// Apply brings the configuration to what m says, for whoever runs this process. The
// error is an *InvalidError when m has faults; then nothing has changed.
func (s *Service) Apply(ctx context.Context, m *manifest.Manifest, dryRun bool) (Result, error) {
	result, err := s.admin.Apply(ctx, "local", m, dryRun)
	if err != nil || dryRun {
		return result, err
	}
	result.Pushed = s.pushSoon(ctx)
	return result, nil
}

func ping(ctx context.Context, role string, db *pgxpool.Pool) error {
	if err := db.Ping(ctx); err != nil {
		return fmt.Errorf("postgres as %s: %w", role, store.Wrap(err))
	}
	return nil
}

// sweep deletes sessions that have ended.
func (s *Service) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		if err := s.auth.Sweep(ctx); err != nil && ctx.Err() == nil {
			s.d.Log.LogAttrs(ctx, slog.LevelWarn, "ended sessions not deleted, trying again later", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
