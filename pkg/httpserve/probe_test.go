package httpserve_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"loom.internal/pkg/httpserve"
)

func TestProbe(t *testing.T) {
	t.Parallel()
	serve := func(status int) string {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/readyz" {
				status = http.StatusNotFound
			}
			w.WriteHeader(status)
			_, _ = w.Write([]byte(`{"ready":false,"failing":["nats"]}`))
		}))
		t.Cleanup(srv.Close)
		return strings.TrimPrefix(srv.URL, "http://")
	}
	ready, failing := serve(http.StatusOK), serve(http.StatusServiceUnavailable)
	_, port, _ := strings.Cut(ready, ":")
	for _, c := range []struct{ name, addr, want string }{
		{"ready", ready, ""},
		{"any address", ":" + port, ""},
		{"any address of IPv4", "0.0.0.0:" + port, ""},
		{"not ready", failing, `not ready: {"ready":false,"failing":["nats"]}`},
		{"nobody there", "127.0.0.1:1", "not ready: "},
		{"off", "", "nobody to ask: set LOOM_X_OPS_ADDR"},
		{"no port", "127.0.0.1", "want host:port in LOOM_X_OPS_ADDR"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := httpserve.Probe(t.Context(), c.addr, "LOOM_X_OPS_ADDR")
			if c.want == "" && err != nil {
				t.Errorf("got %v, want no error", err)
			}
			if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q in it", err, c.want)
			}
		})
	}
}
