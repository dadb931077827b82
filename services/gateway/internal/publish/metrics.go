package publish

import "github.com/prometheus/client_golang/prometheus"

type metrics struct{ published, retries, unbatched, resent, lost, detached, dropped, takenBack, foreign prometheus.Counter }

func newMetrics(reg prometheus.Registerer) metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "loom_gateway_publish_" + name + "_total", Help: help})
		reg.MustRegister(c)
		return c
	}
	return metrics{
		published: counter("events", "Traces that the broker has acknowledged."),
		retries:   counter("retries", "Tries to publish that left something unacknowledged."),
		unbatched: counter("unbatched", "Batches the broker refused, so that their traces were published one by one."),
		resent:    counter("resends", "Times that traces were sent again because Postgres was not known to have them for long."),
		lost:      counter("lost", "Traces damaged in the spool: only their place was published."),
		detached:  counter("bodies", "Bodies too large for an event, put into the object store."),
		takenBack: counter("watermarks_lowered", "Times that Postgres turned out to lack traces that it had told to have."),
		foreign:   counter("watermarks_refused", "Watermarks over all that this epoch has given: another gateway has a copy of the spool."),
		dropped:   counter("bodies_dropped", "Bodies that the object store can never take: their traces were published without them."),
	}
}
