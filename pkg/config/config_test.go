package config_test

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"loom.internal/pkg/config"
)

type level int

func (l *level) UnmarshalText(b []byte) error {
	if string(b) != "low" {
		return errors.New("the only level is low")
	}
	*l = 1
	return nil
}

type limits struct {
	MaxBody int64 `split_words:"true" default:"1024" desc:"largest body, in bytes"`
}

type settings struct {
	Addr     string        `default:":8080" desc:"where to listen"`
	Drain    time.Duration `default:"5s" desc:"how long to drain"`
	Models   []string      `desc:"a|b"`
	Debug    bool
	Level    level
	Limits   limits
	APIKey   config.Secret `split_words:"true" required:"true" desc:"the provider's key"`
	Database config.Secret `envconfig:"LOOM_DATABASE_URL"`
	Master   config.Secret `envconfig:"MASTER_KEY" global:"true"`
	invalid  error
}

func (s *settings) Validate() error {
	if s.Drain <= 0 {
		return errors.Join(errors.New("LOOM_TEST_DRAIN must be positive"), s.invalid)
	}
	return nil
}

func TestLoad(t *testing.T) {
	t.Setenv("LOOM_TEST_API_KEY", "k")
	t.Setenv("LOOM_TEST_DRAIN", "7s")
	t.Setenv("LOOM_TEST_MODELS", "a,b")
	t.Setenv("LOOM_TEST_LIMITS_MAX_BODY", "9")
	t.Setenv("LOOM_DATABASE_URL", "postgres://u:p@h/d")
	var got settings
	if err := config.Load("LOOM_TEST", &got); err != nil {
		t.Fatal(err)
	}
	want := settings{
		Addr: ":8080", Drain: 7 * time.Second, Models: []string{"a", "b"}, Limits: limits{MaxBody: 9},
		APIKey: "k", Database: "postgres://u:p@h/d",
	}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(settings{}), cmp.Comparer(func(a, b config.Secret) bool { return a.Reveal() == b.Reveal() })); d != "" {
		t.Errorf("settings (-want +got):\n%s", d)
	}
}

func TestLoadFaults(t *testing.T) {
	for _, c := range []struct {
		name string
		env  map[string]string
		want string
	}{
		{"missing secret", nil, "LOOM_TEST_API_KEY is required (or LOOM_TEST_API_KEY_FILE, the path of a file that holds it): the provider's key"},
		{"empty is missing", map[string]string{"LOOM_TEST_API_KEY": ""}, "LOOM_TEST_API_KEY is required"},
		{"duration", map[string]string{"LOOM_TEST_API_KEY": "k", "LOOM_TEST_DRAIN": "5"}, `LOOM_TEST_DRAIN: want a duration such as 500ms, 30s or 5m, got "5"`},
		{"bool", map[string]string{"LOOM_TEST_API_KEY": "k", "LOOM_TEST_DEBUG": "si"}, `LOOM_TEST_DEBUG: want true or false, got "si"`},
		{"int", map[string]string{"LOOM_TEST_API_KEY": "k", "LOOM_TEST_LIMITS_MAX_BODY": "1MB"}, `LOOM_TEST_LIMITS_MAX_BODY: want a whole number of at most 64 bits, got "1MB"`},
		{"own reader", map[string]string{"LOOM_TEST_API_KEY": "k", "LOOM_TEST_LEVEL": "top"}, `LOOM_TEST_LEVEL: cannot use "top": the only level is low`},
		{"validate", map[string]string{"LOOM_TEST_API_KEY": "k", "LOOM_TEST_DRAIN": "-1s"}, "LOOM_TEST_DRAIN must be positive"},
		{"file away", map[string]string{"LOOM_TEST_API_KEY_FILE": "/nowhere"}, "LOOM_TEST_API_KEY_FILE: open /nowhere"},
		{"both", map[string]string{"LOOM_TEST_API_KEY": "hidden", "LOOM_TEST_API_KEY_FILE": "/nowhere"}, "LOOM_TEST_API_KEY and LOOM_TEST_API_KEY_FILE are both set: set one of them"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for k, v := range c.env {
				t.Setenv(k, v)
			}
			err := config.Load("LOOM_TEST", &settings{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Load: got %v, want %q in it", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "hidden") {
				t.Errorf("the error shows a secret: %v", err)
			}
		})
	}
}

func TestLoadNamesEveryMissingVariable(t *testing.T) {
	var cfg struct {
		One string `required:"true"`
		Two string `required:"true"`
	}
	err := config.Load("LOOM_TEST", &cfg)
	if err == nil || !strings.Contains(err.Error(), "LOOM_TEST_ONE is required\nLOOM_TEST_TWO is required") {
		t.Errorf("Load: got %v, want both variables", err)
	}
	if err := config.Load("LOOM_TEST", cfg); err == nil {
		t.Error("Load of a struct that is no pointer: got no error")
	}
}

func TestSecretFromFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	for text, want := range map[string]string{"abc\n": "abc", "abc\r\n": "abc", "abc": "abc", "abc\n\n": "abc\n", " abc ": " abc "} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("LOOM_TEST_API_KEY_FILE", file)
		t.Setenv("LOOM_DATABASE_URL_FILE", file)
		var cfg settings
		if err := config.Load("LOOM_TEST", &cfg); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if got := cfg.APIKey.Reveal(); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
		if got := cfg.Database.Reveal(); got != want {
			t.Errorf("shared name, %q: got %q, want %q", text, got, want)
		}
		if v, ok := os.LookupEnv("LOOM_TEST_API_KEY"); ok {
			t.Errorf("the secret stays in the environment: %q", v)
		}
	}
	for text, want := range map[string]string{"": "is empty", "a\x00b": "cannot hold"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := config.Load("LOOM_TEST", &settings{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("file of %q: got %v, want %q", text, err, want)
		}
	}
}

func TestSecretNeverShows(t *testing.T) {
	t.Parallel()
	const value = "s3cr3t-value"
	s := config.Secret(value)
	holder := struct {
		Key  config.Secret
		Keys []config.Secret
		Map  map[string]config.Secret
	}{s, []config.Secret{s}, map[string]config.Secret{"a": s}}
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
	outs := []string{logged.String(), string(asJSON), string(asXML), s.String(), fmt.Sprint(errors.New(s.String()))}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%U"} {
		outs = append(outs, fmt.Sprintf(verb, s), fmt.Sprintf(verb, holder), fmt.Sprintf(verb, &holder))
	}
	for _, out := range outs {
		if strings.Contains(out, value) || strings.Contains(strings.ToLower(out), fmt.Sprintf("%x", value)) {
			t.Errorf("shows the secret: %s", out)
		}
	}
	if got := s.Reveal(); got != value {
		t.Errorf("Reveal: got %q, want %q", got, value)
	}
}

func TestReference(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	if err := config.Reference(&b, "LOOM_TEST", &settings{}); err != nil {
		t.Fatal(err)
	}
	want := "| Variable | Type | Default | Required | Meaning |\n" +
		"|---|---|---|---|---|\n" +
		"| `LOOM_TEST_ADDR` | string | `:8080` |  | where to listen |\n" +
		"| `LOOM_TEST_DRAIN` | duration | `5s` |  | how long to drain |\n" +
		"| `LOOM_TEST_MODELS` | list of string |  |  | a\\|b |\n" +
		"| `LOOM_TEST_DEBUG` | bool |  |  |  |\n" +
		"| `LOOM_TEST_LEVEL` | level |  |  |  |\n" +
		"| `LOOM_TEST_LIMITS_MAX_BODY` | int64 | `1024` |  | largest body, in bytes |\n" +
		"| `LOOM_TEST_API_KEY` or `LOOM_TEST_API_KEY_FILE` | secret |  | yes | the provider's key |\n" +
		"| `LOOM_DATABASE_URL` or `LOOM_DATABASE_URL_FILE` | secret |  |  |  |\n" +
		"| `MASTER_KEY` or `MASTER_KEY_FILE` | secret |  |  |  |\n"
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Errorf("table (-want +got):\n%s", d)
	}
}
