package up

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"loom.internal/migrations"
	"loom.internal/pkg/bus"
	"loom.internal/pkg/local"
	"loom.internal/pkg/store"
)

const (
	databaseName  = "loom"
	startPatience = 60 * time.Second // of the engines: a recovery after a crash takes its time
	postgresStop  = 3 * time.Second  // for a clean stop, before one that recovers at the next start
)

// engines are the database and the broker, with all that services need of them.
type engines struct {
	postgres *local.Postgres // nil: a given server
	nats     *local.NATS
	owner    string            // connection string of the database's owner
	password map[string]string // of each role
	log      *slog.Logger
}

// startEngines starts Postgres and NATS at the same time, and brings the schema, the
// roles and the streams to what this binary needs.
func startEngines(ctx context.Context, s Settings, log *slog.Logger) (_ *engines, err error) {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	e := &engines{owner: s.DatabaseURL.Reveal(), log: log}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.stop(context.WithoutCancel(ctx)))
		}
	}()
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := e.startPostgres(gctx, s); err != nil {
			return err
		}
		return e.prepareDatabase(gctx)
	})
	g.Go(func() error {
		if err := e.startNATS(s); err != nil {
			return err
		}
		return e.prepareStreams(gctx)
	})
	return e, g.Wait()
}

func (e *engines) startPostgres(ctx context.Context, s Settings) (err error) {
	if e.owner != "" {
		return nil
	}
	e.postgres, err = local.StartPostgres(ctx, local.PostgresOptions{
		Dir: s.DataDir, BinDir: s.PGBin, InstallDebian: true, Sync: true, Log: e.log.With(slog.String("engine", "postgres")),
	})
	if err != nil {
		return err
	}
	e.owner = e.postgres.SuperDSN(databaseName)
	return e.postgres.EnsureDatabase(ctx, databaseName)
}

// prepareDatabase migrates and gives every role a password of this start.
func (e *engines) prepareDatabase(ctx context.Context) error {
	db, err := store.Open(ctx, e.owner, store.Options{MaxConns: 1, Name: "loom up", Log: e.log})
	if err != nil {
		return err
	}
	defer db.Close()
	if err := store.Migrate(ctx, e.owner, migrations.FS, e.log); err != nil {
		return err
	}
	e.password = make(map[string]string)
	for _, role := range []string{"loom_recorder", "loom_analytics", "loom_dashboard", "loom_admin"} {
		e.password[role] = rand.Text()
	}
	return store.SetRolePasswords(ctx, db, e.password)
}

func (e *engines) startNATS(s Settings) (err error) {
	opt := local.NATSOptions{
		StoreDir: filepath.Join(s.DataDir, "nats"), Sync: true,
		Log: e.log.With(slog.String("engine", "nats")),
	}
	if s.NATSAddr != "" {
		host, port, err := net.SplitHostPort(s.NATSAddr)
		if err != nil {
			return fmt.Errorf("LOOM_NATS_ADDR: %w", err)
		}
		opt.Host = host
		if opt.Port, err = strconv.Atoi(port); err != nil {
			return fmt.Errorf("LOOM_NATS_ADDR: port %q: want a number", port)
		}
		if opt.Port == 0 {
			opt.Port = -1 // any
		}
	}
	e.nats, err = local.StartNATS(opt)
	return err
}

func (e *engines) prepareStreams(ctx context.Context) error {
	nc, err := e.connect("up")
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("JetStream: %w", err)
	}
	return bus.EnsureRetry(ctx, js, bus.DefaultLayout(), e.log)
}

// connect opens a connection to NATS that needs no port.
func (e *engines) connect(name string) (*nats.Conn, error) {
	return bus.Connect("nats://in-process", name, e.log, e.nats.InProcess())
}

// dsn is the connection string of a role.
func (e *engines) dsn(role string) (string, error) {
	if e.postgres != nil {
		return e.postgres.DSN(databaseName, role, e.password[role]), nil
	}
	return asRole(e.owner, role, e.password[role])
}

// asRole is the connection string of another role in the same database.
func asRole(dsn, role, password string) (string, error) {
	if !strings.HasPrefix(dsn, "postgres://") && !strings.HasPrefix(dsn, "postgresql://") {
		return dsn + " user=" + role + " password=" + password, nil // of key=value pairs the last counts
	}
	u, err := url.Parse(dsn)
	if err != nil {
		return "", errors.New("LOOM_DATABASE_URL is not a URL") // err would show its password
	}
	u.User = url.UserPassword(role, password)
	return u.String(), nil
}

// died is closed when Postgres has ended by itself; nil when it is not our child.
func (e *engines) died() <-chan struct{} {
	if e.postgres == nil {
		return nil
	}
	return e.postgres.Done()
}

// stop ends NATS, then Postgres, whatever of them runs.
func (e *engines) stop(ctx context.Context) error {
	if e.nats != nil {
		e.nats.Shutdown()
	}
	if e.postgres == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, postgresStop)
	defer cancel()
	return e.postgres.Stop(ctx)
}

// alive reports whether Postgres still runs, as far as we know.
func (e *engines) alive() bool {
	select {
	case <-e.died():
		return false
	default:
		return true
	}
}
