package dashboard_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"loom.internal/pkg/telemetry"
	"loom.internal/pkg/testkit"
	"loom.internal/services/dashboard"
)

// statements notes what is asked of the database.
type statements struct {
	mu  sync.Mutex
	all []pgx.TraceQueryStartData
}

func (s *statements) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	if strings.Contains(data.SQL, "FROM") {
		s.all = append(s.all, data)
	}
	return ctx
}

func (s *statements) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// take is what has been noted since.
func (s *statements) take() []pgx.TraceQueryStartData {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() { s.all = nil }()
	return s.all
}

// fill records and accounts n requests a day of a tenant, of the days up to today.
func (r *rig) fill(t *testing.T, tenantID string, days, n int) {
	t.Helper()
	r.exec(t, `SELECT loom_ensure_partitions((now() AT TIME ZONE 'UTC')::date - $1::int, $1 + 2)`, days)
	r.exec(t, `
		INSERT INTO usage_facts (tenant_id, started_at, trace_id, key_id, route, endpoint, provider, provider_kind, model, outcome, http_status,
		    stream, duration_us, ttft_us, usage_source, input_uncached, cache_read, cache_write, cache_write_1h, output, reasoning, cost, cost_status,
		    unpriced_why, price_version, tags, session_id, attempts)
		SELECT $1, now() - (i * interval '1 day') / $3::int, gen_random_uuid(), 'key' || i % 5, 'r', 'chat.completions', 'p' || i % 4, 'openai', 'm' || i % 8,
		    'completed', 200, true, 1000000 + i, 1000 + i, 'provider', 10, i % 2, 0, 0, 5, 0, i * 1000, 'priced', '', 'b', jsonb_build_object('env', 'e' || i % 3), 's' || i % 50, 1
		FROM generate_series(0, $2::int * $3 - 1) i`, tenantID, days, n)
	r.exec(t, `
		INSERT INTO traces (tenant_id, started_at, trace_id, key_id, endpoint, route, model_requested, model_upstream, model_answered, provider, provider_kind,
		    stream, outcome, http_status, error_class, duration_us, ttft_us, request_bytes, response_bytes, chunks, finish_reasons, tool_names, usage_source,
		    service_tier, region, tags, end_user, session_id, content_mode, attempts, producer_id, producer_epoch, producer_seq, recorded_at)
		SELECT tenant_id, started_at, trace_id, key_id, endpoint, route, model, '', model, provider, provider_kind, stream, outcome, http_status, '', duration_us,
		    ttft_us, 1, 1, 1, '{stop}', '{}', 'provider', '', '', tags, '', session_id, 'none', '[{}]', 'gw', 1, 1, started_at + interval '1 second'
		FROM usage_facts WHERE tenant_id = $1 ORDER BY started_at`, tenantID)
}

// node is a part of a plan.
type node struct {
	Type     string  `json:"Node Type"`
	Relation string  `json:"Relation Name"`
	Loops    float64 `json:"Actual Loops"`
	Rows     float64 `json:"Actual Rows"`
	Left     float64 `json:"Rows Removed by Filter"`
	Plans    []node
}

// each calls f with all parts of a plan.
func (n node) each(f func(node)) {
	f(n)
	for _, p := range n.Plans {
		p.each(f)
	}
}

var dayOfPartition = regexp.MustCompile(`^(traces|usage_facts|trace_bodies)_([0-9]{8})$`)

// Reads of a window look into the partitions of its days and no others, by an index; and
// no list looks at bodies.
func TestPlans(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const days = 6
	r.fill(t, "other", days, 12_000)
	r.fill(t, "acme", days, 400)
	r.exec(t, `ANALYZE`)
	notes := &statements{}
	cfg, err := pgxpool.ParseConfig(r.db.DSN("loom_dashboard"))
	if err != nil {
		t.Fatal(err)
	}
	cfg.ConnConfig.Tracer = notes
	db, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	s, err := dashboard.New(testConfig(t), dashboard.Deps{
		Log: testkit.Log(t), NATS: r.nats, DB: db, AdminDB: r.db.Pool("loom_admin"), Metrics: prometheus.NewRegistry(), Ready: new(telemetry.Readiness),
	})
	if err != nil {
		t.Fatal(err)
	}
	// A trace of now whose id says so.
	made := r.trace(time.Now())
	r.insert(t, made)

	noon := time.Now().UTC().Truncate(24 * time.Hour).Add(-36 * time.Hour)
	window := between(noon.Add(-5*time.Hour-30*time.Minute), noon)
	ledgerOnly := window + "&session=s1"
	for path, partitions := range map[string]int{
		"traces?" + window:                                                          1,
		"traces?limit=200&tag=env:e1&" + window:                                     1,
		"traces?model=m3&min_latency_ms=1000&" + window:                             1,
		"traces?min_cost_usd=0.0000001&" + window:                                   1,
		"traces?cached=true&cost_status=priced&" + window:                           1,
		"traces/" + made.id.String():                                                2, // and where the time in the id is near another day
		"summary?" + ledgerOnly:                                                     2, // and of the window before
		"summary?tag=env:e1&" + window:                                              2,
		"timeseries?metric=cost&by=tag:env&" + window:                               1,
		"timeseries?metric=latency&by=model&" + ledgerOnly:                          1,
		"facets?" + ledgerOnly:                                                      1,
		"facets?tag=env:e1&" + window:                                               1,
		"models?" + ledgerOnly:                                                      1,
		"compare?a=" + strings.ReplaceAll(ledgerOnly, "&", "%26") + "&b=range%3D1h": 4,
	} {
		notes.take()
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/"+path, nil)
		req.Header.Set("Authorization", "Bearer "+r.acme)
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, req)
		if w.Code != http.StatusOK {
			t.Fatalf("%s: got %d %s", path, w.Code, w.Body)
		}
		all := notes.take()
		seen := map[string]bool{}
		for _, q := range all {
			r.checkPlan(t, path, q, seen)
		}
		if len(all) == 0 || len(seen) == 0 || len(seen) > partitions {
			t.Errorf("%s: %d statements look at the days %v, want %d of them", path, len(all), seen, partitions)
		}
	}

	// Those who watch look at what is new only.
	rows := r.count(t, `SELECT count(*) FROM traces`)
	r.exec(t, `SELECT brin_summarize_new_values(c.oid) FROM pg_class c JOIN pg_am a ON a.oid = c.relam WHERE a.amname = 'brin' AND c.relkind = 'i'`)
	srv := httptest.NewServer(s.Handler())
	t.Cleanup(srv.Close)
	r.base = srv.URL
	notes.take()
	watching := r.watch(t, r.acme, "", nil)
	defer func() { _ = watching.resp.Body.Close() }() // else the server does not close
	var poll []pgx.TraceQueryStartData
	testkit.Await(t, "a poll", func(context.Context) bool {
		poll = append(poll, notes.take()...)
		return slices.ContainsFunc(poll, func(q pgx.TraceQueryStartData) bool { return strings.Contains(q.SQL, "recorded_at >= @since") })
	})
	seen := map[string]bool{}
	for _, q := range poll {
		r.checkPlan(t, fmt.Sprintf("tail of %d traces", rows), q, seen)
	}
	if len(seen) > 4 {
		t.Errorf("those who watch look at the days %v", seen)
	}
}

// few rows of a partition are on some ten pages; a whole day of fill is far more.
const few = 500

// checkPlan runs a statement again to see how, and notes whose days it looks at.
func (r *rig) checkPlan(t *testing.T, path string, q pgx.TraceQueryStartData, seen map[string]bool) {
	t.Helper()
	tx, err := r.db.Pool("loom_dashboard").Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	if _, err := tx.Exec(t.Context(), `SELECT set_config('loom.tenant', 'acme', true)`); err != nil {
		t.Fatal(err)
	}
	var text []byte
	if err := tx.QueryRow(t.Context(), "EXPLAIN (ANALYZE, FORMAT JSON) "+q.SQL, q.Args...).Scan(&text); err != nil {
		t.Fatalf("%s: %v in %s", path, err, q.SQL)
	}
	var plans []struct{ Plan node }
	if err := json.Unmarshal(text, &plans); err != nil {
		t.Fatal(err)
	}
	plans[0].Plan.each(func(n node) {
		part := dayOfPartition.FindStringSubmatch(n.Relation)
		if part == nil || n.Loops == 0 { // another table, or pruned
			return
		}
		seen[part[2]] = true
		// What is on a few pages, as that of a day that has just begun, is best read whole.
		if n.Type == "Seq Scan" && n.Rows+n.Left > few {
			t.Errorf("%s: reads all of %s:\n%s\n%s", path, n.Relation, q.SQL, text)
		}
		if part[1] == "trace_bodies" && !strings.HasPrefix(path, "traces/") {
			t.Errorf("%s: looks at %s", path, n.Relation)
		}
	})
}

// A walk of many pages sees each trace that was there at its start once, whatever is
// recorded meanwhile, and however many share an instant.
func TestLongWalk(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.fill(t, "acme", 3, 3_400)
	r.exec(t, `UPDATE traces SET started_at = date_trunc('minute', started_at)`) // about seven each
	old := r.count(t, `SELECT count(*) FROM traces`)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		var err error
		for err == nil && ctx.Err() == nil {
			_, err = r.db.Pool("").Exec(t.Context(), `
				INSERT INTO traces (tenant_id, started_at, trace_id, key_id, endpoint, route, model_requested, model_upstream, model_answered, provider, provider_kind,
				    stream, outcome, http_status, error_class, duration_us, request_bytes, response_bytes, chunks, finish_reasons, tool_names, usage_source,
				    service_tier, region, tags, end_user, session_id, content_mode, attempts, producer_id, producer_epoch, producer_seq)
				SELECT tenant_id, started_at, gen_random_uuid(), key_id, endpoint, route, model_requested, model_upstream, model_answered, provider, provider_kind,
				    stream, outcome, http_status, error_class, duration_us, request_bytes, response_bytes, chunks, finish_reasons, tool_names, usage_source,
				    service_tier, region, tags, end_user, 'new', content_mode, attempts, producer_id, producer_epoch, producer_seq
				FROM traces WHERE session_id <> 'new' AND random() < 0.01`)
		}
		done <- err
	}()
	seen := map[string]bool{}
	known, next := int64(0), ""
	for {
		var page tracePage
		r.get(t, r.acme, "/api/v1/traces?range=7d&limit=200"+next, &page)
		for _, item := range page.Items {
			if seen[item.ID] {
				t.Fatalf("%s is there twice", item.ID)
			}
			if seen[item.ID] = true; item.SessionID != "new" {
				known++
			}
		}
		if page.NextCursor == nil {
			break
		}
		next = "&cursor=" + *page.NextCursor
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if known != old || old < 10_000 || int64(len(seen)) == old {
		t.Errorf("saw %d of %d, and %d new ones", known, old, int64(len(seen))-known)
	}
}
