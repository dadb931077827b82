package balance

import (
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"loom.internal/services/gateway/internal/failure"
)

const (
	maxProviders = 256 // with names of their own in metrics
	maxLabel     = 128 // bytes
	other        = "other"
	success      = "success"
)

// metrics of targets. Providers come and go with catalogues, and the names of models may
// be the client's: both are bounded.
type metrics struct {
	attempts  *prometheus.CounterVec
	fallbacks *prometheus.CounterVec

	mu        sync.RWMutex
	providers map[string]string // to their labels
}

func newMetrics(reg prometheus.Registerer, targets func() []*health) *metrics {
	m := &metrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "loom_gateway_attempts_total",
			Help: "Calls of providers by result: success, or the class of the failure.",
		}, []string{"provider", "result"}),
		fallbacks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "loom_gateway_fallbacks_total",
			Help: "Requests handed on to another target after a call of this provider had failed.",
		}, []string{"provider"}),
		providers: make(map[string]string),
	}
	reg.MustRegister(m.attempts, m.fallbacks, circuits{
		targets: targets,
		open: prometheus.NewDesc("loom_gateway_circuit_open",
			"1 while the target is not called, or only probed, since it failed too often. Targets that never did are left out.",
			[]string{"provider", "model"}, nil),
	})
	return m
}

func (m *metrics) attempt(provider, class string) {
	m.attempts.WithLabelValues(m.provider(provider), result(class)).Inc()
}

func (m *metrics) fallback(provider string) {
	m.fallbacks.WithLabelValues(m.provider(provider)).Inc()
}

// provider is the label of a provider: its name, as long as there are not too many.
func (m *metrics) provider(name string) string {
	m.mu.RLock()
	known, ok := m.providers[name]
	full := len(m.providers) >= maxProviders
	m.mu.RUnlock()
	switch {
	case ok:
		return known
	case full:
		return other
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.providers) >= maxProviders {
		return other
	}
	m.providers[name] = label(name)
	return m.providers[name]
}

func result(class string) string {
	switch class {
	case "":
		return success
	case failure.ClientGone, failure.Shutdown, failure.Unavailable, failure.Unreachable, failure.Timeout, failure.Idle,
		failure.Cut, failure.Credentials, failure.RateLimited, failure.Rejected, failure.Upstream, failure.Truncated,
		failure.TooLarge, failure.InsideAnswer:
		return class
	default:
		return other
	}
}

// label is s as a label may be.
func label(s string) string {
	if len(s) > maxLabel {
		cut := maxLabel
		for cut > maxLabel-utf8.UTFMax && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut]
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// circuits is the metric of targets' circuits, made when it is asked for: so it is about
// the targets that are known now, and a circuit whose target is forgotten is not open for
// ever.
type circuits struct {
	targets func() []*health
	open    *prometheus.Desc
}

// Describe implements [prometheus.Collector].
func (c circuits) Describe(out chan<- *prometheus.Desc) { out <- c.open }

// Collect implements [prometheus.Collector].
func (c circuits) Collect(out chan<- prometheus.Metric) {
	type place struct{ provider, model string }
	values := make(map[place]float64) // a provider whose base URL has changed has two of a name
	for _, h := range c.targets() {
		open, ever := h.circuit()
		if !ever {
			continue
		}
		at := place{h.provider, h.model}
		value := values[at]
		if open {
			value = 1
		}
		values[at] = value
	}
	for at, value := range values {
		out <- prometheus.MustNewConstMetric(c.open, prometheus.GaugeValue, value, at.provider, at.model)
	}
}
