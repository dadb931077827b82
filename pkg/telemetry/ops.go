package telemetry

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
)

// OpsHandler serves what operators ask a service: /metrics, /healthz and /readyz.
func OpsHandler(reg *prometheus.Registry, ready *Readiness) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", MetricsHandler(reg))
	mux.Handle("GET /healthz", HealthHandler())
	mux.Handle("GET /readyz", ready.ReadyHandler())
	return mux
}
