package up

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"loom.internal/pkg/config"
)

func TestMasterKey(t *testing.T) {
	t.Parallel()
	const hex, other = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1eff"
	const asBase64 = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	for _, c := range []struct {
		name, given, stored string
		want                string // in the error; "" for none
		made                bool
	}{
		{"neither", "", "", "", true},
		{"given", hex, "", "", false},
		{"stored", "", hex, "", false},
		{"the same twice", hex, hex, "", false},
		{"the same, spelled differently", asBase64, hex, "", false},
		{"two keys", other, hex, "is another key than the one in", false},
		{"given one malformed", "short", "", "must be 32 random bytes", false},
		{"stored one malformed", "", "short", "master.key: the master key must be 32 random bytes", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			file := filepath.Join(dir, "master.key")
			if c.stored != "" {
				if err := os.WriteFile(file, []byte(c.stored+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			given := config.VersionedSecret{}
			if c.given != "" {
				given[1] = config.Secret(c.given)
			}
			k, err := findMasterKey(dir, given)
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v, want %q in it", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if k.made != c.made {
				t.Errorf("made: got %v, want %v", k.made, c.made)
			}
			if !c.made {
				return
			}
			again, err := findMasterKey(dir, nil)
			if err != nil || again.made || again.versions[1].Reveal() != k.versions[1].Reveal() {
				t.Errorf("the next start: got another key, or %v", err)
			}
			if err := k.discard(); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(file); !os.IsNotExist(err) {
				t.Errorf("after discard: %v", err)
			}
		})
	}
}

func TestAsRole(t *testing.T) {
	t.Parallel()
	for dsn, want := range map[string]string{
		"postgres://owner:secret@db:5432/loom?sslmode=require": "postgres://loom_admin:pw@db:5432/loom?sslmode=require",
		"postgresql:///loom?host=/run/pg":                      "postgresql://loom_admin:pw@/loom?host=/run/pg",
		"host=db user=owner password=secret dbname=loom":       "host=db user=owner password=secret dbname=loom user=loom_admin password=pw",
	} {
		if got, err := asRole(dsn, "loom_admin", "pw"); err != nil || got != want {
			t.Errorf("%s: got %s, %v, want %s", dsn, got, err, want)
		}
	}
	if _, err := asRole("postgres://owner:hidden@db:x:y/%zz", "r", "p"); err == nil || strings.Contains(err.Error(), "hidden") {
		t.Errorf("no URL: got %v, want an error without the password", err)
	}
}

func TestSettingsListEveryFault(t *testing.T) {
	t.Parallel()
	s := Settings{GatewayAddr: "8080", OpsAddr: "nowhere", Drain: -time.Second}
	err := s.Validate()
	for _, want := range []string{"LOOM_GATEWAY_ADDR", "LOOM_DASHBOARD_ADDR", "LOOM_OPS_ADDR", "LOOM_DATA_DIR", "LOOM_DRAIN"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %s in: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "LOOM_NATS_ADDR") {
		t.Errorf("an address that may be empty is faulted: %v", err)
	}
}

func TestAddress(t *testing.T) {
	t.Parallel()
	for listen, want := range map[string]string{":0": "http://127.0.0.1:", "127.0.0.1:0": "http://127.0.0.1:"} {
		ln, err := net.Listen("tcp", listen)
		if err != nil {
			t.Fatal(err)
		}
		if got := address(ln); !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %s, want %s…", listen, got, want)
		}
		if err := ln.Close(); err != nil {
			t.Error(err)
		}
	}
}
