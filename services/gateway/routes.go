package gateway

import (
	"errors"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"loom.internal/pkg/telemetry"
	"loom.internal/services/gateway/internal/openai"
)

// Handler serves the API, and /healthz and /readyz beside it. SDKs append their paths
// to whatever base URL they are given: with and without /v1, with and without a slash
// at the end. Nothing else is forwarded to a provider.
func (s *Service) Handler() http.Handler {
	e := echo.New()
	e.HTTPErrorHandler = s.unrouted
	chat, models := echo.WrapHandler(s.proxy.Chat()), echo.WrapHandler(s.proxy.Models())
	for _, base := range []string{"/v1", ""} {
		model := echo.WrapHandler(s.proxy.Model(func(r *http.Request) string {
			return strings.TrimPrefix(r.URL.Path, base+"/models/")
		}))
		for _, slash := range []string{"", "/"} {
			e.POST(base+"/chat/completions"+slash, chat)
			e.GET(base+"/models"+slash, models)
		}
		e.GET(base+"/models/*", model)
	}
	for path, h := range map[string]http.Handler{"/healthz": telemetry.HealthHandler(), "/readyz": s.deps.Ready.ReadyHandler()} {
		e.Match([]string{http.MethodGet, http.MethodHead}, path, echo.WrapHandler(h))
	}
	return e
}

// Ops serves /metrics, /healthz and /readyz, for an address that only operators reach.
func Ops(metrics *prometheus.Registry, ready *telemetry.Readiness) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", telemetry.MetricsHandler(metrics))
	mux.Handle("GET /healthz", telemetry.HealthHandler())
	mux.Handle("GET /readyz", ready.ReadyHandler())
	return mux
}

// unrouted answers what no route serves.
func (s *Service) unrouted(err error, c echo.Context) {
	s.proxy.Shield(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case errors.Is(err, echo.ErrMethodNotAllowed):
			openai.MethodNotSupported(r.Method).Write(w)
		case errors.Is(err, echo.ErrNotFound):
			openai.InvalidURL(r.Method, r.URL.Path).Write(w)
		default:
			openai.Internal().Write(w)
		}
	})).ServeHTTP(c.Response(), c.Request())
}
