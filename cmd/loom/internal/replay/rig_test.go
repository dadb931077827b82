package replay_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"loom.internal/cmd/loom/internal/replay"
	"loom.internal/pkg/bus"
	"loom.internal/pkg/event"
	"loom.internal/pkg/store"
	"loom.internal/pkg/telemetry"
	"loom.internal/pkg/testkit"
	"loom.internal/services/analytics"
	"loom.internal/services/recorder"
)

// TestMain is also the program that tests kill: a replay as a process of its own.
func TestMain(m *testing.M) {
	if order := os.Getenv(childOrder); order != "" { //nolint:forbidigo // how a test speaks to its child
		os.Exit(child(order))
	}
	os.Exit(testkit.Main(m))
}

const childOrder = "LOOM_TEST_REPLAY"

// order is what a child is to do.
type order struct {
	Database, NATS string
	Options        replay.Options
}

func child(text string) int {
	var o order
	err := json.Unmarshal([]byte(text), &o)
	if err == nil {
		err = o.run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func (o order) run() error {
	nc, err := nats.Connect(o.NATS)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	cfg := replay.Config{DatabaseURL: o.Database, JS: js, Log: slog.New(slog.DiscardHandler)}
	_, err = replay.Run(context.Background(), cfg, o.Options)
	return err
}

var (
	all    = replay.Options{Traces: true, Usage: true}
	tables = []string{"traces", "trace_bodies", "usage_facts", "rollups", "tag_rollups"}
)

const oneDay = 24 * time.Hour

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

type service interface {
	Run(ctx context.Context) error
}

// live runs a recorder and an analytics until the test ends or stop is called.
func (r *rig) live(tb testing.TB) (stop func()) {
	tb.Helper()
	log := testkit.Log(tb)
	open := func(name string) *nats.Conn {
		nc, err := bus.Connect(r.broker.URL, name, log)
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(nc.Close)
		return nc
	}
	rdb, err := store.New(tb.Context(), r.DSN("loom_recorder"), store.Options{Name: "recorder"})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(rdb.Close)
	adb, err := store.New(tb.Context(), r.DSN("loom_analytics"), store.Options{Name: "analytics"})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(adb.Close)
	rnc, anc := open("recorder"), open("analytics")
	rec, err := recorder.New(recorder.Config{}, recorder.Deps{Log: log, NATS: rnc, DB: rdb, Metrics: prometheus.NewRegistry(), Ready: new(telemetry.Readiness)})
	if err != nil {
		tb.Fatal(err)
	}
	ana, err := analytics.New(analytics.Config{}, analytics.Deps{Log: log, NATS: anc, DB: adb, Metrics: prometheus.NewRegistry(), Ready: new(telemetry.Readiness)})
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	for _, s := range []service{rec, ana} {
		go func() { done <- s.Run(ctx) }()
	}
	var stopped bool
	stop = func() {
		cancel()
		if stopped {
			return
		}
		stopped = true
		for range 2 {
			if err := <-done; err != nil {
				tb.Error("Run:", err)
			}
		}
	}
	tb.Cleanup(stop)
	return stop
}

func (r *rig) settled(tb testing.TB) {
	tb.Helper()
	for _, durable := range bus.Consumers() {
		testkit.Settled(tb, r.js, durable)
	}
}

func (r *rig) config(tb testing.TB) replay.Config {
	tb.Helper()
	return replay.Config{DatabaseURL: r.DSN(""), JS: r.js, Log: testkit.Log(tb)}
}

func (r *rig) replay(tb testing.TB, opt replay.Options) replay.Report {
	tb.Helper()
	report, err := replay.Run(tb.Context(), r.config(tb), opt)
	if err != nil {
		tb.Fatal(err)
	}
	return report
}

func (r *rig) exec(tb testing.TB, sql string) {
	tb.Helper()
	if _, err := r.Pool("").Exec(tb.Context(), sql); err != nil {
		tb.Fatalf("%s: %v", sql, err)
	}
}

func (r *rig) count(tb testing.TB, sql string, args ...any) int {
	tb.Helper()
	var n int
	if err := r.Pool("").QueryRow(tb.Context(), sql, args...).Scan(&n); err != nil {
		tb.Fatalf("%s: %v", sql, err)
	}
	return n
}

// number is what a query gives, 0 after an error: for who asks again.
func (r *rig) number(ctx context.Context, sql string) (n int) {
	_ = r.Pool("").QueryRow(ctx, sql).Scan(&n)
	return n
}

// sums are a checksum of each table: how many rows, and what they are, but for when they
// came.
func (r *rig) sums(tb testing.TB) map[string]string {
	tb.Helper()
	return r.sumsWhere(tb, "true")
}

func (r *rig) sumsWhere(tb testing.TB, condition string) map[string]string {
	tb.Helper()
	sums := map[string]string{}
	for _, table := range tables {
		var sum string
		err := r.Pool("").QueryRow(tb.Context(), `
			SELECT count(*) || ' rows ' || coalesce(sum(hashtextextended((to_jsonb(t) - 'recorded_at' - 'accounted_at')::text, 0)), 0)
			FROM `+table+` AS t WHERE `+condition).Scan(&sum)
		if err != nil {
			tb.Fatalf("checksum of %s: %v", table, err)
		}
		sums[table] = sum
	}
	return sums
}

// reconciled checks that the rollups come to what the ledger comes to.
func (r *rig) reconciled(tb testing.TB) {
	tb.Helper()
	report, err := analytics.Reconcile(tb.Context(), r.Pool(""))
	if err != nil {
		tb.Fatal(err)
	}
	for _, d := range report.Differences[:min(3, len(report.Differences))] {
		tb.Error(d)
	}
	if report.Wrong != 0 {
		tb.Errorf("%d values of rollups are wrong", report.Wrong)
	}
}

func (r *rig) noShadow(tb testing.TB) {
	tb.Helper()
	if n := r.count(tb, `SELECT count(*) FROM pg_namespace WHERE nspname = 'loom_replay'`); n != 0 {
		tb.Error("the shadow schema is still there")
	}
}

// clean checks that a replay has left nothing behind.
func (r *rig) clean(tb testing.TB) {
	tb.Helper()
	r.noShadow(tb)
	if _, err := r.js.Consumer(tb.Context(), bus.StreamTrace, replay.SlotReplay); err == nil {
		tb.Error("the slot on the stream is still there")
	}
}

// mixed are n events of three tenants over a few days, some without usage, price or bodies.
func mixed(n int, seed uint64) []*event.TraceEvent {
	dice := rand.New(rand.NewPCG(seed, 1))
	now := time.Now().UTC()
	events := make([]*event.TraceEvent, n)
	for i := range events {
		tenant := []string{"acme", "bolt", "crux"}[dice.IntN(3)]
		at := now.Add(-time.Duration(dice.Int64N(int64(4 * oneDay))))
		events[i] = testkit.Event(tenant, at, func(e *event.TraceEvent) {
			switch dice.IntN(6) {
			case 0:
				e.UsageRaw, e.UsageSource = nil, event.UsageSource_USAGE_SOURCE_NONE
			case 1:
				e.ModelAnswered, e.ModelUpstream, e.ModelRequested, e.ProviderKind = "nobodys", "nobodys", "nobodys", "compatible"
			case 2:
				e.RequestBody, e.ResponseBody = nil, nil
			case 3:
				e.Outcome, e.HttpStatus = event.Outcome_OUTCOME_FAILED, 502
			}
			e.DurationUs = dice.Int64N(5_000_000)
			if dice.IntN(2) == 0 {
				e.Tags = map[string]string{"team": []string{"red", "größe \"x\""}[dice.IntN(2)], "env": ""}
				e.SessionId = fmt.Sprint("session ", dice.IntN(9))
			}
		})
	}
	return events
}

// publish sends events, many at a time.
func (r *rig) publish(tb testing.TB, events ...*event.TraceEvent) {
	tb.Helper()
	for some := range slices.Chunk(events, 500) {
		var sent []jetstream.PubAckFuture
		for _, e := range some {
			data, err := event.Marshal(e)
			if err != nil {
				tb.Fatal(err)
			}
			ack, err := r.js.PublishAsync(event.Subject(e), data, jetstream.WithMsgID(e.GetTraceId()))
			if err != nil {
				tb.Fatal(err)
			}
			sent = append(sent, ack)
		}
		for _, ack := range sent {
			select {
			case <-ack.Ok():
			case err := <-ack.Err():
				tb.Fatal(err)
			}
		}
	}
}

// seed fills a rig with events that the live services have stored.
func seed(tb testing.TB, n int) *rig {
	tb.Helper()
	r := newRig(tb)
	stop := r.live(tb)
	r.publish(tb, mixed(n, 7)...)
	r.settled(tb)
	stop()
	return r
}
