// Package rig is a whole Loom out of processes that can be killed: two of each service,
// one dashboard, a broker and a database, each a child of the runner with its own log.
package rig

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"loom.internal/bench/internal/link"
	"loom.internal/bench/internal/load"
	"loom.internal/bench/internal/proc"
	"loom.internal/migrations"
	"loom.internal/pkg/envelope"
	"loom.internal/pkg/store"
)

// Kinds of processes.
const (
	Gateway   = "gateway"
	Recorder  = "recorder"
	Analytics = "analytics"
	Dashboard = "dashboard"
	NATS      = "nats"
	Postgres  = "postgres"
)

// Kinds lists them.
func Kinds() []string { return []string{Gateway, Recorder, Analytics, Dashboard, NATS, Postgres} }

const (
	replicas = 2
	database = "loom"
	// drain is how long a gateway lets open answers go on when it is told to stop.
	drain = 3 * time.Second
)

// Options of New.
type Options struct {
	Dir      string        // of everything the run writes
	Self     string        // the runner's binary
	PGBin    string        // of Postgres; searched for when empty
	Resend   time.Duration // of gateways
	Spool    int64         // bytes a gateway's spool may take
	Upstream http.Handler  // the provider
	Master   string        // master key
	Secret   string        // the provider's API key

	// Arm gives what the next life of a service has in its environment about fault points.
	Arm func(kind string) []string
}

// Rig is the system under test.
type Rig struct {
	Options
	Ring      *envelope.Ring
	Clients   []load.Client
	Gateways  []string // base URLs
	Dashboard string   // likewise
	Admin     string   // an admin's key

	masters map[uint32]string // what a service has from its next start on

	procs    map[string][]*proc.Proc
	metrics  map[string][]string // by kind, base URLs of what its processes tell operators
	natsURL  string
	links    map[string]*link.Link // on the way of services to an engine
	upstream *httptest.Server
}

// New builds the services and starts everything. The caller closes it, also after an error.
func New(ctx context.Context, o Options) (*Rig, error) {
	r := &Rig{Options: o, procs: make(map[string][]*proc.Proc), links: make(map[string]*link.Link), metrics: make(map[string][]string), upstream: httptest.NewServer(o.Upstream)}
	if err := r.SetMasters(map[uint32]string{1: o.Master}); err != nil {
		return r, err
	}
	for _, step := range []func(context.Context) error{r.build, r.engines, r.join, r.migrate, r.configure, r.services} {
		if err := step(ctx); err != nil {
			return r, err
		}
	}
	return r, nil
}

// Procs of a kind, running or not.
func (r *Rig) Procs(kind string) []*proc.Proc { return r.procs[kind] }

// SpoolDirs is where gateways have their spools, all of them.
func (r *Rig) SpoolDirs() string { return filepath.Join(r.Dir, "spool") }

// LogDir holds a log for each process.
func (r *Rig) LogDir() string { return filepath.Join(r.Dir, "log") }

// NATSDir is the broker's disk.
func (r *Rig) NATSDir() string { return filepath.Join(r.Dir, "nats") }

// PostgresDir holds the cluster, its log of writes included.
func (r *Rig) PostgresDir() string { return filepath.Join(r.Dir, "postgres") }

// build makes the service binaries from the working tree, with fault points.
func (r *Rig) build(ctx context.Context) error {
	for _, dir := range []string{r.SpoolDirs(), r.LogDir(), r.NATSDir(), filepath.Join(r.Dir, "bin")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-tags", "faultpoints", "-o", filepath.Join(r.Dir, "bin")+"/") //nolint:gosec // the run's own directory
	for _, kind := range []string{Gateway, Recorder, Analytics, Dashboard} {
		cmd.Args = append(cmd.Args, "loom.internal/services/"+kind+"/cmd/"+kind)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the services (run from Loom's repository): %w\n%s", err, out)
	}
	return nil
}

// engines starts broker and database and waits until they answer.
func (r *Rig) engines(ctx context.Context) error {
	port, err := proc.FreePort(ctx)
	if err != nil {
		return err
	}
	r.natsURL = "nats://127.0.0.1:" + strconv.Itoa(port)
	env := os.Environ()
	r.add(proc.Spec{Kind: NATS, Name: NATS, Path: r.Self, Args: []string{KeepNATS, r.NATSDir(), strconv.Itoa(port)}, Env: env})
	r.add(proc.Spec{
		Kind: Postgres, Name: Postgres, Path: r.Self, Args: []string{KeepPostgres, r.PostgresDir(), r.PGBin}, Env: env,
		Victim: func() (int, error) { return takePostmaster(r.PostgresDir()) },
	})
	if err := errors.Join(r.start(ctx, NATS), r.start(ctx, Postgres)); err != nil {
		return err
	}
	return Until(ctx, startLimit, "Postgres answers", func(ctx context.Context) error {
		conn, err := r.connect(ctx, "postgres")
		if err != nil {
			return err
		}
		return conn.Close(ctx)
	})
}

// dsn of the database for a role, or for the superuser.
func (r *Rig) dsn(db, role, password string) (string, error) {
	b, err := os.ReadFile(filepath.Join(r.PostgresDir(), dsnFile))
	if err != nil {
		return "", err
	}
	u, err := url.Parse(string(b))
	if err != nil {
		return "", err
	}
	u.Path = "/" + db
	if role != "" {
		u.User = url.UserPassword(role, password)
	}
	return u.String(), nil
}

// connect opens a connection of the superuser.
func (r *Rig) connect(ctx context.Context, db string) (*pgx.Conn, error) {
	dsn, err := r.dsn(db, "", "")
	if err != nil {
		return nil, err
	}
	return pgx.Connect(ctx, dsn)
}

// Connect opens a connection of the superuser to Loom's database.
func (r *Rig) Connect(ctx context.Context) (*pgx.Conn, error) { return r.connect(ctx, database) }

// migrate makes database, schema, roles and prices.
func (r *Rig) migrate(ctx context.Context) error {
	conn, err := r.connect(ctx, "postgres")
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "CREATE DATABASE "+database)
	if err = errors.Join(err, conn.Close(ctx)); err != nil {
		return err
	}
	dsn, err := r.dsn(database, "", "")
	if err != nil {
		return err
	}
	if err := store.Migrate(ctx, dsn, migrations.FS, r.log()); err != nil {
		return err
	}
	if conn, err = r.Connect(ctx); err != nil {
		return err
	}
	err = store.SetRolePasswords(ctx, conn, map[string]string{
		"loom_recorder": r.Secret, "loom_analytics": r.Secret, "loom_dashboard": r.Secret, "loom_admin": r.Secret,
	})
	return errors.Join(err, setPrices(ctx, conn), conn.Close(ctx))
}

// Close stops everything, the engines last.
func (r *Rig) Close() error {
	var errs []error
	for _, kind := range Kinds() {
		for _, p := range r.procs[kind] {
			errs = append(errs, p.Close())
		}
	}
	for _, l := range r.links {
		errs = append(errs, l.Close())
	}
	r.upstream.CloseClientConnections()
	r.upstream.Close()
	return errors.Join(errs...)
}

// Until calls f every 100 ms until it returns nil, for limit at most. The error is the
// last that f returned in time.
func Until(ctx context.Context, limit time.Duration, what string, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		err := f(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited %s until %s: %w", limit, what, last)
		case <-tick.C:
		}
	}
}
