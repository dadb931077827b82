package publish

import "github.com/prometheus/client_golang/prometheus"

type metrics struct{ published, retries, refused prometheus.Counter }

func newMetrics(reg prometheus.Registerer, p *Publisher) metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "loom_gateway_traces_" + name + "_total", Help: help})
	}
	m := metrics{
		published: counter("published", "Traces that the broker has acknowledged."),
		retries:   counter("retried", "Publishes of a trace that failed and were tried again."),
		refused:   counter("refused", "Requests turned away because their trace had no room in the queue."),
	}
	reg.MustRegister(m.published, m.retries, m.refused,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "loom_gateway_trace_queue_events", Help: "Traces that have begun or wait for the broker's acknowledgement.",
		}, func() float64 { return float64(p.Pending()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "loom_gateway_trace_queue_bytes", Help: "Bytes that the queue of traces takes into account.",
		}, func() float64 {
			p.mu.Lock()
			defer p.mu.Unlock()
			return float64(p.bytes)
		}))
	return m
}
