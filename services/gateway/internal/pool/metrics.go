package pool

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	adopted                          prometheus.Counter
	orphaned, waiting, adopting, bad prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) metrics {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "loom_gateway_spools_" + name, Help: help})
	}
	m := metrics{
		adopted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "loom_gateway_spools_adopted_total", Help: "Spools of gateways that have gone, emptied by this one.",
		}),
		orphaned: gauge("orphaned", "Spools with something in them that no gateway holds."),
		waiting:  gauge("orphaned_events", "Events in spools that no gateway holds."),
		adopting: gauge("adopting_events", "Events not known to be in Postgres, in the spool that this gateway is emptying for another."),
		bad:      gauge("unreadable", "Spools that no gateway holds and this one cannot open. Each needs a look."),
	}
	reg.MustRegister(m.adopted, m.orphaned, m.waiting, m.adopting, m.bad)
	return m
}
