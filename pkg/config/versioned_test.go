package config_test

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"loom.internal/pkg/config"
)

type versioned struct {
	Master config.VersionedSecret `envconfig:"ENCRYPTION_MASTER_KEY" global:"true" required:"true" desc:"seals bodies"`
}

func TestVersionedSecret(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("from file\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		env  map[string]string
		want map[uint32]string
	}{
		{"the first only", map[string]string{"": "a"}, map[uint32]string{1: "a"}},
		{"what looks like pairs", map[string]string{"": "a:b,c"}, map[uint32]string{1: "a:b,c"}},
		{"several", map[string]string{"": "a", "_V2": "b", "_V10": "j"}, map[uint32]string{1: "a", 2: "b", 10: "j"}},
		{"without the first", map[string]string{"_V2": "b"}, map[uint32]string{2: "b"}},
		{"the last there can be", map[string]string{"_V4294967295": "z"}, map[uint32]string{4294967295: "z"}},
		{"empty is not set", map[string]string{"": "", "_V2": "b", "_V3": "", "_V1": "", "_V4_FILE": ""}, map[uint32]string{2: "b"}},
		{"from files", map[string]string{"_FILE": file, "_V2_FILE": file, "_V3": "c"}, map[uint32]string{1: "from file", 2: "from file", 3: "c"}},
		{"of a name that something else has", map[string]string{
			"": "a", "_VAULT_ADDR": "https://vault", "_VERSION": "3", "_VPC_1": "x", "_VAULT_FILE": "/nowhere", "_NAME": "n", "_": "u", "2": "w", "S_V0": "s",
		}, map[uint32]string{1: "a"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for k, v := range c.env {
				t.Setenv("ENCRYPTION_MASTER_KEY"+k, v)
			}
			before := len(os.Environ())
			var cfg versioned
			if err := config.Load("LOOM_TEST", &cfg); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, cfg.Master.Reveal()); d != "" {
				t.Errorf("versions (-want +got):\n%s", d)
			}
			if got := len(os.Environ()); got != before {
				t.Errorf("environment: got %d variables, want %d as before", got, before)
			}
		})
	}
}

func TestVersionedSecretUnderItsPrefix(t *testing.T) {
	t.Setenv("ENCRYPTION_MASTER_KEY_V2", "shared 2")
	t.Setenv("ENCRYPTION_MASTER_KEY_V3", "shared 3")
	t.Setenv("LOOM_TEST_ENCRYPTION_MASTER_KEY_V2", "own 2")
	cfg := versioned{Master: config.VersionedSecret{7: "given"}}
	if err := config.Load("LOOM_TEST", &cfg); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[uint32]string{2: "own 2", 3: "shared 3"}, cfg.Master.Reveal()); d != "" {
		t.Errorf("versions (-want +got):\n%s", d)
	}
}

func TestVersionedSecretMayBeAbsent(t *testing.T) {
	t.Setenv("ENCRYPTION_MASTER_KEY", "")
	var cfg struct {
		Master config.VersionedSecret `envconfig:"ENCRYPTION_MASTER_KEY" global:"true"`
		Other  config.VersionedSecret `default:"d"`
	}
	if err := config.Load("LOOM_TEST", &cfg); err != nil {
		t.Fatal(err)
	}
	if len(cfg.Master) != 0 || cfg.Other[1].Reveal() != "d" {
		t.Errorf("got %v and %v, want none and the default", cfg.Master.Reveal(), cfg.Other.Reveal())
	}
}

func TestVersionedSecretFaults(t *testing.T) {
	dir := t.TempDir()
	files := map[string]string{"empty": "\n", "nul": "a\x00b"}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const key = "ENCRYPTION_MASTER_KEY"
	malformed := ": a version is a number from 2 to 4294967295 after a large V, as in ENCRYPTION_MASTER_KEY_V2: rename the variable, or unset it"
	for _, c := range []struct{ variable, value, want string }{
		{"", "", key + " is required (or ENCRYPTION_MASTER_KEY_FILE, the path of a file that holds it, or a later version as ENCRYPTION_MASTER_KEY_V2): seals bodies"},
		{"_V1", "hidden", key + "_V1: version 1 is ENCRYPTION_MASTER_KEY, without a number: rename the variable"},
		{"_V1_FILE", "/nowhere", key + "_V1_FILE: version 1 is ENCRYPTION_MASTER_KEY_FILE, without a number"},
		{"_V0", "hidden", key + "_V0" + malformed},
		{"_V02", "hidden", key + "_V02" + malformed},
		{"_V01", "hidden", key + "_V01" + malformed},
		{"_V+2", "hidden", key + "_V+2" + malformed},
		{"_V-2", "hidden", key + "_V-2" + malformed},
		{"_V_2", "hidden", key + "_V_2" + malformed},
		{"_V", "hidden", key + "_V" + malformed},
		{"_Vx", "hidden", key + "_Vx" + malformed},
		{"_VX_1", "hidden", key + "_VX_1" + malformed},
		{"_V2x", "hidden", key + "_V2x" + malformed},
		{"_V2_OLD", "hidden", key + "_V2_OLD" + malformed},
		{"_v2", "hidden", key + "_v2" + malformed},
		{"_v1", "hidden", key + "_v1"},
		{"_V4294967296", "hidden", key + "_V4294967296" + malformed},
		{"_V02_FILE", "/nowhere", key + "_V02_FILE" + malformed},
		{"_V_FILE", "/nowhere", key + "_V_FILE" + malformed},
		{"_V2_FILE", "/nowhere", key + "_V2_FILE: open /nowhere"},
		{"_V2_FILE", filepath.Join(dir, "empty"), "is empty"},
		{"_V2_FILE", filepath.Join(dir, "nul"), "holds bytes a variable cannot hold"},
		{"_V3_FILE", "/nowhere", key + "_V3 and ENCRYPTION_MASTER_KEY_V3_FILE are both set: set one of them"},
	} {
		t.Run(c.variable+"="+filepath.Base(c.value), func(t *testing.T) {
			t.Setenv(key+c.variable, c.value)
			if c.variable == "_V3_FILE" {
				t.Setenv(key+"_V3", "hidden")
			}
			err := config.Load("LOOM_TEST", &versioned{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("Load: got %v, want %q in it", err, c.want)
			}
			if strings.Contains(err.Error(), "hidden") {
				t.Errorf("the error shows a secret: %v", err)
			}
		})
	}
}

func TestVersionedSecretNeverShows(t *testing.T) {
	t.Parallel()
	const value = "s3cr3t-value"
	s := config.VersionedSecret{7654321: value}
	holder := struct {
		Key  config.VersionedSecret
		Keys []config.VersionedSecret
	}{s, []config.VersionedSecret{s}}
	var logged strings.Builder
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", slog.Any("key", s), slog.Any("holder", holder))
	slog.New(slog.NewTextHandler(&logged, nil)).Info("x", slog.Any("key", s), slog.Any("holder", holder))
	asJSON, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	asXML, err := xml.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	outs := []string{logged.String(), string(asJSON), string(asXML), s.String(), s.GoString()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%U"} {
		outs = append(outs, fmt.Sprintf(verb, s), fmt.Sprintf(verb, holder), fmt.Sprintf(verb, &holder))
	}
	for _, out := range outs {
		lower := strings.ToLower(out)
		if strings.Contains(out, value) || strings.Contains(lower, fmt.Sprintf("%x", value)) || strings.Contains(out, "7654321") {
			t.Errorf("shows the secret: %s", out)
		}
	}
}

func TestReferenceOfVersionedSecret(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	if err := config.Reference(&b, "LOOM_TEST", &versioned{}); err != nil {
		t.Fatal(err)
	}
	want := "| `ENCRYPTION_MASTER_KEY`, `ENCRYPTION_MASTER_KEY_V2`, … or each with `_FILE` | secret by version |  | yes | seals bodies |\n"
	if _, got, _ := strings.Cut(b.String(), "|---|---|---|---|---|\n"); got != want {
		t.Errorf("table: got %q, want %q", got, want)
	}
}
