package rights_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/config"
	"loom.internal/pkg/store"
	"loom.internal/pkg/telemetry"
	"loom.internal/pkg/testkit"
	"loom.internal/services/analytics"
	"loom.internal/services/dashboard"
	"loom.internal/services/gateway"
	"loom.internal/services/recorder"
)

// system is all of Loom, each service with its own user of the broker.
type system struct {
	t      *testing.T
	db     *testkit.DB
	opts   *server.Options
	broker *broker
	log    logged
}

// logged is what all services log.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newSystem(t *testing.T) *system {
	t.Helper()
	s := &system{t: t, db: testkit.Postgres(t), opts: options(t)}
	s.broker = serve(t, s.opts)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("the services' log:\n" + s.log.String())
		}
	})
	return s
}

// wipe takes the broker's disk away, and brings it back at the same place without any.
func (s *system) wipe() {
	s.t.Helper()
	port := s.broker.srv.Addr().(*net.TCPAddr).Port
	s.broker.srv.Shutdown()
	s.broker.srv.WaitForShutdown()
	if err := os.RemoveAll(s.opts.StoreDir); err != nil {
		s.t.Fatal(err)
	}
	s.opts = options(s.t)
	s.opts.Port = port
	s.broker = serve(s.t, s.opts)
}

func (s *system) logger(name string) *slog.Logger {
	return slog.New(slog.NewTextHandler(&s.log, &slog.HandlerOptions{Level: slog.LevelDebug})).With(slog.String("process", name))
}

// connect is the connection of a service, as its address says.
func (s *system) connect(name string) *nats.Conn {
	s.t.Helper()
	user, _, _ := strings.Cut(name, " ")
	address := url.URL{Scheme: "nats", User: url.UserPassword(user, password(user)), Host: s.broker.srv.Addr().String()}
	nc, err := bus.Connect(address.String(), name, s.logger(name))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(nc.Close)
	return nc
}

func (s *system) jetStream(name string) jetstream.JetStream {
	s.t.Helper()
	js, err := jetstream.New(s.connect(name))
	if err != nil {
		s.t.Fatal(err)
	}
	return js
}

func (s *system) pool(role string) *pgxpool.Pool {
	s.t.Helper()
	db, err := store.New(s.t.Context(), s.db.DSN(role), store.Options{Name: role})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(db.Close)
	return db
}

// run runs a service until the test ends or stop is called.
func (s *system) run(svc interface{ Run(context.Context) error }) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- svc.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			s.t.Error("Run:", err)
		}
	})
	s.t.Cleanup(stop)
	return stop
}

// given stands for what a service is handed open instead of as an address.
const given = config.Secret("given")

func (s *system) recorder() (stop func()) {
	s.t.Helper()
	svc, err := recorder.New(recorder.Config{}, recorder.Deps{
		Log: s.logger("recorder"), NATS: s.connect("recorder"), DB: s.pool("loom_recorder"), Metrics: prometheus.NewRegistry(), Ready: new(telemetry.Readiness),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return s.run(svc)
}

func (s *system) analytics() (stop func()) {
	s.t.Helper()
	svc, err := analytics.New(analytics.Config{}, analytics.Deps{
		Log: s.logger("analytics"), NATS: s.connect("analytics"), DB: s.pool("loom_analytics"), Metrics: prometheus.NewRegistry(), Ready: new(telemetry.Readiness),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return s.run(svc)
}

func (s *system) listener() net.Listener {
	s.t.Helper()
	var lc net.ListenConfig
	ln, err := lc.Listen(s.t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	return ln
}

func (s *system) dashboard() (svc *dashboard.Service, address string) {
	s.t.Helper()
	cfg := dashboard.Config{DatabaseURL: given, AdminDatabaseURL: given}
	if err := config.Load(dashboard.Prefix, &cfg); err != nil {
		s.t.Fatal(err)
	}
	ln := s.listener()
	svc, err := dashboard.New(cfg, dashboard.Deps{
		Log: s.logger("dashboard"), NATS: s.connect("dashboard"), DB: s.pool("loom_dashboard"), AdminDB: s.pool("loom_admin"),
		Metrics: prometheus.NewRegistry(), Ready: new(telemetry.Readiness), Listener: ln,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.run(svc)
	return svc, "http://" + ln.Addr().String()
}

func (s *system) gateway() (address string) {
	s.t.Helper()
	var cfg gateway.Config
	if err := config.Load(gateway.Prefix, &cfg); err != nil {
		s.t.Fatal(err)
	}
	cfg.SpoolDir, cfg.AllowPrivateUpstreams = s.t.TempDir(), true
	ln, ready := s.listener(), new(telemetry.Readiness)
	svc, err := gateway.New(cfg, gateway.Deps{
		Log: s.logger("gateway"), NATS: s.connect("gateway"), Bodies: s.connect("gateway bodies"), Metrics: prometheus.NewRegistry(), Ready: ready, Listener: ln,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.run(svc)
	testkit.Await(s.t, "the gateway is ready", func(context.Context) bool { return ready.Err() == nil })
	return "http://" + ln.Addr().String()
}

// ask sends a request to a gateway and gives the status and the answer.
func (s *system) ask(ctx context.Context, method, address, key, body string) (status int, answer string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

// counts waits until a query of the database's owner gives a number.
func (s *system) counts(what string, want int, sql string) {
	s.t.Helper()
	last := -1
	defer func() {
		if last != want {
			s.t.Errorf("%s: %d, want %d", what, last, want)
		}
	}()
	testkit.Await(s.t, what, func(ctx context.Context) bool {
		return s.db.Pool("").QueryRow(ctx, sql).Scan(&last) == nil && last == want
	})
}

func (s *system) exec(sql string) {
	s.t.Helper()
	if _, err := s.db.Pool("").Exec(s.t.Context(), sql); err != nil {
		s.t.Fatal(sql, err)
	}
}
