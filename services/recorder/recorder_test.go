package recorder_test

import (
	"context"
	"math"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/config"
	"loom.internal/pkg/event"
	"loom.internal/pkg/testkit"
	"loom.internal/services/recorder"
)

func TestRecordsEveryColumn(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.replica(t).start(t)
	at := time.Now().UTC().Truncate(time.Microsecond)
	full := testkit.Event("acme", at, func(e *event.TraceEvent) {
		e.FinishReasons = []string{"stop", `tool "calls"`, "a,b{}", `back\slash`, "NULL", ""}
		e.ToolNames = []string{"größe", "line\nbreak"}
		e.Tags = map[string]string{"team": `"quoted" \ and <html>`}
		e.ErrorClass, e.ServiceTier, e.Region, e.EndUser, e.SessionId = "none", "default", "eu", "user-1", "session-1"
		e.RequestBody.Codec, e.RequestBody.Truncated = 1, true
	})
	bare := testkit.Event("acme", at, func(e *event.TraceEvent) {
		e.Outcome, e.HttpStatus, e.TtftUs, e.GapP50Us, e.GapP99Us = event.Outcome_OUTCOME_FAILED, 502, nil, nil, nil
		e.UsageRaw, e.UsageSource, e.ContentMode = nil, event.UsageSource_USAGE_SOURCE_NONE, event.ContentMode_CONTENT_MODE_NONE
		e.FinishReasons, e.Attempts, e.RequestBody, e.ResponseBody = nil, nil, nil, nil
	})
	testkit.Publish(t, r.js, full, bare)
	r.settled(t)

	got := r.row(t, `SELECT * FROM traces WHERE trace_id = $1::text::uuid`, full.GetTraceId())
	if recorded := got["recorded_at"].(time.Time); recorded.Before(at) {
		t.Errorf("recorded_at %v is before the event", recorded)
	}
	delete(got, "recorded_at")
	delete(got, "trace_id") // searched by
	want := map[string]any{
		"tenant_id": "acme", "started_at": at, "key_id": "key00001", "endpoint": "chat.completions", "route": "loom-*",
		"model_requested": "loom-demo", "model_upstream": "loom-demo", "model_answered": "loom-demo", "provider": "demo",
		"provider_kind": "demo", "stream": true, "outcome": "completed", "http_status": int32(200), "error_class": "none",
		"duration_us": int64(42_000), "ttft_us": int64(7_000), "gap_p50_us": int64(900), "gap_p99_us": int64(2_000),
		"request_bytes": int64(120), "response_bytes": int64(480), "chunks": int32(9),
		"finish_reasons": []any{"stop", `tool "calls"`, "a,b{}", `back\slash`, "NULL", ""}, "tool_names": []any{"größe", "line\nbreak"},
		"usage_raw":    map[string]any{"prompt_tokens": 12.0, "completion_tokens": 7.0, "total_tokens": 19.0},
		"usage_source": "provider", "service_tier": "default", "region": "eu", "tags": map[string]any{"team": `"quoted" \ and <html>`},
		"end_user": "user-1", "session_id": "session-1", "content_mode": "full",
		"attempts":    []any{map[string]any{"provider": "demo", "model": "loom-demo", "status": 200.0, "error_class": "", "start_us": 0.0, "duration_us": 41_000.0}},
		"producer_id": "gw-test", "producer_epoch": int64(1), "producer_seq": int64(full.GetProducer().GetSeq()),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("trace (-want +got):\n%s", diff)
	}

	got = r.row(t, `SELECT * FROM trace_bodies WHERE trace_id = $1::text::uuid`, full.GetTraceId())
	delete(got, "trace_id")
	in, out := full.GetRequestBody(), full.GetResponseBody()
	want = map[string]any{
		"tenant_id": "acme", "started_at": at, "encryption_suite": int16(1), "encryption_key_version": int32(1),
		"request_body": in.GetCiphertext(), "request_iv": in.GetIv(), "request_codec": int16(1), "request_length": int64(48), "request_truncated": true, "request_sha256": in.GetSha256(),
		"response_body": out.GetCiphertext(), "response_iv": out.GetIv(), "response_codec": int16(0), "response_length": int64(240), "response_truncated": false, "response_sha256": out.GetSha256(),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("bodies (-want +got):\n%s", diff)
	}

	got = r.row(t, `SELECT outcome, http_status, ttft_us, gap_p50_us, usage_raw, usage_source, finish_reasons, tags, attempts, content_mode
		FROM traces WHERE trace_id = $1::text::uuid`, bare.GetTraceId())
	want = map[string]any{
		"outcome": "failed", "http_status": int32(502), "ttft_us": nil, "gap_p50_us": nil, "usage_raw": nil, "usage_source": "none",
		"finish_reasons": []any{}, "tags": map[string]any{}, "attempts": []any{}, "content_mode": "none",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("bare trace (-want +got):\n%s", diff)
	}
	if n := r.count(t, `SELECT count(*) FROM trace_bodies WHERE trace_id = $1::text::uuid`, bare.GetTraceId()); n != 0 {
		t.Errorf("an event without bodies left %d rows of bodies", n)
	}
}

func (r *rig) row(t *testing.T, sql string, args ...any) map[string]any {
	t.Helper()
	rows, err := r.Pool("").Query(t.Context(), sql, args...)
	if err != nil {
		t.Fatal(err)
	}
	row, err := pgx.CollectExactlyOneRow(rows, pgx.RowToMap)
	if err != nil {
		t.Fatal(err)
	}
	if at, ok := row["started_at"].(time.Time); ok {
		row["started_at"] = at.UTC()
	}
	return row
}

func TestOneBodyOfTwo(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.replica(t).start(t)
	testkit.Publish(t, r.js,
		testkit.Event("acme", time.Now(), func(e *event.TraceEvent) { e.ResponseBody = nil }),
		testkit.Event("acme", time.Now(), func(e *event.TraceEvent) { e.RequestBody = nil }))
	r.settled(t)
	for _, body := range []string{"request", "response"} {
		if n := r.count(t, `SELECT count(*) FROM trace_bodies WHERE encryption_key_version = 1 AND `+
			body+`_body IS NULL AND `+body+`_iv IS NULL AND `+body+`_codec IS NULL AND `+body+`_length IS NULL AND `+body+`_sha256 IS NULL`); n != 1 {
			t.Errorf("rows without a %s: got %d, want 1", body, n)
		}
	}
}

func TestDuplicatesAreOneTrace(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var events []*event.TraceEvent
	for range 30 {
		e := testkit.Event("acme", time.Now())
		events = append(events, e, e) // twice in one batch
	}
	testkit.Publish(t, r.js, append(events, events...)...) // and in another
	p := r.replica(t)
	p.start(t)
	r.settled(t)
	if n := r.count(t, `SELECT count(*) FROM traces`); n != 30 {
		t.Errorf("traces: got %d, want 30", n)
	}
	if n := r.count(t, `SELECT count(*) FROM trace_bodies`); n != 30 {
		t.Errorf("bodies: got %d, want 30", n)
	}
	for result, want := range map[string]float64{"new": 30, "duplicate": 90, "dead": 0} {
		if got := p.metric(t, "loom_projection_events_total", "result", result); got != want {
			t.Errorf("events that were %s: got %v, want %v", result, got, want)
		}
	}
}

// Of every kind of event that cannot be taken, one stands between good ones.
func TestPoisonIsSetAside(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	good := func() {
		for range 5 {
			testkit.Publish(t, r.js, testkit.Event("acme", time.Now()))
		}
	}
	publish := func(e *event.TraceEvent) { testkit.Publish(t, r.js, e) }
	foreign, err := event.Marshal(testkit.Event("acme", time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	// No gateway sends these: Marshal would refuse.
	absurd := func(change func(*event.TraceEvent)) []byte {
		data, err := proto.Marshal(testkit.Event("acme", time.Now(), change))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	poison := []struct {
		reason  string
		publish func()
	}{
		{"cannot parse", func() { testkit.PublishRaw(t, r.js, "loom.trace.v1.acme.completed", []byte("\xff\xff\xff")) }},
		{"trace_id", func() { testkit.PublishRaw(t, r.js, "loom.trace.v1.acme.completed", nil) }},
		{"subject of tenant", func() { testkit.PublishRaw(t, r.js, "loom.trace.v1.other.completed", foreign) }},
		{"subject of kind", func() { testkit.PublishRaw(t, r.js, "loom.trace.v1.acme.failed", foreign) }},
		{"is not loom.trace.v1.<tenant>.<kind>", func() { testkit.PublishRaw(t, r.js, "loom.trace.v1.acme.completed.x", foreign) }},
		{"on a subject of kind \"exploded\"", func() { testkit.PublishRaw(t, r.js, "loom.trace.v1.acme.exploded", foreign) }},
		{"outcome 99", func() {
			testkit.PublishRaw(t, r.js, "loom.trace.v1.acme.completed", absurd(func(e *event.TraceEvent) { e.Outcome = 99 }))
		}},
		{"duration_us -1", func() {
			testkit.PublishRaw(t, r.js, "loom.trace.v1.acme.completed", absurd(func(e *event.TraceEvent) { e.DurationUs = -1 }))
		}},
		{"request_bytes 9223372036854775807", func() {
			testkit.PublishRaw(t, r.js, "loom.trace.v1.acme.completed", absurd(func(e *event.TraceEvent) { e.RequestBytes = math.MaxInt64 }))
		}},
		{"producer seq or epoch over 2^63", func() {
			testkit.PublishRaw(t, r.js, "loom.trace.v1.acme.completed", absurd(func(e *event.TraceEvent) { e.Producer.Seq = math.MaxUint64 }))
		}},
		{"is not of this age", func() {
			testkit.PublishRaw(t, r.js, "loom.trace.v1.acme.completed", absurd(func(e *event.TraceEvent) { e.StartedAtUs = math.MinInt64 }))
		}},
		{"http_status 2147483647", func() {
			testkit.PublishRaw(t, r.js, "loom.trace.v1.acme.completed", absurd(func(e *event.TraceEvent) { e.HttpStatus = math.MaxInt32 }))
		}},
		{"days ago", func() { publish(testkit.Event("acme", time.Now().AddDate(0, 0, -401))) }},
		{"days ahead", func() { publish(testkit.Event("acme", time.Now().AddDate(0, 0, 3))) }},
		{"different keys", func() {
			publish(testkit.Event("acme", time.Now(), func(e *event.TraceEvent) { e.ResponseBody.KeyVersion = 2 }))
		}},
		// The event is sound; only Postgres refuses it.
		{"23514", func() {
			publish(testkit.Event("acme", time.Now(), func(e *event.TraceEvent) { e.ModelRequested = "refused" }))
		}},
	}
	if _, err := r.Pool("").Exec(t.Context(), `ALTER TABLE traces ADD CHECK (model_requested <> 'refused')`); err != nil {
		t.Fatal(err)
	}
	good()
	for _, p := range poison {
		p.publish()
		good()
	}
	p := r.replica(t)
	p.start(t)
	r.settled(t)
	if got, want := r.count(t, `SELECT count(*) FROM traces`), 5*(len(poison)+1); got != want {
		t.Errorf("traces: got %d, want %d", got, want)
	}
	for i, dead := range poison {
		if n := r.count(t, `SELECT count(*) FROM dead_events WHERE consumer = 'recorder' AND stream_seq = $1 AND strpos(reason, $2) > 0`, 6*(i+1), dead.reason); n != 1 {
			t.Errorf("dead events with reason %q: got %d, want 1", dead.reason, n)
		}
	}
	if n := r.count(t, `SELECT count(*) FROM dead_events`); n != len(poison) {
		t.Errorf("dead events: got %d, want %d", n, len(poison))
	}
	if n := r.count(t, `SELECT count(*) FROM dead_events WHERE data = $1 AND subject = 'loom.trace.v1.other.completed' AND msg_id LIKE 'test-%'`, foreign); n != 1 {
		t.Errorf("the foreign event was not kept as it came")
	}
	if got := p.metric(t, "loom_projection_events_total", "result", "dead"); got != float64(len(poison)) {
		t.Errorf("dead events counted: got %v, want %d", got, len(poison))
	}
}

// The deepest JSON that Decode lets through.
func TestDeepUsageIsNoPoison(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.replica(t).start(t)
	testkit.Publish(t, r.js, testkit.Event("acme", time.Now(), func(e *event.TraceEvent) {
		e.UsageRaw = []byte(strings.Repeat("[", event.MaxUsageRaw/2) + strings.Repeat("]", event.MaxUsageRaw/2))
	}))
	r.settled(t)
	if n := r.count(t, `SELECT count(*) FROM traces`); n != 1 {
		t.Errorf("traces: got %d, want 1; dead: %v", n, r.count(t, `SELECT count(*) FROM dead_events`))
	}
}

func TestPartitionsOnDemand(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.replica(t).start(t)
	partition := func(at time.Time) bool {
		return r.count(t, `SELECT count(*) FROM pg_class WHERE relname = $1`, "traces_"+at.UTC().Format("20060102")) == 1
	}
	testkit.Await(t, "partitions ahead", func(context.Context) bool { return partition(time.Now().AddDate(0, 0, 7)) })
	if !partition(time.Now().AddDate(0, 0, -1)) {
		t.Error("no partition of yesterday")
	}
	old := time.Now().AddDate(0, 0, -100)
	if partition(old) {
		t.Fatal("a partition of a hundred days ago before any event of then")
	}
	testkit.Publish(t, r.js, testkit.Event("acme", old), testkit.Event("acme", time.Now()))
	r.settled(t)
	if n := r.count(t, `SELECT count(*) FROM traces`); n != 2 {
		t.Errorf("traces: got %d, want 2", n)
	}
	// A day that went without the recorder's retention: an event that comes late makes it again.
	for _, table := range []string{"traces", "trace_bodies"} {
		if _, err := r.Pool("").Exec(t.Context(), `DROP TABLE `+table+`_`+old.UTC().Format("20060102")); err != nil {
			t.Fatal(err)
		}
	}
	testkit.Publish(t, r.js, testkit.Event("acme", old))
	r.settled(t)
	if n := r.count(t, `SELECT count(*) FROM traces`); n != 2 {
		t.Errorf("traces after a drop and a late event: got %d, want 2", n)
	}
	if n := r.count(t, `SELECT count(*) FROM dead_events`); n != 0 {
		t.Errorf("dead events: got %d, want 0", n)
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
	back := r.Away(t) // in the middle of the work
	for range 50 {
		testkit.Publish(t, r.js, testkit.Event("acme", time.Now()))
	}
	testkit.Await(t, "not ready", func(context.Context) bool { return p.ready.Err() != nil })
	if err := p.ready.Err(); !strings.Contains(err.Error(), "postgres: ") || strings.Contains(err.Error(), "nats: ") {
		t.Errorf("readiness: got %v, want postgres only", err)
	}
	if lag, err := bus.Lag(t.Context(), r.js, bus.ConsumerRecorder); err != nil || lag == 0 {
		t.Errorf("lag while the database is away: got %d, %v, want the waiting events", lag, err)
	}
	testkit.Await(t, "the lag gauge shows them", func(context.Context) bool {
		return p.metric(t, "loom_projection_lag_events", "consumer", bus.ConsumerRecorder) > 0
	})
	back()
	r.settled(t)
	testkit.Await(t, "ready again", func(context.Context) bool { return p.ready.Err() == nil })
	testkit.Await(t, "lag gauge at 0", func(context.Context) bool {
		return p.metric(t, "loom_projection_lag_events", "consumer", bus.ConsumerRecorder) == 0
	})
	if n := r.count(t, `SELECT count(*) FROM traces`); n != 100 {
		t.Errorf("traces: got %d, want 100", n)
	}
	if n := r.count(t, `SELECT count(*) FROM dead_events`); n != 0 {
		t.Errorf("an outage killed %d events", n)
	}
}

func TestStartsBeforeTheBroker(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	testkit.Publish(t, r.js, testkit.Event("acme", time.Now()))
	r.broker.Stop()
	p := r.replica(t)
	p.start(t)
	testkit.Await(t, "postgres ready", func(context.Context) bool {
		err := p.ready.Err()
		return err != nil && strings.Contains(err.Error(), "nats: ") && !strings.Contains(err.Error(), "postgres: ")
	})
	r.broker.Start(t)
	testkit.Await(t, "ready", func(context.Context) bool { return p.ready.Err() == nil })
	r.settled(t)
	if n := r.count(t, `SELECT count(*) FROM traces`); n != 1 {
		t.Errorf("traces: got %d, want 1", n)
	}
}

func TestTwoReplicasShareTheWork(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const events = 1000
	for i := range events {
		testkit.Publish(t, r.js, testkit.Event([]string{"acme", "bolt"}[i%2], time.Now()))
	}
	a, b := r.replica(t), r.replica(t)
	a.start(t)
	stop := b.start(t)
	r.settled(t)
	stop()
	if n := r.count(t, `SELECT count(*) FROM traces`); n != events {
		t.Errorf("traces: got %d, want %d", n, events)
	}
	if n := a.metric(t, "loom_projection_events_total", "result", "new") + b.metric(t, "loom_projection_events_total", "result", "new"); n != events {
		t.Errorf("new events counted by both: got %v, want %d", n, events)
	}
	testkit.Await(t, "lag gauge at 0", func(context.Context) bool {
		return a.metric(t, "loom_projection_lag_events", "consumer", "recorder") == 0
	})
}

// A batch is committed and its process dies before the ack.
func TestCrashBetweenCommitAndAck(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for range 100 {
		testkit.Publish(t, r.js, testkit.Event("acme", time.Now()))
	}
	consumer, err := r.js.Consumer(t.Context(), bus.StreamTrace, bus.ConsumerRecorder)
	if err != nil {
		t.Fatal(err)
	}
	fetched, err := consumer.Fetch(60, jetstream.FetchMaxWait(5*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	batch := slices.Collect(chanSeq(fetched.Messages()))
	if err := r.replica(t).Handle(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if n := r.count(t, `SELECT count(*) FROM traces`); n != 60 {
		t.Fatalf("traces before the crash: got %d, want 60", n)
	}
	for _, msg := range batch { // what the broker does by itself after 30 s
		if err := msg.Nak(); err != nil {
			t.Fatal(err)
		}
	}
	p := r.replica(t)
	p.start(t)
	r.settled(t)
	if n := r.count(t, `SELECT count(*) FROM traces`); n != 100 {
		t.Errorf("traces: got %d, want 100", n)
	}
	if got := p.metric(t, "loom_projection_events_total", "result", "duplicate"); got != 60 {
		t.Errorf("duplicates: got %v, want 60", got)
	}
}

func chanSeq[T any](c <-chan T) func(func(T) bool) {
	return func(yield func(T) bool) {
		for v := range c {
			if !yield(v) {
				return
			}
		}
	}
}

// The recorder must not be able to open a body: it is built without the code.
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
		t.Error("the recorder imports pkg/envelope")
	}
}

func TestConfig(t *testing.T) {
	t.Setenv("LOOM_RECORDER_DATABASE_URL", "")
	var cfg recorder.Config
	if err := config.Load(recorder.Prefix, &cfg); err == nil || !strings.Contains(err.Error(), "LOOM_RECORDER_DATABASE_URL") {
		t.Errorf("without a database: got %v, want an error that names the variable", err)
	}
	t.Setenv("LOOM_RECORDER_DATABASE_URL", "postgres://loom_recorder:hunter2@db/loom")
	t.Setenv("LOOM_RECORDER_OPS_ADDR", "127.0.0.1:9090")
	cfg = recorder.Config{}
	if err := config.Load(recorder.Prefix, &cfg); err != nil {
		t.Fatal(err)
	}
	want := recorder.Config{
		NATSURL: "nats://127.0.0.1:4222", DatabaseURL: "postgres://loom_recorder:hunter2@db/loom",
		OpsAddr: "127.0.0.1:9090", LogLevel: "info", LogFormat: "json",
	}
	if cfg != want {
		t.Errorf("config: got %+v, want %+v", cfg, want)
	}
}
