package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/httpserve"
	"loom.internal/pkg/telemetry"
	"loom.internal/services/gateway/internal/balance"
	"loom.internal/services/gateway/internal/directory"
	"loom.internal/services/gateway/internal/pool"
	"loom.internal/services/gateway/internal/provider"
	"loom.internal/services/gateway/internal/provider/demo"
	"loom.internal/services/gateway/internal/provider/egress"
	"loom.internal/services/gateway/internal/proxy"
	"loom.internal/services/gateway/internal/publish"
	"loom.internal/services/gateway/internal/record"
	"loom.internal/services/gateway/internal/stored"
)

// demoPace is the time between two words of the demo provider.
const demoPace = 4 * time.Millisecond

// Of who keeps stored responses: how many are remembered, and how many may wait to be
// told to the other gateways.
const (
	storedCache = 100_000
	storedQueue = 10_000
)

// conditions of readiness.
const (
	readyDirectory = "directory"
	readyServing   = "serving"
)

// Deps are what the gateway uses and does not own.
type Deps struct {
	Log     *slog.Logger
	Metrics prometheus.Registerer
	Ready   *telemetry.Readiness
	NATS    *nats.Conn
	Bodies  *nats.Conn // for bodies too large for an event, so that nothing else waits behind them
	// Listener serves the API, and is closed at the end; nil means one on Config.Addr,
	// which is opened when keys and catalogue are known if Config.OpsAddr is there for probes.
	Listener net.Listener
}

// Service is one gateway.
type Service struct {
	cfg       Config
	deps      Deps
	transport *http.Transport
	directory *directory.Directory
	recorder  *record.Recorder
	pool      *pool.Pool
	publisher *publish.Publisher
	responses *stored.Store
	proxy     *proxy.Proxy
	known     chan struct{} // closed when keys and catalogue are
}

// New wires a gateway. It starts nothing.
func New(cfg Config, d Deps) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	ring, err := cfg.ring()
	if err != nil {
		return nil, err
	}
	s := &Service{cfg: cfg, deps: d, known: make(chan struct{})}
	s.transport = egress.NewTransport(egress.Options{
		AllowPrivate: cfg.AllowPrivateUpstreams, ConnectTimeout: cfg.ConnectTimeout,
	})
	s.directory, err = directory.New(directory.Options{
		NATS: d.NATS, Keys: ring, Log: d.Log, Metrics: directory.NewMetrics(d.Metrics),
		Opener: provider.Opener{
			Keys: ring, Egress: s.transport, Demo: &demo.Transport{Pace: demoPace}, AllowPrivate: cfg.AllowPrivateUpstreams,
		},
		CacheSize: cfg.KeyCache, NegativeTTL: cfg.NegativeTTL,
		OnReady: func() {
			close(s.known)
			d.Ready.Set(readyDirectory, nil)
		},
	})
	if err != nil {
		return nil, err
	}
	s.pool = pool.New(pool.Options{Place: pool.Dir(cfg.SpoolDir), Log: d.Log, Metrics: d.Metrics})
	s.recorder = record.New(record.Options{
		Dir: cfg.SpoolDir, OpenSpool: s.pool.Take, Durability: cfg.Durability, MaxBytes: cfg.SpoolMaxBytes, Policy: cfg.TracePolicy,
		Captured: int64(cfg.CaptureLimit), Log: d.Log, Metrics: d.Metrics,
	})
	broker, err := publish.OnNATS(d.NATS)
	if err != nil {
		return nil, err
	}
	bodies, err := bus.NewBodies(d.Bodies)
	if err != nil {
		return nil, err
	}
	s.publisher = publish.New(publish.Options{Broker: broker, Bodies: bodies, Log: d.Log, Metrics: d.Metrics, Drain: cfg.Drain, Resend: cfg.ResendAfter})
	s.responses, err = stored.New(stored.Options{NATS: d.NATS, Log: d.Log, Metrics: d.Metrics, Cache: storedCache, Queue: storedQueue})
	if err != nil {
		return nil, err
	}
	balancer, err := balance.New(balance.Options{Metrics: d.Metrics})
	if err != nil {
		return nil, err
	}
	s.proxy = proxy.New(proxy.Options{
		Directory: s.directory, Recorder: s.recorder, Balancer: balancer, Responses: s.responses, Log: d.Log, Metrics: d.Metrics,
		MaxBody: cfg.MaxBody, BodyMemory: cfg.BodyMemory, BodyTimeout: cfg.BodyTimeout, CaptureLimit: cfg.CaptureLimit,
		HeaderTimeout: cfg.HeaderTimeout, IdleTimeout: cfg.IdleTimeout, WriteTimeout: cfg.WriteTimeout,
	})
	d.Ready.Set(readyDirectory, errors.New("keys and catalogue not read yet"))
	d.Ready.Set(readyServing, errors.New("the port for requests is not open yet"))
	return s, nil
}

// Run serves until ctx ends. It returns when the last request has, its traces are
// published or safe in the spool, and nothing it started is left. Keys and models stay
// known, and traces are kept, as long as requests go on.
func (s *Service) Run(ctx context.Context) error {
	spool, err := s.recorder.Open()
	if err != nil {
		return errors.Join(err, s.closeListener())
	}
	defer func() { _ = spool.Close() }()
	defer s.transport.CloseIdleConnections()
	defer func() {
		if c := s.directory.Catalogue(); c != nil {
			_ = c.Close() // tokens that nobody waits for any more
		}
	}()

	// What requests need outlives ctx: it stops when the last of them is over.
	behind, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.directory.Run(behind) })
	g.Go(func() error { return spool.Run(behind) })
	g.Go(func() error { return s.responses.Run(behind) })
	g.Go(func() error { return s.publisher.Run(behind, spool) })
	g.Go(func() error { return s.pool.Run(ctx, s.publisher.Run) })
	g.Go(func() error {
		defer stop()
		ln, err := s.listen(ctx)
		if ln == nil {
			return err
		}
		s.deps.Ready.Set(readyServing, nil)
		s.deps.Log.LogAttrs(ctx, slog.LevelInfo, "gateway serves", slog.String("addr", ln.Addr().String()))
		return httpserve.Run(ctx, ln, s.Handler(), httpserve.Options{ //nolint:contextcheck // requests have contexts of their own
			Drain: s.cfg.Drain, Delay: s.cfg.DrainDelay, Log: s.deps.Log,
			OnDrain: func() { s.deps.Ready.Set(readyServing, httpserve.ErrShutdown) },
		})
	})
	return g.Wait()
}

// listen opens the port for requests. Where probes have an address of their own, it waits
// until requests can be served: whom a balancer cannot connect to, it passes over, but a
// request that got 503 it cannot give to another gateway. It returns nil when ctx has ended.
func (s *Service) listen(ctx context.Context) (net.Listener, error) {
	if s.deps.Listener != nil {
		return s.deps.Listener, nil
	}
	if s.cfg.OpsAddr != "" {
		select {
		case <-s.known:
		case <-ctx.Done():
			return nil, nil
		}
	}
	return httpserve.Listen(ctx, s.cfg.Addr, Prefix+"_ADDR")
}

func (s *Service) closeListener() error {
	if s.deps.Listener == nil {
		return nil
	}
	return s.deps.Listener.Close()
}
