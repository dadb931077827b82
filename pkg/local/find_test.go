package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// fakeInstallation makes programs that only know their version.
func fakeInstallation(t *testing.T, dir, version string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"initdb", "postgres"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\necho '"+version+"'\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFind(t *testing.T) {
	root := t.TempDir()
	for _, v := range []string{"9", "15", "16"} {
		fakeInstallation(t, filepath.Join(root, "lib", v, "bin"), "postgres (PostgreSQL) "+v+".2")
	}
	fakeInstallation(t, filepath.Join(root, "lib", "30", "bin"), "broken")
	patterns := []string{filepath.Join(root, "lib", "*", "bin")}
	t.Setenv("PATH", filepath.Join(root, "empty")+":/nowhere")

	in, err := find(t.Context(), "", patterns)
	if want := filepath.Join(root, "lib", "16", "bin"); err != nil || in.bin != want || in.major != "16" {
		t.Errorf("newest that works: got %+v, %v, want %s", in, err, want)
	}
	if _, err := find(t.Context(), "", nil); !errors.Is(err, ErrNoPostgres) || !strings.Contains(err.Error(), "LOOM_DATABASE_URL") {
		t.Errorf("none: got %v, want ErrNoPostgres with the ways out", err)
	}

	// On PATH by a link: the directory is the one it leads to.
	link := filepath.Join(root, "path")
	if err := os.Mkdir(link, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(root, "lib", "15", "bin", "postgres"), filepath.Join(link, "postgres")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", link)
	if in, err := find(t.Context(), "", patterns); err != nil || in.major != "15" {
		t.Errorf("PATH first: got %+v, %v, want 15", in, err)
	}
	if in, err := find(t.Context(), filepath.Join(root, "lib", "16", "bin"), patterns); err != nil || in.major != "16" {
		t.Errorf("explicit first: got %+v, %v, want 16", in, err)
	}
}

func TestInspect(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)": "15",
		"postgres (PostgreSQL) 19beta1":                        "19",
		"postgres (PostgreSQL) 9.6.1":                          "error",
		"hello":                                                "error",
		"a b c":                                                "error",
	} {
		in, err := inspect(t.Context(), fakeInstallation(t, t.TempDir(), text))
		if got := in.major; (err != nil) != (want == "error") || err == nil && got != want {
			t.Errorf("%q: got %q, %v, want %s", text, got, err, want)
		}
	}
}

func TestInstall(t *testing.T) {
	t.Parallel()
	etc := t.TempDir()
	var ran []string
	i := installer{etc: etc, log: slog.New(slog.DiscardHandler), run: func(_ context.Context, name string, args ...string) error {
		ran = append(ran, name+" "+strings.Join(args, " "))
		return nil
	}}
	if err := i.install(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []string{"apt-get update -q", "apt-get install -q -y --no-install-recommends -o Dpkg::Options::=--force-confold postgresql"}
	if !slices.Equal(ran, want) {
		t.Errorf("ran %q, want %q", ran, want)
	}
	conf := filepath.Join(etc, "postgresql-common", "createcluster.conf")
	if b, err := os.ReadFile(conf); err != nil || string(b) != "create_main_cluster = false\n" {
		t.Errorf("createcluster.conf: got %q, %v", b, err)
	}
	if err := os.WriteFile(conf, []byte("theirs"), 0o600); err != nil {
		t.Fatal(err)
	}
	i.run = func(context.Context, string, ...string) error { return fmt.Errorf("no network") }
	if err := i.install(t.Context()); err == nil || !strings.Contains(err.Error(), "apt-get update: no network") {
		t.Errorf("without network: got %v", err)
	}
	if b, _ := os.ReadFile(conf); string(b) != "theirs" {
		t.Errorf("the operator's file became %q", b)
	}
	if err := runQuietly(t.Context(), "sh", "-c", "echo why; exit 3"); err == nil || !strings.Contains(err.Error(), "exit status 3\nwhy") {
		t.Errorf("runQuietly: got %v", err)
	}
}

func TestLogWriter(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	w := &logWriter{log: slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	long := strings.Repeat("y", maxLine+5)
	for _, s := range []string{"LOG:  on", "e\nFATAL:  two\n", "FATAL:  the database system is starting up\n", long, "\n"} {
		if n, err := w.Write([]byte(s)); n != len(s) || err != nil {
			t.Fatalf("Write: %d, %v", n, err)
		}
	}
	for _, want := range []string{"level=DEBUG msg=postgres text=\"LOG:  one\"", "level=WARN msg=postgres text=\"FATAL:  two\"", "level=DEBUG msg=postgres text=\"FATAL:  the database", "text=yyyyy\n"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("log lacks %q", want)
		}
	}
	if got := w.String(); len(got) > maxTail || !strings.HasSuffix(got, "yyy") {
		t.Errorf("tail: %d bytes", len(got))
	}
}
