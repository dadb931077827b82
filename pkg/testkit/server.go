// Package testkit gives tests real engines: databases of a real Postgres, a
// real NATS server, and a scripted provider. It is for tests only.
package testkit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/wait"

	"loom.internal/pkg/local"
)

const (
	image       = "postgres:15" // as in deploy/compose
	startLimit  = 2 * time.Minute
	dirPattern  = "loom-testkit-"
	settleLimit = time.Minute
)

// shared is the one Postgres server of this test binary.
var shared pgServer

type pgServer struct {
	once sync.Once
	err  error
	used string // which it is, for people
	dsn  string // of the database postgres, for its superuser
	stop func()

	mu        sync.Mutex
	templates map[string]*template
}

// Main runs the tests of a package and then stops what they shared. Use it as
//
//	func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }
//
// Without it the server still ends with the test binary, but its files stay in
// the directory for temporary files until a later run clears them.
func Main(m *testing.M) int {
	defer func() {
		if shared.stop != nil {
			shared.stop()
		}
	}()
	return m.Run()
}

// start finds a server once, says on stderr which, and returns its error to
// every test that asks.
func (s *pgServer) start() error {
	s.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), startLimit)
		defer cancel()
		if s.used, s.err = s.choose(ctx); s.err == nil {
			fmt.Fprintln(os.Stderr, "testkit: Postgres:", s.used)
		}
	})
	return s.err
}

// inContainers tells whether LOOM_TEST_ENGINES wants Postgres and NATS in containers
// only, rather than Postgres from local binaries and NATS in the process.
func inContainers() (bool, error) {
	switch v, _ := os.LookupEnv("LOOM_TEST_ENGINES"); v {
	case "":
		return false, nil
	case "containers":
		return true, nil
	default:
		return false, fmt.Errorf("LOOM_TEST_ENGINES is %q: want containers, or nothing", v)
	}
}

func (s *pgServer) choose(ctx context.Context) (used string, err error) {
	containers, err := inContainers()
	if err != nil {
		return "", err
	}
	if containers {
		if err := s.startContainer(ctx); err != nil {
			return "", fmt.Errorf("LOOM_TEST_ENGINES wants containers, and there is none to be had: %w", err)
		}
		return "a container of " + image, nil
	}
	if dsn, ok := os.LookupEnv("LOOM_TEST_DATABASE_URL"); ok && dsn != "" {
		s.dsn = dsn
		return "the server of LOOM_TEST_DATABASE_URL", nil
	}
	localErr := s.startLocal(ctx)
	if localErr == nil {
		return "a local one, for this run only", nil
	}
	containerErr := s.startContainer(ctx)
	if containerErr == nil {
		return "a container of " + image, nil
	}
	return "", fmt.Errorf("these tests need a Postgres and there is none. Ways out:\n"+
		"  set LOOM_TEST_DATABASE_URL to a server whose user may create databases and roles\n"+
		"  install PostgreSQL (Debian: apt-get install postgresql) or set LOOM_PG_BIN to its programs: %w\n"+
		"  start a Docker engine: %w", localErr, containerErr)
}

func (s *pgServer) startLocal(ctx context.Context) error {
	sweep()
	dir, err := os.MkdirTemp("", dirPattern)
	if err != nil {
		return err
	}
	unlock, err := local.LockDir(dir)
	if err != nil {
		return err
	}
	bin, _ := os.LookupEnv("LOOM_PG_BIN")
	pg, err := local.StartPostgres(ctx, local.PostgresOptions{Dir: dir, BinDir: bin, MaxConnections: 200})
	if err != nil {
		return errors.Join(err, unlock(), os.RemoveAll(dir))
	}
	s.dsn = pg.SuperDSN("postgres")
	s.stop = func() {
		_ = pg.Stop(context.WithoutCancel(ctx))
		_ = unlock()
		_ = os.RemoveAll(dir)
	}
	return nil
}

// sweep removes the directories of runs that could not: those no process has
// locked. New ones are left alone, their run may not have come to the lock.
func sweep() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), dirPattern+"*"))
	for _, dir := range dirs {
		if st, err := os.Stat(dir); err != nil || time.Since(st.ModTime()) < settleLimit {
			continue
		}
		if unlock, err := local.LockDir(dir); err == nil {
			_ = os.RemoveAll(dir)
			_ = unlock()
		}
	}
}

func (s *pgServer) startContainer(ctx context.Context) error {
	c, err := runContainer(ctx, image,
		testcontainers.WithEnv(map[string]string{"POSTGRES_USER": "loom", "POSTGRES_PASSWORD": "loom", "POSTGRES_DB": "loom"}),
		testcontainers.WithCmd("postgres", "-c", "fsync=off", "-c", "max_connections=200"),
		testcontainers.WithExposedPorts("5432/tcp"),
		// The entry point runs a first server, without TCP, to make the cluster.
		testcontainers.WithWaitStrategy(wait.ForAll(wait.ForLog("database system is ready to accept connections").WithOccurrence(2), wait.ForListeningPort("5432/tcp"))))
	if err != nil {
		return errors.Join(err, testcontainers.TerminateContainer(c))
	}
	s.stop = func() { _ = testcontainers.TerminateContainer(c) }
	addr, err := c.PortEndpoint(ctx, "5432/tcp", "")
	if err != nil {
		s.stop()
		return err
	}
	s.dsn = "postgres://loom:loom@" + addr + "/postgres?sslmode=disable"
	return nil
}

// runContainer starts a container, on an engine that is known to answer.
func runContainer(ctx context.Context, image string, opts ...testcontainers.ContainerCustomizer) (c *testcontainers.DockerContainer, err error) {
	// A machine may look like a container to testcontainers without being one.
	for k, v := range map[string]string{"TESTCONTAINERS_HOST_OVERRIDE": "127.0.0.1", "TESTCONTAINERS_RYUK_DISABLED": "true"} {
		if _, set := os.LookupEnv(k); set {
			continue
		}
		if err := os.Setenv(k, v); err != nil {
			return nil, err
		}
	}
	defer func() { // it panics where there is no engine at all
		if p := recover(); p != nil {
			err = fmt.Errorf("testcontainers: %v", p)
		}
	}()
	provider, err := testcontainers.NewDockerProvider()
	if err != nil {
		return nil, err
	}
	defer func() { _ = provider.Close() }()
	if err := provider.Health(ctx); err != nil {
		return nil, err
	}
	// By the label, what a run that was killed has left can be found.
	opts = append(opts, testcontainers.WithLabels(map[string]string{"loom.testkit": "true"}))
	return testcontainers.Run(ctx, image, opts...)
}
