package directory

import (
	"github.com/prometheus/client_golang/prometheus"
)

// Metrics of the directory's caches.
type Metrics struct{ lookups, evictions *prometheus.CounterVec }

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		lookups: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "loom_gateway_directory_lookups_total",
			Help: "Look-ups of keys and tenants by result: hit, negative (refused from the cache), miss.",
		}, []string{"record", "result"}),
		evictions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "loom_gateway_directory_evictions_total",
			Help: "Cached keys and tenants that others pushed out.",
		}, []string{"record"}),
	}
	reg.MustRegister(m.lookups, m.evictions)
	return m
}

// cacheMetrics are those of one cache.
type cacheMetrics struct{ hits, negative, misses, evictions prometheus.Counter }

func (m *Metrics) of(record string) cacheMetrics {
	return cacheMetrics{
		hits:      m.lookups.WithLabelValues(record, "hit"),
		negative:  m.lookups.WithLabelValues(record, "negative"),
		misses:    m.lookups.WithLabelValues(record, "miss"),
		evictions: m.evictions.WithLabelValues(record),
	}
}
