package analytics_test

import (
	"context"
	"os"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/store"
	"loom.internal/pkg/telemetry"
	"loom.internal/pkg/testkit"
	"loom.internal/services/analytics"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

// rig is a database and a broker of a test's own.
type rig struct {
	*testkit.DB
	broker *testkit.Broker
	js     jetstream.JetStream
}

func newRig(tb testing.TB) *rig {
	tb.Helper()
	broker := testkit.NATS(tb)
	return &rig{DB: testkit.Postgres(tb), broker: broker, js: broker.Stream(tb)}
}

// replica is one worker, with connections of its own.
type replica struct {
	*analytics.Service
	ready *telemetry.Readiness
	reg   *prometheus.Registry
}

func (r *rig) replica(tb testing.TB, edit ...func(*analytics.Config)) *replica {
	tb.Helper()
	var cfg analytics.Config
	for _, f := range edit {
		f(&cfg)
	}
	log := testkit.Log(tb)
	db, err := store.New(tb.Context(), r.DSN("loom_analytics"), store.Options{Name: "analytics"})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(db.Close)
	nc, err := bus.Connect(r.broker.URL, "analytics", log)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(nc.Close)
	p := &replica{ready: new(telemetry.Readiness), reg: prometheus.NewRegistry()}
	p.Service, err = analytics.New(cfg, analytics.Deps{Log: log, NATS: nc, DB: db, Metrics: p.reg, Ready: p.ready})
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// start runs the replica until the test ends.
func (p *replica) start(tb testing.TB) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	tb.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			tb.Error("Run:", err)
		}
	})
}

// metric is the value of the counter or gauge name, whose labels include the pair.
func (p *replica) metric(tb testing.TB, name, label, value string) float64 {
	tb.Helper()
	families, err := p.reg.Gather()
	if err != nil {
		tb.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() == name && l.GetName() == label && l.GetValue() == value {
					return m.GetCounter().GetValue() + m.GetGauge().GetValue()
				}
			}
		}
	}
	tb.Fatalf("no metric %s{%s=%q}", name, label, value)
	return 0
}

// count is the number a query gives, as the owner of all tables.
func (r *rig) count(tb testing.TB, sql string) int {
	tb.Helper()
	var n int
	if err := r.Pool("").QueryRow(tb.Context(), sql).Scan(&n); err != nil {
		tb.Fatal(err)
	}
	return n
}

// settled waits until the consumer has nothing left to do.
func (r *rig) settled(tb testing.TB) {
	tb.Helper()
	testkit.Settled(tb, r.js, bus.ConsumerAnalytics)
}
