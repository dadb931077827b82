package local_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/goleak"

	"loom.internal/pkg/local"
)

// parentEnv makes the test binary run as the parent of a Postgres or the holder
// of a lock instead; its value is what to do, parentDir where.
const (
	parentEnv = "LOOM_LOCAL_TEST_PARENT"
	parentDir = "LOOM_LOCAL_TEST_DIR"
)

func TestMain(m *testing.M) {
	if what, ok := os.LookupEnv(parentEnv); ok {
		os.Exit(beParent(what))
	}
	goleak.VerifyTestMain(m)
}

func beParent(what string) int {
	dir, _ := os.LookupEnv(parentDir)
	switch what {
	case "postgres":
		pg, err := local.StartPostgres(context.Background(), local.PostgresOptions{Dir: dir})
		if err != nil {
			println(err.Error())
			return 1
		}
		println("ready")
		<-pg.Done()
	case "lock":
		if _, err := local.LockDir(dir); err != nil {
			println(err.Error())
			return 1
		}
		println("ready")
		select {}
	}
	return 0
}

// parent starts the test binary as a parent and waits until it is ready.
func parent(t *testing.T, what, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), parentEnv+"="+what, parentDir+"="+dir)
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	b := make([]byte, 512)
	if n, err := out.Read(b); err != nil || string(b[:n]) != "ready\n" {
		t.Fatalf("parent: %q, %v", b[:n], err)
	}
	return cmd
}

// dataDir is a directory the account of Postgres can reach, as t.TempDir is not for root's.
func dataDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "loom-local-") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func startPG(t *testing.T, opt local.PostgresOptions) *local.Postgres {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	from := time.Now()
	pg, err := local.StartPostgres(ctx, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("started in %v", time.Since(from).Round(time.Millisecond))
	t.Cleanup(func() { _ = pg.Stop(context.WithoutCancel(ctx)) })
	return pg
}

// startFails returns the error of a start that must fail.
func startFails(t *testing.T, opt local.PostgresOptions) error {
	t.Helper()
	pg, err := local.StartPostgres(t.Context(), opt)
	if err == nil {
		_ = pg.Stop(t.Context())
		t.Fatal("StartPostgres: got no error")
	}
	return err
}

func exec1(t *testing.T, dsn, sql string) error {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		return err
	}
	defer conn.Close(t.Context())
	_, err = conn.Exec(t.Context(), sql)
	return err
}

func mustExec(t *testing.T, dsn, sql string) {
	t.Helper()
	if err := exec1(t, dsn, sql); err != nil {
		t.Fatal(err)
	}
}

func TestPostgresKeepsData(t *testing.T) {
	dir := dataDir(t)
	pg := startPG(t, local.PostgresOptions{Dir: dir, Sync: true})
	for range 2 {
		if err := pg.EnsureDatabase(t.Context(), "loom"); err != nil {
			t.Fatal(err)
		}
	}
	mustExec(t, pg.SuperDSN("loom"), `CREATE TABLE x AS SELECT 1; CREATE ROLE "o'brien" LOGIN PASSWORD 'p@ss/w:rd ?'`)
	mustExec(t, pg.DSN("loom", "o'brien", "p@ss/w:rd ?"), `SELECT 1`)

	var refused *pgconn.PgError
	if err := exec1(t, pg.DSN("loom", "loom", "wrong"), `SELECT 1`); !errors.As(err, &refused) || refused.Code != "28P01" {
		t.Errorf("wrong password: got %v, want 28P01", err)
	}
	for path, want := range map[string]os.FileMode{"pg": 0o700, "run": 0o700, "pg.password": 0o600} {
		if st, err := os.Stat(filepath.Join(dir, path)); err != nil || st.Mode().Perm() != want {
			t.Errorf("%s: got %v %v, want mode %v", path, st.Mode(), err, want)
		}
	}
	if err := startFails(t, local.PostgresOptions{Dir: dir}); !errors.Is(err, local.ErrLocked) {
		t.Errorf("second server: got %v, want ErrLocked", err)
	}
	for range 2 {
		if err := pg.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	<-pg.Done()
	if err := pg.Err(); err != nil {
		t.Errorf("Err after Stop: got %v, want nil", err)
	}
	pg = startPG(t, local.PostgresOptions{Dir: dir})
	mustExec(t, pg.SuperDSN("loom"), `SELECT * FROM x`)
}

// postmaster reads the pid of the server from its data directory.
func postmaster(t *testing.T, dir string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "pg", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, _, _ := strings.Cut(string(b), "\n")
	return pid
}

func TestKilledParentLeavesNoObstacle(t *testing.T) {
	dir := dataDir(t)
	cmd := parent(t, "postgres", dir)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	pg := startPG(t, local.PostgresOptions{Dir: dir}) // at once, while the old one may still be stopping
	mustExec(t, pg.SuperDSN("postgres"), `SELECT 1`)
}

func TestOrphanIsStopped(t *testing.T) {
	dir := dataDir(t)
	pg := startPG(t, local.PostgresOptions{Dir: dir})
	in := filepath.Join(dir, "pg")
	if err := pg.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	// A server without a parent's death signal, as after kill -9 on other systems.
	bin := postgresBin(t)
	cmd := exec.Command(filepath.Join(bin, "postgres"), "-D", in, "-k", filepath.Join(dir, "run"), "-c", "listen_addresses=")
	cmd.Dir = "/"
	st, err := os.Stat(in)
	if err != nil {
		t.Fatal(err)
	}
	if own := st.Sys().(*syscall.Stat_t); os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: own.Uid, Gid: own.Gid}}
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	waitFor(t, "the orphan", func() bool { return exec1(t, pg.SuperDSN("postgres"), `SELECT 1`) == nil })
	pg = startPG(t, local.PostgresOptions{Dir: dir})
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("the orphan still runs")
	}
	mustExec(t, pg.SuperDSN("postgres"), `SELECT 1`)
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick, limit := time.NewTicker(10*time.Millisecond), time.After(20*time.Second)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

func postgresBin(t *testing.T) string {
	t.Helper()
	p, err := exec.LookPath("postgres")
	if err != nil {
		out, err := exec.Command("pg_config", "--bindir").Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	if p, err = filepath.EvalSymlinks(p); err != nil {
		t.Fatal(err)
	}
	return filepath.Dir(p)
}

func TestStalePidOfAnotherProcess(t *testing.T) {
	dir := dataDir(t)
	pg := startPG(t, local.PostgresOptions{Dir: dir})
	if err := pg.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("tail", "-f", "/dev/null")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	pidfile := filepath.Join(dir, "pg", "postmaster.pid")
	for text, want := range map[string]string{itoa(cmd.Process.Pid) + "\n": "", "999999999\n": "", "x\n": "holds no process id"} {
		if err := os.WriteFile(pidfile, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if st, err := os.Stat(filepath.Dir(pidfile)); err != nil {
			t.Fatal(err)
		} else if own := st.Sys().(*syscall.Stat_t); os.Chown(pidfile, int(own.Uid), int(own.Gid)) != nil {
			t.Fatal("chown")
		}
		if want != "" {
			if err := startFails(t, local.PostgresOptions{Dir: dir}); !strings.Contains(err.Error(), want) {
				t.Errorf("pid file %q: got %v, want %q", text, err, want)
			}
			_ = os.Remove(pidfile)
			continue
		}
		pg := startPG(t, local.PostgresOptions{Dir: dir})
		if err := pg.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the other process was ended: %v", err)
	}
}

func TestUnexpectedEndIsSeen(t *testing.T) {
	dir := dataDir(t)
	pg := startPG(t, local.PostgresOptions{Dir: dir, Sync: true})
	mustExec(t, pg.SuperDSN("postgres"), `CREATE TABLE kept AS SELECT 1`)
	if err := pg.Err(); err != nil {
		t.Errorf("Err while it runs: %v", err)
	}
	if err := exec.Command("kill", "-9", postmaster(t, dir)).Run(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-pg.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("Done is not closed")
	}
	if err := pg.Err(); err == nil || !strings.Contains(err.Error(), "signal: killed") {
		t.Errorf("Err: got %v, want signal: killed", err)
	}
	_ = pg.Stop(t.Context())
	pg = startPG(t, local.PostgresOptions{Dir: dir})
	mustExec(t, pg.SuperDSN("postgres"), `SELECT * FROM kept`)
}

func TestLongPath(t *testing.T) {
	dir := filepath.Join(dataDir(t), strings.Repeat("deep/", 30))
	parent := dir
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for range 30 {
		parent = filepath.Dir(parent)
	}
	if err := os.Chmod(parent, 0o711); err != nil {
		t.Fatal(err)
	}
	pg := startPG(t, local.PostgresOptions{Dir: dir})
	mustExec(t, pg.SuperDSN("postgres"), `SELECT 1`)
	cfg, err := pgx.ParseConfig(pg.SuperDSN("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(cfg.Host); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("socket directory %s: got %v, %v, want mode 0700", cfg.Host, st, err)
	}
	if err := pg.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(cfg.Host); !os.IsNotExist(err) {
		t.Errorf("socket directory is left: %v", err)
	}
}

func TestPostgresFaults(t *testing.T) {
	dir := dataDir(t)
	pg := startPG(t, local.PostgresOptions{Dir: dir})
	if err := pg.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	password, err := os.ReadFile(filepath.Join(dir, "pg.password"))
	if err != nil {
		t.Fatal(err)
	}
	check := func(want string) {
		t.Helper()
		if err := startFails(t, local.PostgresOptions{Dir: dir}); !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	write("pg.password", "other\n")
	check("restore that file")
	_ = os.Remove(filepath.Join(dir, "pg.password"))
	check("is gone: restore the file")
	write("pg.password", string(password))
	write("pg/postgresql.conf", "no_such_setting = 1\n")
	check("no_such_setting")
	version, err := os.ReadFile(filepath.Join(dir, "pg", "PG_VERSION"))
	if err != nil {
		t.Fatal(err)
	}
	write("pg/PG_VERSION", "9\n")
	check("was written by PostgreSQL 9, and ")
	write("pg/PG_VERSION", string(version))

	if err := startFails(t, local.PostgresOptions{Dir: dir, BinDir: "/nowhere"}); !strings.Contains(err.Error(), "set LOOM_PG_BIN") {
		t.Errorf("bin away: got %v", err)
	}
	taken := dataDir(t)
	if err := os.MkdirAll(filepath.Join(taken, "pg", "mine"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := startFails(t, local.PostgresOptions{Dir: taken}); !strings.Contains(err.Error(), "is not empty and no PostgreSQL cluster") {
		t.Errorf("foreign directory: got %v", err)
	}
	if os.Getuid() == 0 {
		if err := startFails(t, local.PostgresOptions{Dir: filepath.Join(t.TempDir(), "x")}); !strings.Contains(err.Error(), "may not pass through") {
			t.Errorf("closed parent: got %v", err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := local.StartPostgres(ctx, local.PostgresOptions{Dir: dataDir(t)}); err == nil {
		t.Error("start with an ended context: got no error")
	}
}

func TestLockDir(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	unlock, err := local.LockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := local.LockDir(dir); !errors.Is(err, local.ErrLocked) || !strings.Contains(err.Error(), "pid "+itoa(os.Getpid())) {
		t.Errorf("second holder: got %v, want ErrLocked with our pid", err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	holder := parent(t, "lock", dir)
	if _, err := local.LockDir(dir); !errors.Is(err, local.ErrLocked) || !strings.Contains(err.Error(), "pid "+itoa(holder.Process.Pid)) {
		t.Errorf("other process: got %v, want ErrLocked with its pid", err)
	}
	_ = holder.Process.Kill()
	_ = holder.Wait()
	if unlock, err = local.LockDir(dir); err != nil {
		t.Fatalf("after kill -9 of the holder: %v", err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	if _, err := local.LockDir("/dev/null/x"); err == nil {
		t.Error("impossible directory: got no error")
	}
}
