package spool

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Stats is how much the spool holds.
type Stats struct {
	Events   uint64        // ended and not confirmed
	Open     int           // begun and not ended
	Bytes    int64         // of all segments
	Reserved int64         // set aside for the ends of Open
	Segments int           //
	Oldest   time.Duration // since the oldest event that is not confirmed; 0 without one
}

// gauges are the writer's numbers for Stats; they are set under Spool.mu.
type gauges struct {
	open     int
	reserved int64
}

func (s *Spool) setGauges() { s.gauge = gauges{open: len(s.opens), reserved: s.reserved} }

func (s *Spool) updateGauges() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.setGauges()
}

// Stats returns how much the spool holds now.
func (s *Spool) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Stats{Open: s.gauge.open, Reserved: s.gauge.reserved, Bytes: s.used, Segments: len(s.segments)}
	for _, g := range s.segments {
		next := max(g.first, s.confirmed[g.epoch]+1)
		if next > g.last {
			continue
		}
		if m := g.seek(next); st.Events == 0 && m.time > 0 {
			st.Oldest = max(s.opt.now().Sub(time.Unix(0, m.time)), 0)
		}
		st.Events += g.last + 1 - next
	}
	return st
}

// Numbers are those of the events of one epoch.
type Numbers struct {
	Highest uint64 // the last one given
	Held    uint64 // how many of them are here and not confirmed
}

// Numbers returns them by epoch, of every epoch that has given one and has a segment.
func (s *Spool) Numbers() map[uint64]Numbers {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[uint64]Numbers)
	for _, g := range s.segments {
		if g.last == 0 {
			continue
		}
		n := all[g.epoch]
		n.Highest = max(n.Highest, g.last)
		if next := max(g.first, s.confirmed[g.epoch]+1); next <= g.last {
			n.Held += g.last + 1 - next
		}
		all[g.epoch] = n
	}
	return all
}

// counters are what only grows.
type counters struct {
	begins, ends, interrupted      prometheus.Counter
	bytes                          prometheus.Counter
	refused, quarantined, failures prometheus.Counter
	commits                        prometheus.Histogram
}

func newCounters() *counters {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "loom_gateway_spool_" + name, Help: help})
	}
	return &counters{
		begins:      counter("begins_total", "Requests begun."),
		ends:        counter("ends_total", "Requests ended by the process that began them."),
		interrupted: counter("interrupted_total", "Requests ended as interrupted after a crash."),
		bytes:       counter("written_bytes_total", "Bytes of records written."),
		refused:     counter("refused_total", "Appends refused for lack of room."),
		quarantined: counter("quarantined_total", "Stretches of damaged bytes set aside. Each needs a look."),
		failures:    counter("failures_total", "Failed writes or syncs; each ends the process."),
		commits: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "loom_gateway_spool_commit_seconds", Help: "Time to make one group durable.",
			Buckets: prometheus.ExponentialBuckets(20e-6, 2, 16),
		}),
	}
}

func (c *counters) record(o *op) {
	c.bytes.Add(float64(o.size()))
	switch {
	case o.carry:
	case o.kind == kindBegin:
		c.begins.Inc()
	case o.kind == kindEnd:
		c.ends.Inc()
	default:
		c.interrupted.Inc()
	}
}

func (c *counters) all() []prometheus.Collector {
	return []prometheus.Collector{c.begins, c.ends, c.interrupted, c.bytes, c.refused, c.quarantined, c.failures, c.commits}
}

// collector shows Stats and the counters to Prometheus.
type collector struct{ s *Spool }

var (
	eventsDesc   = prometheus.NewDesc("loom_gateway_spool_events", "Events not known to be in Postgres.", nil, nil)
	openDesc     = prometheus.NewDesc("loom_gateway_spool_open", "Requests begun and not ended.", nil, nil)
	bytesDesc    = prometheus.NewDesc("loom_gateway_spool_bytes", "Bytes on disk.", nil, nil)
	reservedDesc = prometheus.NewDesc("loom_gateway_spool_reserved_bytes", "Bytes set aside for the ends of open requests.", nil, nil)
	limitDesc    = prometheus.NewDesc("loom_gateway_spool_limit_bytes", "Bytes the spool may take.", nil, nil)
	oldestDesc   = prometheus.NewDesc("loom_gateway_spool_oldest_seconds", "Age of the oldest event not known to be in Postgres.", nil, nil)
)

func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{eventsDesc, openDesc, bytesDesc, reservedDesc, limitDesc, oldestDesc} {
		ch <- d
	}
	for _, m := range c.s.counts.all() {
		m.Describe(ch)
	}
}

func (c collector) Collect(ch chan<- prometheus.Metric) {
	st := c.s.Stats()
	show := func(d *prometheus.Desc, v float64) { ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v) }
	show(eventsDesc, float64(st.Events))
	show(openDesc, float64(st.Open))
	show(bytesDesc, float64(st.Bytes))
	show(reservedDesc, float64(st.Reserved))
	show(limitDesc, float64(c.s.opt.MaxBytes))
	show(oldestDesc, st.Oldest.Seconds())
	for _, m := range c.s.counts.all() {
		m.Collect(ch)
	}
}
