package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
)

// lagEvery is how often the lag gauge is brought up to date.
const lagEvery = 5 * time.Second

// ProjectionMetrics are what one projection shows of itself. All carry the label
// consumer, so that several projections may share a registry.
type ProjectionMetrics struct {
	recorded, duplicates, dead prometheus.Counter
	recalled, gaveUp           prometheus.Counter
	stored, failed             prometheus.Observer
	size                       prometheus.Histogram
	lag                        prometheus.Gauge

	told rate.Sometimes // of events set aside, which dead counts
}

// NewProjectionMetrics registers the metrics of the projection on durable.
func NewProjectionMetrics(reg prometheus.Registerer, durable string) (*ProjectionMetrics, error) {
	reg = prometheus.WrapRegistererWith(prometheus.Labels{"consumer": durable}, reg)
	events := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "loom_projection_events_total",
		Help: "Events settled: new ones, those that were stored before, and those set aside in dead_events.",
	}, []string{"result"})
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "loom_projection_batch_seconds",
		Help:    "Time to decode and store a batch.",
		Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
	}, []string{"result"})
	size := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "loom_projection_batch_events",
		Help:    "Events in a batch.",
		Buckets: []float64{1, 2, 5, 10, 20, 50, 100, 150, 199, BatchSize},
	})
	lag := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "loom_projection_lag_events",
		Help: "Events in the stream that are not settled: pending plus delivered and not acked.",
	})
	recalled := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "loom_projection_recalled_events_total",
		Help: "Events that the database had and lost, as after a failover, taken from the stream again.",
	})
	gaveUp := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "loom_projection_given_up_events_total",
		Help: "Events that the database lost and nobody has any more.",
	})
	var errs []error
	for _, c := range []prometheus.Collector{events, seconds, size, lag, recalled, gaveUp} {
		errs = append(errs, reg.Register(c))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("metrics of consumer %s: %w", durable, err)
	}
	return &ProjectionMetrics{
		recorded:   events.WithLabelValues("new"),
		duplicates: events.WithLabelValues("duplicate"),
		dead:       events.WithLabelValues("dead"),
		stored:     seconds.WithLabelValues("stored"),
		failed:     seconds.WithLabelValues("failed"),
		size:       size,
		lag:        lag,
		recalled:   recalled,
		gaveUp:     gaveUp,
		told:       rate.Sometimes{Interval: 10 * time.Second},
	}, nil
}

func (m *ProjectionMetrics) settled(fresh, known, dead int) {
	m.recorded.Add(float64(fresh))
	m.duplicates.Add(float64(known))
	m.dead.Add(float64(dead))
}

func (m *ProjectionMetrics) batch(events int, took time.Duration, err error) {
	m.size.Observe(float64(events))
	if err != nil {
		m.failed.Observe(took.Seconds())
		return
	}
	m.stored.Observe(took.Seconds())
}

// WatchLag keeps the lag gauge of the projection up to date until ctx ends. While
// the broker is away the gauge keeps its last value.
func (p *Projection) WatchLag(ctx context.Context, js jetstream.JetStream) error {
	tick := time.NewTicker(lagEvery)
	defer tick.Stop()
	for {
		attempt, cancel := context.WithTimeout(ctx, lagEvery)
		if n, err := Lag(attempt, js, p.Durable); err == nil {
			p.Metrics.lag.Set(float64(n))
		}
		cancel()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
