package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"loom.internal/pkg/telemetry"
)

func TestNewLogger(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	log, err := telemetry.NewLogger(&b, "warn", "json")
	if err != nil {
		t.Fatal(err)
	}
	log.Info("quiet")
	log.Warn("loud", slog.Int("n", 1))
	var line map[string]any
	if err := json.Unmarshal(b.Bytes(), &line); err != nil {
		t.Fatalf("want one JSON line, got %q: %v", b.String(), err)
	}
	if line["msg"] != "loud" || line["n"] != 1.0 || line["level"] != "WARN" {
		t.Errorf("line: got %v", line)
	}
	b.Reset()
	if log, err = telemetry.NewLogger(&b, "DEBUG", "text"); err != nil {
		t.Fatal(err)
	}
	log.Debug("hello")
	if got := b.String(); !strings.Contains(got, "level=DEBUG msg=hello") {
		t.Errorf("text: got %q", got)
	}
}

func TestNewLoggerFaults(t *testing.T) {
	t.Parallel()
	for _, c := range [][3]string{
		{"loud", "json", `log level "loud": want debug, info, warn or error`},
		{"", "json", `log level ""`},
		{"info", "xml", `log format "xml": want json or text`},
	} {
		if _, err := telemetry.NewLogger(io.Discard, c[0], c[1]); err == nil || !strings.Contains(err.Error(), c[2]) {
			t.Errorf("NewLogger(%q, %q): got %v, want %q", c[0], c[1], err, c[2])
		}
	}
}

func get(t *testing.T, h http.Handler) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
	return w.Code, strings.TrimSpace(w.Body.String())
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	reg := telemetry.NewRegistry()
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "loom_test_total", Help: "x"})
	reg.MustRegister(c)
	c.Add(3)
	code, body := get(t, telemetry.MetricsHandler(reg))
	if code != http.StatusOK {
		t.Fatalf("status: got %d, want 200", code)
	}
	for _, want := range []string{"loom_test_total 3", "go_goroutines ", "process_start_time_seconds ", `loom_build_info{go_version="go1`} {
		if !strings.Contains(body, want) {
			t.Errorf("metrics lack %q", want)
		}
	}
}

func TestReadiness(t *testing.T) {
	t.Parallel()
	var r telemetry.Readiness
	h := r.ReadyHandler()
	check := func(code int, body string) {
		t.Helper()
		if gotCode, got := get(t, h); gotCode != code || got != body {
			t.Errorf("got %d %s, want %d %s", gotCode, got, code, body)
		}
	}
	check(200, `{"failing":[],"ready":true}`)
	r.Set("postgres", errors.New("dial 10.0.0.1: refused"))
	r.Set("nats", errors.New("away"))
	check(503, `{"failing":["nats","postgres"],"ready":false}`)
	if got, want := r.Err().Error(), "nats: away\npostgres: dial 10.0.0.1: refused"; got != want {
		t.Errorf("Err: got %q, want %q", got, want)
	}
	r.Set("nats", nil)
	check(503, `{"failing":["postgres"],"ready":false}`)
	r.Set("postgres", nil)
	check(200, `{"failing":[],"ready":true}`)
	if err := r.Err(); err != nil {
		t.Errorf("Err: got %v, want nil", err)
	}
	if code, body := get(t, telemetry.HealthHandler()); code != 200 || body != `{"healthy":true}` {
		t.Errorf("health: got %d %s", code, body)
	}
}

func TestReadinessConcurrent(t *testing.T) {
	t.Parallel()
	var r telemetry.Readiness
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				r.Set("x", errors.New("y"))
				_ = r.Err()
				r.Set("x", nil)
			}
		})
	}
	wg.Wait()
	if err := r.Err(); err != nil {
		t.Errorf("Err: got %v, want nil", err)
	}
}

func TestReadinessWatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var (
			r   telemetry.Readiness
			log bytes.Buffer
		)
		away := errors.New("away")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		state := away
		go func() {
			defer close(done)
			r.Watch(ctx, slog.New(slog.NewTextHandler(&log, nil)), map[string]func(context.Context) error{"postgres": func(context.Context) error { return state }})
		}()
		synctest.Wait()
		if err := r.Err(); !errors.Is(err, away) {
			t.Errorf("while it is away: %v", err)
		}
		state = nil
		time.Sleep(3 * time.Second) //nolint:forbidigo // the bubble's clock
		synctest.Wait()
		if err := r.Err(); err != nil {
			t.Errorf("when it is back: %v", err)
		}
		cancel()
		<-done
		for _, want := range []string{"not ready, checking again", "ready again"} {
			if n := strings.Count(log.String(), want); n != 1 {
				t.Errorf("%q is logged %d times, want once: %s", want, n, log.String())
			}
		}
	})
}
