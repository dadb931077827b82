package analytics_test

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/config"
	"loom.internal/pkg/event"
	"loom.internal/pkg/pricing"
	"loom.internal/pkg/testkit"
	"loom.internal/services/analytics"
)

// demoCost is what testkit.Event costs: 12 tokens in at $0.15, 7 out at $0.60 a million.
const demoCost = 12*150_000 + 7*600_000

func (r *rig) query(t *testing.T, sql string, args ...any) []map[string]any {
	t.Helper()
	rows, err := r.Pool("").Query(t.Context(), sql, args...)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToMap)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// reconciled checks that the sums are those of the ledger.
func (p *replica) reconciled(t *testing.T, facts int64) {
	t.Helper()
	report, err := p.Reconcile(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if report.Facts != facts {
		t.Errorf("facts in the ledger: got %d, want %d", report.Facts, facts)
	}
	for _, d := range report.Differences {
		t.Error("difference:", d)
	}
	if report.Wrong != int64(len(report.Differences)) {
		t.Errorf("wrong values: %d, listed: %d", report.Wrong, len(report.Differences))
	}
}

func TestFactAndRollups(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.replica(t)
	p.start(t)
	day := time.Now().UTC().Truncate(24 * time.Hour)
	first := testkit.Event("acme", day.Add(10*time.Hour+30*time.Minute+5*time.Second))
	second := testkit.Event("acme", day.Add(10*time.Hour+31*time.Minute), func(e *event.TraceEvent) { e.DurationUs, e.TtftUs = 10, nil })
	testkit.Publish(t, r.js, first, second)
	r.settled(t)

	fact := r.query(t, `SELECT key_id, route, endpoint, provider, provider_kind, model, outcome, http_status, stream, duration_us, ttft_us, usage_source,
		input_uncached, cache_read, cache_write, cache_write_1h, output, reasoning, cost, cost_status, unpriced_why
		FROM usage_facts WHERE tenant_id = 'acme' AND started_at = $1 AND trace_id = $2::text::uuid`, first.StartedAt(), first.GetTraceId())
	want := []map[string]any{{
		"key_id": "key00001", "route": "loom-*", "endpoint": "chat.completions", "provider": "demo", "provider_kind": "demo", "model": "loom-demo",
		"outcome": "completed", "http_status": int32(200), "stream": true, "duration_us": int64(42_000), "ttft_us": int64(7_000), "usage_source": "provider",
		"input_uncached": int64(12), "cache_read": int64(0), "cache_write": int64(0), "cache_write_1h": int64(0), "output": int64(7), "reasoning": int64(0),
		"cost": int64(demoCost), "cost_status": "priced", "unpriced_why": "",
	}}
	if diff := cmp.Diff(want, fact); diff != "" {
		t.Errorf("fact (-want +got):\n%s", diff)
	}
	if n := r.count(t, `SELECT count(*) FROM usage_facts WHERE price_version LIKE 'builtin-%'`); n != 2 {
		t.Errorf("facts that name the built-in book: got %d, want 2", n)
	}

	row := func(grain string, bucket time.Time, n int64, durations, ttfts string) string {
		return fmt.Sprintf("%s %s %d %d %d %d %s %s", grain, bucket.Format(time.DateTime), n, n*12, n*7, n*demoCost, durations, ttfts)
	}
	var got []string
	for _, m := range r.query(t, `SELECT format('%s %s %s %s %s %s %s %s', grain, to_char(bucket AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'),
		requests, input_uncached, output, cost, duration_hist, ttft_hist) AS row FROM rollups ORDER BY grain, bucket`) {
		got = append(got, m["row"].(string))
	}
	// 42,000 µs count in bucket 361, 7,000 in 278; see pkg/histogram.
	wantRows := []string{
		row("day", day, 2, "{10,1,361,1}", "{278,1}"),
		row("hour", day.Add(10*time.Hour), 2, "{10,1,361,1}", "{278,1}"),
		row("minute", day.Add(10*time.Hour+30*time.Minute), 1, "{361,1}", "{278,1}"),
		row("minute", day.Add(10*time.Hour+31*time.Minute), 1, "{10,1}", "{}"),
	}
	if diff := cmp.Diff(wantRows, got); diff != "" {
		t.Errorf("rollups (-want +got):\n%s", diff)
	}
	p.reconciled(t, 2)
}

func TestCostStatus(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	at := time.Now().UTC().Truncate(24 * time.Hour)
	usage := func(raw string) func(*event.TraceEvent) {
		return func(e *event.TraceEvent) { e.UsageRaw = []byte(raw) }
	}
	cases := []struct {
		name   string
		edit   func(*event.TraceEvent)
		cost   any
		status string
		why    string
	}{
		{"priced", func(*event.TraceEvent) {}, int64(demoCost), "priced", ""},
		{"free", usage(`{"prompt_tokens":0,"completion_tokens":0}`), int64(0), "priced", ""},
		{"asked model when the answer's is not listed", func(e *event.TraceEvent) { e.ModelAnswered = "loom-demo-2026-01-01" }, int64(demoCost), "priced", ""},
		{"no usage", func(e *event.TraceEvent) { e.UsageRaw, e.UsageSource = nil, event.UsageSource_USAGE_SOURCE_NONE }, nil, "no_usage", ""},
		{"unknown model", func(e *event.TraceEvent) { e.ModelRequested, e.ModelUpstream, e.ModelAnswered = "x", "x", "x" }, nil, "unpriced", "no_price"},
		{"unknown tier", func(e *event.TraceEvent) { e.ServiceTier = "priority" }, nil, "unpriced", "no_price"},
		{"unreadable", usage(`{"prompt_tokens":-12,"completion_tokens":7}`), nil, "unpriced", "usage_unreadable"},
		{"no tokens in it", usage(`{"type":"duration","seconds":12}`), nil, "unpriced", "usage_unreadable"},
		{"audio", usage(`{"prompt_tokens":12,"completion_tokens":7,"prompt_tokens_details":{"audio_tokens":5}}`), nil, "unpriced", "no_rate"},
		{"absurd", func(e *event.TraceEvent) {
			e.ModelAnswered, e.UsageRaw = "loom-demo-large", []byte(`{"prompt_tokens":12,"completion_tokens":1099511627776}`)
		}, nil, "unpriced", "overflow"},
	}
	for i, c := range cases {
		testkit.Publish(t, r.js, testkit.Event("acme", at.Add(time.Duration(i)*time.Second), c.edit))
	}
	if _, err := r.Pool("").Exec(t.Context(), `INSERT INTO prices (provider, model, from_date, input, output, revision)
		VALUES ('demo', 'loom-demo', '2999-01-01', 1, 1, 1)`); err != nil { // not in force yet
		t.Fatal(err)
	}
	p := r.replica(t)
	p.start(t)
	r.settled(t)
	for i, row := range r.query(t, `SELECT cost, cost_status, unpriced_why, usage_source, price_version <> '' AS versioned FROM usage_facts ORDER BY started_at`) {
		c := cases[i]
		want := map[string]any{"cost": c.cost, "cost_status": c.status, "unpriced_why": c.why, "usage_source": "provider", "versioned": c.cost != nil}
		if c.status == "no_usage" {
			want["usage_source"] = "none"
		}
		if diff := cmp.Diff(want, row); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
	day := r.query(t, `SELECT sum(requests)::int AS requests, sum(unpriced)::int AS unpriced, sum(no_usage)::int AS no_usage, sum(cost)::bigint AS cost FROM rollups WHERE grain = 'day'`)
	if diff := cmp.Diff([]map[string]any{{"requests": int32(10), "unpriced": int32(6), "no_usage": int32(1), "cost": int64(2 * demoCost)}}, day); diff != "" {
		t.Errorf("sums (-want +got):\n%s", diff)
	}
	for why, want := range map[string]float64{"usage_unreadable": 2, "no_price": 2, "no_rate": 1, "overflow": 1} {
		if got := p.metric(t, "loom_analytics_unpriced_total", "why", why); got != want {
			t.Errorf("unpriced for %s: got %v, want %v", why, got, want)
		}
	}
	p.reconciled(t, int64(len(cases)))
}

// A price that is committed before an event is the one the event is billed at.
func TestOperatorPrices(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.replica(t).start(t)
	today := time.Now().UTC().Truncate(24 * time.Hour)
	apply := func(sql string) {
		t.Helper()
		if _, err := r.Pool("loom_admin").Exec(t.Context(), sql, today); err != nil {
			t.Fatal(err)
		}
	}
	send := func() *event.TraceEvent {
		e := testkit.Event("acme", today.Add(time.Hour))
		testkit.Publish(t, r.js, e)
		r.settled(t)
		return e
	}
	check := func(e *event.TraceEvent, cost int64, version string) {
		t.Helper()
		got := r.query(t, `SELECT cost, price_version FROM usage_facts WHERE trace_id = $1::text::uuid`, e.GetTraceId())
		if diff := cmp.Diff([]map[string]any{{"cost": cost, "price_version": version}}, got); diff != "" {
			t.Errorf("fact (-want +got):\n%s", diff)
		}
	}
	builtin := pricing.MustBuiltin()[0].Version
	first := send()
	apply(`INSERT INTO prices (provider, model, from_date, input, output, revision) VALUES ('demo', 'loom-demo', $1, 1000, 2000, 7)`)
	second := send()
	apply(`UPDATE prices SET input = 3000, revision = 8 WHERE from_date = $1`)
	third := send()
	apply(`DELETE FROM prices WHERE from_date = $1`)
	fourth := send()
	from := today.Format(time.DateOnly)
	check(first, demoCost, builtin)
	check(second, 12*1000+7*2000, "operator-7@"+from)
	check(third, 12*3000+7*2000, "operator-8@"+from)
	check(fourth, demoCost, builtin)
}

func TestPoisonIsSetAside(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	testkit.Publish(t, r.js, testkit.Event("acme", time.Now()))
	testkit.PublishRaw(t, r.js, "loom.trace.v1.acme.completed", []byte("\xff"))
	testkit.Publish(t, r.js, testkit.Event("acme", time.Now().AddDate(-2, 0, 0)), testkit.Event("acme", time.Now()))
	// Fails on its data where only Postgres can see it, in the middle of a batch.
	if _, err := r.Pool("").Exec(t.Context(), `ALTER TABLE usage_facts ADD CHECK (key_id <> 'poison')`); err != nil {
		t.Fatal(err)
	}
	testkit.Publish(t, r.js, testkit.Event("acme", time.Now(), func(e *event.TraceEvent) { e.KeyId = "poison" }), testkit.Event("acme", time.Now()))
	foreign, err := event.Marshal(testkit.Event("acme", time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	testkit.PublishRaw(t, r.js, "loom.trace.v1.other.completed", foreign)
	testkit.PublishRaw(t, r.js, "loom.trace.v1.acme.exploded", foreign)
	testkit.Publish(t, r.js, testkit.Event("acme", time.Now()))
	p := r.replica(t)
	p.start(t)
	r.settled(t)
	var got []string
	for _, row := range r.query(t, `SELECT consumer || ' ' || stream_seq || ' ' || reason AS row FROM dead_events ORDER BY stream_seq`) {
		got = append(got, row["row"].(string))
	}
	want := []string{
		"analytics 2 invalid trace event", "analytics 3 started_at", "analytics 5 ",
		`analytics 7 invalid trace event: of tenant "acme" on the subject of tenant "other"`,
		"analytics 8 invalid trace event: outcome OUTCOME_COMPLETED on a subject of kind \"exploded\"",
	}
	for i, want := range want {
		if len(got) != 5 || !strings.HasPrefix(got[i], want) {
			t.Errorf("dead events: got %q, want 5, of them %q", got, want)
		}
	}
	p.reconciled(t, 4)
}

func TestCrashBetweenCommitAndAck(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for range 100 {
		testkit.Publish(t, r.js, testkit.Event("acme", time.Now()))
	}
	consumer, err := r.js.Consumer(t.Context(), bus.StreamTrace, bus.ConsumerAnalytics)
	if err != nil {
		t.Fatal(err)
	}
	fetched, err := consumer.Fetch(60, jetstream.FetchMaxWait(5*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	var batch []jetstream.Msg
	for msg := range fetched.Messages() {
		batch = append(batch, msg)
	}
	if err := r.replica(t).Handle(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	for _, msg := range batch { // what the broker does by itself after 30 s
		if err := msg.Nak(); err != nil {
			t.Fatal(err)
		}
	}
	p := r.replica(t)
	p.start(t)
	r.settled(t)
	p.reconciled(t, 100)
	if cost := r.count(t, `SELECT sum(cost)::bigint FROM rollups WHERE grain = 'day'`); cost != 100*demoCost {
		t.Errorf("cost: got %d, want %d", cost, 100*demoCost)
	}
}

func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.replica(t)
	p.start(t)
	testkit.Await(t, "ready", func(context.Context) bool { return p.ready.Err() == nil })
	for range 50 {
		testkit.Publish(t, r.js, testkit.Event("acme", time.Now()))
	}
	back := r.Away(t)
	for range 50 {
		testkit.Publish(t, r.js, testkit.Event("acme", time.Now()))
	}
	testkit.Await(t, "not ready", func(context.Context) bool { return p.ready.Err() != nil })
	testkit.Await(t, "the lag gauge shows what waits", func(context.Context) bool {
		return p.metric(t, "loom_projection_lag_events", "consumer", bus.ConsumerAnalytics) > 0
	})
	back()
	r.settled(t)
	testkit.Await(t, "ready again", func(context.Context) bool { return p.ready.Err() == nil })
	testkit.Await(t, "lag gauge at 0", func(context.Context) bool {
		return p.metric(t, "loom_projection_lag_events", "consumer", bus.ConsumerAnalytics) == 0
	})
	p.reconciled(t, 100)
	if n := r.count(t, `SELECT count(*) FROM dead_events`); n != 0 {
		t.Errorf("an outage killed %d events", n)
	}
}

func TestTwoReplicasShareTheWork(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const events = 1000
	for i := range events / 2 {
		e := testkit.Event("acme", time.Now(), func(e *event.TraceEvent) { e.KeyId = fmt.Sprintf("key%05d", i%7) })
		testkit.Publish(t, r.js, e, e)
	}
	a, b := r.replica(t), r.replica(t)
	a.start(t)
	b.start(t)
	r.settled(t)
	a.reconciled(t, events/2)
	if cost := r.count(t, `SELECT sum(cost)::bigint FROM rollups WHERE grain = 'hour'`); cost != events/2*demoCost {
		t.Errorf("cost: got %d, want %d", cost, events/2*demoCost)
	}
}

func TestReconcileFindsEveryFault(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.replica(t)
	p.start(t)
	at := time.Now().UTC().Truncate(24 * time.Hour).Add(12 * time.Hour)
	testkit.Publish(t, r.js, testkit.Event("acme", at), testkit.Event("acme", at.AddDate(0, 0, -1)))
	r.settled(t)
	p.reconciled(t, 2)
	for _, sql := range []string{
		`UPDATE rollups SET cost = cost + 1 WHERE grain = 'hour' AND bucket = date_trunc('hour', $1, 'UTC')`,
		`UPDATE rollups SET ttft_hist = '{1,1}' WHERE grain = 'day' AND bucket = date_trunc('day', $1, 'UTC')`,
		`DELETE FROM rollups WHERE grain = 'minute' AND bucket = $1`,
		`INSERT INTO rollups SELECT 'ghost', grain, bucket, key_id, provider, model, route, outcome, requests, unpriced, no_usage, input_uncached,
			cache_read, cache_write, output, reasoning, cost, duration_us, duration_hist, ttft_hist FROM rollups WHERE grain = 'hour' AND bucket = date_trunc('hour', $1, 'UTC')`,
	} {
		if tag, err := r.Pool("").Exec(t.Context(), sql, at); err != nil || tag.RowsAffected() != 1 {
			t.Fatal(sql, tag, err)
		}
	}
	report, err := p.Reconcile(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range report.Differences {
		got = append(got, fmt.Sprintf("%s %s %s %q %q", d.Tenant, d.Grain, d.Column, d.Ledger, d.Rollup))
	}
	slices.Sort(got)
	want := []string{
		`acme day ttft_hist "{278,1}" "{1,1}"`,
		fmt.Sprintf(`acme hour cost "%d" "%d"`, demoCost, demoCost+1),
		`acme minute requests "1" ""`,
		`ghost hour requests "" "1"`,
	}
	if diff := cmp.Diff(want, got); diff != "" || report.Wrong != 4 {
		t.Errorf("report of %d (-want +got):\n%s", report.Wrong, diff)
	}
}

// Analytics must not be able to open a body: it is built without the code.
func TestHoldsNoKey(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	deps := strings.Fields(string(out))
	if !slices.Contains(deps, "loom.internal/pkg/event") {
		t.Fatalf("list of dependencies does not look like one: %d entries", len(deps))
	}
	if slices.Contains(deps, "loom.internal/pkg/envelope") {
		t.Error("analytics imports pkg/envelope")
	}
}

func TestConfig(t *testing.T) {
	t.Setenv("LOOM_ANALYTICS_DATABASE_URL", "")
	var cfg analytics.Config
	if err := config.Load(analytics.Prefix, &cfg); err == nil || !strings.Contains(err.Error(), "LOOM_ANALYTICS_DATABASE_URL") {
		t.Errorf("without a database: got %v, want an error that names the variable", err)
	}
	t.Setenv("LOOM_ANALYTICS_DATABASE_URL", "postgres://loom_analytics:hunter2@db/loom")
	cfg = analytics.Config{}
	if err := config.Load(analytics.Prefix, &cfg); err != nil {
		t.Fatal(err)
	}
	want := analytics.Config{
		NATSURL: "nats://127.0.0.1:4222", DatabaseURL: "postgres://loom_analytics:hunter2@db/loom", LogLevel: "info", LogFormat: "json",
		ReconcileEvery: 24 * time.Hour,
	}
	if cfg != want {
		t.Errorf("config: got %+v, want %+v", cfg, want)
	}
	t.Setenv("LOOM_ANALYTICS_RECONCILE_EVERY", "-1h")
	if err := config.Load(analytics.Prefix, &cfg); err == nil || !strings.Contains(err.Error(), "LOOM_ANALYTICS_RECONCILE_EVERY -1h0m0s: give 0") {
		t.Errorf("less than never: got %v", err)
	}
}
