// Package httpapi is the dashboard over HTTP: the API of api/openapi.yaml and, beside
// it, the web UI.
package httpapi

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"loom.internal/pkg/telemetry"
	"loom.internal/services/dashboard/internal/admin"
	"loom.internal/services/dashboard/internal/auth"
	"loom.internal/services/dashboard/internal/dead"
	"loom.internal/services/dashboard/internal/keyring"
	"loom.internal/services/dashboard/internal/pipeline"
	"loom.internal/services/dashboard/internal/stats"
	"loom.internal/services/dashboard/internal/tail"
	"loom.internal/services/dashboard/internal/traces"
	"loom.internal/services/dashboard/internal/verify"
)

// Options are what the API serves and how.
type Options struct {
	Auth    *auth.Authenticator
	Limiter *auth.Limiter
	Traces  *traces.Reader
	Stats   *stats.Reader
	Admin   *admin.Admin
	Keys    *keyring.Keyring
	Push    func(context.Context) error // tells gateways of what was changed

	Verifier *verify.Verifier
	Pipeline *pipeline.Pipeline
	Tail     *tail.Hub
	Dead     *dead.Desk

	UI      http.Handler // for every path that is not the API's, base path included
	Ready   *telemetry.Readiness
	Log     *slog.Logger
	Metrics prometheus.Registerer
	Now     func() time.Time

	BasePath      string // what all paths start with, such as "/loom"; empty for none
	GatewayURL    string
	PlaygroundURL string // where this process reaches a gateway
	SecureCookies bool   // mark cookies Secure whatever the request came over
	TrustProxy    bool   // believe X-Forwarded-For from a private address
}

// API answers requests.
type API struct {
	Options
	echo    *echo.Echo
	origin  *http.CrossOriginProtection
	latency *prometheus.HistogramVec
	player  *http.Client
}

// New wires the routes.
func New(o Options) (*API, error) {
	a := &API{
		Options: o,
		echo:    echo.New(),
		origin:  http.NewCrossOriginProtection(),
		player:  newPlayer(),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "loom_dashboard_request_duration_seconds",
			Help:    "Time to answer a request of the API, by route, method and status.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 15},
		}, []string{"route", "method", "code"}),
	}
	if err := o.Metrics.Register(a.latency); err != nil {
		return nil, fmt.Errorf("metrics of the dashboard: %w", err)
	}
	a.echo.IPExtractor = echo.ExtractIPDirect()
	if o.TrustProxy {
		a.echo.IPExtractor = echo.ExtractIPFromXFFHeader()
	}
	a.echo.HTTPErrorHandler = a.fail
	a.echo.Use(a.observe)
	for _, r := range a.routes() {
		a.echo.Add(r.method, r.path, r.handle, a.access(r))
	}
	return a, nil
}

// Handler serves the API, health and the UI, below the base path; health also at the
// root, since probes need not know the base path.
func (a *API) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle(a.BasePath+"/api/", http.StripPrefix(a.BasePath, a.echo))
	mux.Handle("/healthz", telemetry.HealthHandler())
	mux.Handle("/readyz", a.Ready.ReadyHandler())
	mux.Handle("/", a.UI)
	return secure(mux)
}

// policy is that of whatever has no own: the UI sends another with its pages.
const policy = "default-src 'none'; frame-ancestors 'none'"

func secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}

// cookiePath is where the session's cookie is sent.
func (a *API) cookiePath() string { return strings.TrimSuffix(a.BasePath, "/") + "/" }
