package gateway

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"loom.internal/pkg/telemetry"
	"loom.internal/services/gateway/internal/endpoint"
	"loom.internal/services/gateway/internal/openai"
)

// Handler serves the API, and /healthz and /readyz beside it. SDKs append their paths
// to whatever base URL they are given: with and without /v1, with and without a slash
// at the end, and as Azure has it. Nothing else is forwarded to a provider.
func (s *Service) Handler() http.Handler {
	e := echo.New()
	e.HTTPErrorHandler = s.unrouted
	models := echo.WrapHandler(s.proxy.Models())
	for _, base := range []string{"/v1", "", azureBase + "/v1", azureBase} {
		for _, op := range endpoint.All() {
			if strings.HasPrefix(base, azureBase) && op.Dialect != endpoint.OpenAI {
				continue
			}
			both(e.POST, base+"/"+op.Path, echo.WrapHandler(s.proxy.Serve(op, "")))
		}
		stored := base + "/" + endpoint.Responses.Path + "/:id"
		both(e.GET, stored, s.stored(endpoint.RetrieveResponse, ""))
		both(e.DELETE, stored, s.stored(endpoint.DeleteResponse, ""))
		both(e.POST, stored+"/cancel", s.stored(endpoint.CancelResponse, "/cancel"))
		both(e.GET, stored+"/input_items", s.stored(endpoint.ListInputItems, "/input_items"))
		both(e.GET, base+"/models", models)
		e.GET(base+"/models/*", echo.WrapHandler(s.proxy.Model(func(r *http.Request) string {
			return strings.TrimPrefix(r.URL.Path, base+"/models/")
		})))
	}
	for _, op := range endpoint.Deployed() {
		h := s.deployment(op)
		both(e.POST, azureBase+"/deployments/:deployment/"+op.Path, h)
	}
	for path, h := range map[string]http.Handler{"/healthz": telemetry.HealthHandler(), "/readyz": s.deps.Ready.ReadyHandler()} {
		e.Match([]string{http.MethodGet, http.MethodHead}, path, echo.WrapHandler(h))
	}
	return e
}

// azureBase is what SDKs for Azure put before their paths.
const azureBase = "/openai"

// both serves a path with and without a slash at its end.
func both(add func(path string, h echo.HandlerFunc, m ...echo.MiddlewareFunc) *echo.Route, path string, h echo.HandlerFunc) {
	add(path, h)
	add(path+"/", h)
}

// deployment serves an endpoint whose model the path names.
func (s *Service) deployment(op endpoint.Endpoint) echo.HandlerFunc {
	return func(c echo.Context) error {
		name := unescaped(c, "deployment")
		if name == "" {
			return echo.ErrNotFound
		}
		s.proxy.Serve(op, name).ServeHTTP(c.Response(), c.Request())
		return nil
	}
}

// stored serves a call about a stored response.
func (s *Service) stored(op endpoint.Endpoint, suffix string) echo.HandlerFunc {
	return func(c echo.Context) error {
		s.proxy.Stored(op, unescaped(c, "id"), suffix).ServeHTTP(c.Response(), c.Request())
		return nil
	}
}

// unescaped is a segment of the path as it was meant; the router gives it as it came
// where the path can be escaped in several ways.
func unescaped(c echo.Context, name string) string {
	segment := c.Param(name)
	if c.Request().URL.RawPath == "" {
		return segment
	}
	if text, err := url.PathUnescape(segment); err == nil {
		return text
	}
	return segment
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
	r, fault := c.Request(), openai.Internal()
	switch {
	case errors.Is(err, echo.ErrMethodNotAllowed):
		fault = openai.MethodNotSupported(r.Method)
	case errors.Is(err, echo.ErrNotFound):
		fault = openai.InvalidURL(r.Method, r.URL.Path)
	}
	dialect := endpoint.OpenAI
	if strings.HasPrefix(strings.TrimPrefix(r.URL.Path, "/v1"), "/"+endpoint.Messages.Path) {
		dialect = endpoint.Anthropic
	}
	s.proxy.Refuse(dialect, fault).ServeHTTP(c.Response(), r)
}
