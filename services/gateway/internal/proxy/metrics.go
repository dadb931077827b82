package proxy

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	requests *prometheus.CounterVec
	overhead prometheus.Histogram
	ttft     prometheus.Histogram
	inFlight prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "loom_gateway_requests_total",
			Help: "Requests by outcome (completed, failed, canceled, refused) and class of status.",
		}, []string{"outcome", "status"}),
		overhead: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "loom_gateway_overhead_seconds",
			Help:    "Time of a request that was spent in the gateway itself: not waiting for the client or the provider.",
			Buckets: []float64{25e-6, 50e-6, 100e-6, 200e-6, 400e-6, 800e-6, 1.6e-3, 3.2e-3, 6.4e-3, 12.8e-3, 51.2e-3, 0.2},
		}),
		ttft: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "loom_gateway_ttft_seconds",
			Help:    "Time to the first token of streams.",
			Buckets: []float64{0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2},
		}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "loom_gateway_requests_in_flight", Help: "Completions being served now.",
		}),
	}
	reg.MustRegister(m.requests, m.overhead, m.ttft, m.inFlight)
	return m
}

func (m *metrics) request(outcome string, status int) {
	m.requests.WithLabelValues(outcome, strconv.Itoa(status/100)+"xx").Inc()
}
