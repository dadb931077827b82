package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// secretsScript runs deploy/compose/secrets.sh on a directory.
func secretsScript(t *testing.T, dir string) (out string, ok bool) {
	t.Helper()
	b, err := exec.Command("sh", "../../deploy/compose/secrets.sh", dir).CombinedOutput()
	return string(b), err == nil
}

// TestSecretsAreMadeOnce: strong, each its own, and never again.
func TestSecretsAreMadeOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	read := func() map[string]string {
		t.Helper()
		all := map[string]string{}
		err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			text, err := os.ReadFile(path)
			all[strings.TrimPrefix(path, dir+"/")] = string(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	if out, ok := secretsScript(t, dir); !ok {
		t.Fatalf("the first time:\n%s", out)
	}
	first := read()
	if !regexp.MustCompile(`^[0-9a-f]{64}\n$`).MatchString(first["master/key"]) {
		t.Error("the master key is not 32 bytes of hex")
	}
	seen := map[string]string{}
	for name, text := range first {
		if other, twice := seen[text]; twice && !strings.HasSuffix(name, "_url") {
			t.Errorf("%s and %s hold the same", name, other)
		}
		seen[text] = name
	}
	if want := "nats://gateway:" + strings.TrimSpace(first["nats/gateway"]) + "@nats:4222\n"; first["gateway/nats_url"] != want {
		t.Error("the address of the gateway's NATS does not hold its password")
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory: %v, mode %v, want 0700", err, info.Mode())
	}
	if out, ok := secretsScript(t, dir); !ok || out != "" {
		t.Errorf("the second time: %v, %q, want nothing said", ok, out)
	}
	for name, text := range read() {
		if text != first[name] {
			t.Errorf("%s was changed", name)
		}
	}
}

func TestSecretsRefuseWeakOnes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ file, text, want string }{
		{"postgres/password", "", "postgres/password is empty"},
		{"nats/gateway", "", "nats/gateway is empty"},
		{"nats/recorder", "changeme\n", "nats/recorder is shorter than 20 characters"},
		{"nats/recorder", "1234567890123456789012345\n", "nats/recorder does not begin with a letter"},
		{"migrate/admin_password", "a/b?c#aaaaaaaaaaaaaaaaaaaaaaaa\n", "migrate/admin_password has other characters"},
		{"master/key", "secret\n", "master/key must be 32 random bytes"},
		{"dashboard/database_url", "", "dashboard/database_url is empty"},
	} {
		t.Run(c.file+" "+c.want, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if out, ok := secretsScript(t, dir); !ok {
				t.Fatal(out)
			}
			path := filepath.Join(dir, c.file)
			if err := os.Chmod(path, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			out, ok := secretsScript(t, dir)
			if ok || !strings.Contains(out, "secrets: "+c.want) || !strings.Contains(out, "nothing was started") {
				t.Errorf("passes: %v, want a refusal with %q:\n%s", ok, c.want, out)
			}
			if now, err := os.ReadFile(path); err != nil || string(now) != c.text {
				t.Errorf("the file was changed: %v, %q", err, now)
			}
		})
	}
}
