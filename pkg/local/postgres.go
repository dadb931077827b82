// Package local runs the engines Loom needs on this machine: Postgres as a
// child process on a Unix socket, NATS within the process. It is for cmd/loom
// and for tests; elsewhere the engines are given.
package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	superuser       = "loom"
	defaultMaxConns = 60
	fastStop        = 20 * time.Second // SIGINT: closes connections, writes a checkpoint
	immediateStop   = 5 * time.Second  // SIGQUIT: the next start recovers from the log
)

// PostgresOptions of StartPostgres. Only Dir is required.
type PostgresOptions struct {
	Dir            string       // where the data (pg/), the socket (run/) and the password (pg.password) live
	BinDir         string       // directory of initdb and postgres; searched for when empty
	InstallDebian  bool         // as root on Debian, install Postgres when there is none
	Sync           bool         // fsync: survive a crash of the machine; tests go without
	MaxConnections int          // 60 when 0
	Log            *slog.Logger // the server's log: warn for FATAL and PANIC, debug for the rest
}

// Postgres is a server that runs as a child of this process and listens on a
// Unix socket only. It ends with this process, even by kill -9.
type Postgres struct {
	opt      PostgresOptions
	in       installation
	account  *syscall.Credential // nil: our own
	data     string              // cluster directory
	sock     string              // socket directory
	tempSock bool                // sock is outside Dir and goes with the server
	password string              // of the superuser
	unlock   func() error

	cmd      *exec.Cmd
	tail     *logWriter
	stopping atomic.Bool
	done     chan struct{}
	err      error // why the server ended; read after done
}

// StartPostgres makes a cluster in opt.Dir if there is none, starts the server
// and returns when it answers. ctx bounds the start only. A server that a
// killed run has left in Dir is stopped first. The caller stops the server.
func StartPostgres(ctx context.Context, opt PostgresOptions) (_ *Postgres, err error) {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.MaxConnections == 0 {
		opt.MaxConnections = defaultMaxConns
	}
	p := &Postgres{opt: opt, done: make(chan struct{}), tail: &logWriter{log: opt.Log}}
	if p.in, err = find(ctx, opt.BinDir, folders); errors.Is(err, ErrNoPostgres) && opt.InstallDebian && canInstall() {
		i := installer{etc: "/etc", run: runQuietly, log: opt.Log}
		if err = i.install(ctx); err == nil {
			p.in, err = find(ctx, opt.BinDir, folders)
		}
	}
	if err != nil {
		return nil, err
	}
	if err := p.prepare(ctx); err != nil {
		p.release()
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	if err := p.start(ctx); err != nil {
		p.release()
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	return p, nil
}

// prepare brings the directories to where the server can start.
func (p *Postgres) prepare(ctx context.Context) (err error) {
	if p.opt.Dir, err = filepath.Abs(p.opt.Dir); err != nil {
		return err
	}
	p.data = filepath.Join(p.opt.Dir, "pg")
	if p.account, err = dropTo(p.data); err != nil {
		return err
	}
	if err := os.MkdirAll(p.opt.Dir, 0o700); err != nil {
		return err
	}
	if err := openPath(p.opt.Dir, p.account); err != nil {
		return err
	}
	// Before anything is stopped or changed: one process for one cluster.
	if p.unlock, err = lockFile(filepath.Join(p.opt.Dir, "pg.lock")); err != nil {
		return fmt.Errorf("directory %s: %w", p.opt.Dir, err)
	}
	if err := p.makeSocketDir(); err != nil {
		return err
	}
	if err := p.stopOrphan(ctx); err != nil {
		return err
	}
	return p.ensureCluster(ctx)
}

// start runs the server and waits until it answers.
func (p *Postgres) start(ctx context.Context) error {
	args := []string{
		"-D", p.data, "-k", p.sock, "-c", "listen_addresses=", "-c", "unix_socket_permissions=0700",
		"-c", "max_connections=" + strconv.Itoa(p.opt.MaxConnections),
		"-c", "jit=off", "-c", "timezone=UTC", "-c", "log_line_prefix=",
		"-c", "log_min_error_statement=panic", // statements may hold what must not be in a log
	}
	if !p.opt.Sync {
		args = append(args, "-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")
	}
	p.cmd = p.command(context.WithoutCancel(ctx), "postgres", args...)
	p.cmd.Stdout, p.cmd.Stderr = p.tail, p.tail
	p.cmd.WaitDelay = 2 * time.Second
	ended, err := launch(p.cmd)
	if err != nil {
		return err
	}
	go func() {
		err := <-ended
		if !p.stopping.Load() {
			p.err = fmt.Errorf("PostgreSQL ended: %w\n%s", errOr(err, "exit status 0"), p.tail)
			p.opt.Log.ErrorContext(context.WithoutCancel(ctx), "PostgreSQL ended by itself", slog.Any("error", p.err))
		}
		close(p.done)
	}()
	if err := p.waitReady(ctx); err != nil {
		return errors.Join(err, p.Stop(context.WithoutCancel(ctx)))
	}
	return nil
}

func errOr(err error, text string) error {
	if err != nil {
		return err
	}
	return errors.New(text)
}

func (p *Postgres) waitReady(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := p.ping(ctx)
		if err == nil {
			return nil
		}
		var refused *pgconn.PgError
		if errors.As(err, &refused) && refused.Code[:2] == "28" {
			return fmt.Errorf("the password in %s is not the one of the cluster %s: restore that file: %w", p.passwordFile(), p.data, err)
		}
		select {
		case <-p.done:
			return errOr(p.err, "it was stopped")
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w: %w\n%s", ctx.Err(), err, p.tail)
		case <-tick.C:
		}
	}
}

func (p *Postgres) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, p.SuperDSN("postgres"))
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

// command is one of Postgres's programs, to be run by its account.
func (p *Postgres) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(p.in.bin, name), args...) //nolint:gosec // found by find
	cmd.Dir = "/"                                                           // its account may not enter ours
	cmd.Env = []string{"PATH=" + p.in.bin + ":/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.account, Setpgid: true} // Ctrl-C is for us, not for it
	dieWithParent(cmd.SysProcAttr)
	return cmd
}

// DSN is the URL of a database of the server for a role.
func (p *Postgres) DSN(db, role, password string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(role, password), Path: "/" + db,
		RawQuery: url.Values{"host": {p.sock}, "sslmode": {"disable"}}.Encode(),
	}
	return u.String()
}

// SuperDSN is the URL of a database of the server for its superuser.
func (p *Postgres) SuperDSN(db string) string { return p.DSN(db, superuser, p.password) }

// EnsureDatabase makes the database name if there is none.
func (p *Postgres) EnsureDatabase(ctx context.Context, name string) error {
	conn, err := pgx.Connect(ctx, p.SuperDSN("postgres"))
	if err != nil {
		return fmt.Errorf("make database %s: %w", name, err)
	}
	defer func() { _ = conn.Close(ctx) }()
	var exists bool
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, name).Scan(&exists); err != nil {
		return fmt.Errorf("make database %s: %w", name, err)
	}
	if exists {
		return nil
	}
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()); err != nil {
		return fmt.Errorf("make database %s: %w", name, err)
	}
	return nil
}

// Done is closed when the server has ended, be it by Stop or by itself.
func (p *Postgres) Done() <-chan struct{} { return p.done }

// Err says why the server ended by itself. It is nil while the server runs and
// after Stop.
func (p *Postgres) Err() error {
	select {
	case <-p.done:
		return p.err
	default:
		return nil
	}
}

// Stop ends the server and waits for it: cleanly within 20 s or until ctx ends,
// then by force; what was committed is kept either way. To call it again is safe.
func (p *Postgres) Stop(ctx context.Context) error {
	p.stopping.Store(true)
	defer p.release()
	for _, step := range []struct {
		signal syscall.Signal
		wait   time.Duration
	}{{syscall.SIGINT, fastStop}, {syscall.SIGQUIT, immediateStop}, {syscall.SIGKILL, immediateStop}} {
		_ = p.cmd.Process.Signal(step.signal) // one that has ended is what we want
		patience, cancel := context.WithTimeout(ctx, step.wait)
		if step.signal != syscall.SIGINT { // ctx is for the clean way
			cancel()
			patience, cancel = context.WithTimeout(context.WithoutCancel(ctx), step.wait)
		}
		select {
		case <-p.done:
			cancel()
			return nil
		case <-patience.Done():
			cancel()
		}
	}
	return fmt.Errorf("PostgreSQL (pid %d) does not end", p.cmd.Process.Pid)
}

// release gives up what prepare took.
func (p *Postgres) release() {
	if p.tempSock {
		_ = os.RemoveAll(p.sock)
	}
	if p.unlock != nil {
		_ = p.unlock() // a second time it is closed already
	}
}
