package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const oldestPostgres = 14

// ErrNoPostgres means that this machine has no Postgres that could be used.
var ErrNoPostgres = errors.New("no PostgreSQL 14 or newer was found on this machine (looked in PATH, pg_config and the usual folders).\n" +
	"  Debian, Ubuntu:   apt-get install postgresql\n" +
	"  Fedora, RHEL:     dnf install postgresql-server\n" +
	"  macOS:            brew install postgresql@17\n" +
	"  or name one:      LOOM_PG_BIN=/path/to/postgresql/bin\n" +
	"  or use a server:  LOOM_DATABASE_URL=postgres://user:password@host/database")

// folders are where distributions put Postgres's programs.
var folders = []string{
	"/usr/lib/postgresql/*/bin", // Debian, Ubuntu
	"/usr/pgsql-*/bin",          // PGDG on Fedora, RHEL
	"/usr/libexec/postgresql*",  // Alpine
	"/opt/homebrew/opt/postgresql@*/bin",
	"/usr/local/opt/postgresql@*/bin",
	"/Applications/Postgres.app/Contents/Versions/*/bin",
}

// installation is a set of Postgres programs.
type installation struct {
	bin   string // directory of initdb and postgres
	major string // "15"
}

// find returns the Postgres to use: the one in dir if dir is given, else the
// first that works of PATH, pg_config and the usual folders, newest first.
func find(ctx context.Context, dir string, folders []string) (installation, error) {
	if dir != "" {
		in, err := inspect(ctx, dir)
		if err != nil {
			return in, fmt.Errorf("no usable PostgreSQL in %s: %w; set LOOM_PG_BIN to the directory of initdb and postgres", dir, err)
		}
		return in, nil
	}
	for _, dir := range candidates(ctx, folders) {
		if in, err := inspect(ctx, dir); err == nil {
			return in, nil
		}
	}
	return installation{}, ErrNoPostgres
}

func candidates(ctx context.Context, folders []string) []string {
	var dirs []string
	if p, err := exec.LookPath("postgres"); err == nil {
		if p, err = filepath.EvalSymlinks(p); err == nil { // initdb looks for its files beside the real program
			dirs = append(dirs, filepath.Dir(p))
		}
	}
	if out, err := exec.CommandContext(ctx, "pg_config", "--bindir").Output(); err == nil {
		dirs = append(dirs, strings.TrimSpace(string(out)))
	}
	for _, pattern := range folders {
		found, _ := filepath.Glob(pattern) // the patterns are well formed
		slices.SortFunc(found, func(a, b string) int { return lastNumber(b) - lastNumber(a) })
		dirs = append(dirs, found...)
	}
	return dirs
}

// lastNumber is the version in a path: 15 for /usr/lib/postgresql/15/bin.
func lastNumber(path string) int {
	n := 0
	for _, f := range strings.FieldsFunc(path, func(r rune) bool { return r < '0' || r > '9' }) {
		n, _ = strconv.Atoi(f)
	}
	return n
}

// inspect runs what is in dir to learn whether it works and what it is.
func inspect(ctx context.Context, dir string) (installation, error) {
	if st, err := os.Stat(filepath.Join(dir, "initdb")); err != nil || st.Mode()&0o111 == 0 {
		return installation{}, errors.New("it has no initdb")
	}
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").Output() //nolint:gosec // the operator's choice
	if err != nil {
		return installation{}, fmt.Errorf("postgres --version: %w", err)
	}
	words := strings.Fields(string(out)) // postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1), 17beta1
	if len(words) < 3 {
		return installation{}, fmt.Errorf("postgres --version: cannot read %q", out)
	}
	digits := words[2][:len(words[2])-len(strings.TrimLeft(words[2], "0123456789"))]
	major, err := strconv.Atoi(digits)
	if err != nil {
		return installation{}, fmt.Errorf("postgres --version: cannot read %q", out)
	}
	if major < oldestPostgres {
		return installation{}, fmt.Errorf("it is version %d, need %d or newer", major, oldestPostgres)
	}
	return installation{bin: dir, major: digits}, nil
}
