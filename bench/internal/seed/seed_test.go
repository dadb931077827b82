package seed_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"loom.internal/bench/internal/seed"
	"loom.internal/bench/internal/solo"
	"loom.internal/bench/internal/traffic"
	"loom.internal/pkg/event"
)

const (
	facts  = 3000
	events = 400
)

// What is written straight into the tables and what goes through the pipeline is, both of
// it, what Loom itself says is complete; bodies can be opened.
func TestALoomIsFilled(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	l, err := solo.Start(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	home, err := seed.Open(l.Data)
	if err != nil {
		t.Fatal(err)
	}
	tenants, err := seed.Configure(ctx, home)
	if err != nil {
		t.Fatal(err)
	}
	again, err := seed.Configure(ctx, home)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range traffic.Tenants() {
		if tenants.Logins[id] == "" || again.Logins[id] != tenants.Logins[id] {
			t.Errorf("tenant %s has another key to log in with at the second time", id)
		}
	}
	now := time.Now()
	o := traffic.Options{Seed: 1, Count: facts, Days: 3, Until: now, Keys: tenants.Keys}
	last := 0
	if err := seed.Write(ctx, home.Database, o, func(n int) { last = n }); err != nil {
		t.Fatal(err)
	}
	if last != facts {
		t.Errorf("%d of %d requests reported", last, facts)
	}
	if err := seed.Write(ctx, home.Database, o, func(int) {}); !errors.Is(err, seed.ErrFilled) {
		t.Errorf("a second time: %v", err)
	}
	o.Seed, o.Count = 2, events
	if err := seed.Publish(ctx, home, o, func(n int) { last = n }); err != nil {
		t.Fatal(err)
	}
	if last != events {
		t.Errorf("%d of %d events reported", last, events)
	}
	complete(t, home, 1)

	conn, err := pgx.Connect(ctx, home.Database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(ctx)) })
	for what, want := range map[string]int{
		`SELECT count(*) FROM traces`:                                facts + events,
		`SELECT count(*) FROM usage_facts`:                           facts + events,
		`SELECT sum(requests)::int FROM rollups WHERE grain = 'day'`: facts + events,
		`SELECT count(*) FROM traces JOIN usage_facts USING (tenant_id, started_at, trace_id) WHERE traces.provider = usage_facts.provider`: facts + events,
		`SELECT count(*) FROM usage_facts WHERE cost_status = 'priced' AND cost = 0 AND output > 0`:                                         0,
		`SELECT count(*) FROM traces WHERE recorded_at < started_at`:                                                                        0,
	} {
		if got := count(t, conn, what); got != want {
			t.Errorf("%s: %d, want %d", what, got, want)
		}
	}
	for _, what := range []string{
		`SELECT count(*) FROM usage_facts WHERE unpriced_why = 'no_price'`, `SELECT count(*) FROM usage_facts WHERE unpriced_why = 'usage_unreadable'`,
		`SELECT count(*) FROM trace_bodies WHERE request_truncated AND request_length > 16000000`, `SELECT reltuples::int FROM pg_class WHERE relname = 'rollups'`,
	} {
		if count(t, conn, what) <= 0 {
			t.Errorf("%s: none", what)
		}
	}
	if n := count(t, conn, wrongTagRollups); n != 0 {
		t.Errorf("%d sums by tag are not what the ledger comes to", n)
	}
	opened(t, home, conn, tenants.Logins)

	// A run that is cut short leaves a beginning without a gap.
	o.Seed, o.Count = 3, 3*events
	cut, stop := context.WithCancel(ctx)
	defer stop()
	if err := seed.Publish(cut, home, o, func(int) { stop() }); !errors.Is(err, context.Canceled) {
		t.Errorf("cut short: %v", err)
	}
	complete(t, home, 2)
	if n := count(t, conn, `SELECT count(*) FROM traces`); n <= facts+events || n >= facts+4*events {
		t.Errorf("%d traces after a run that was cut short", n)
	}
}

// wrongTagRollups counts the rows of tag_rollups that are not what the facts written with
// them come to, and the other way round. A histogram is compared by how many it has in
// each bucket.
const wrongTagRollups = `
	WITH tagged AS (
		SELECT f.*, grain, tag, value, date_trunc(grain, started_at, 'UTC') AS bucket
		FROM usage_facts f, jsonb_each_text(tags) AS t (tag, value), (VALUES ('hour'), ('day')) AS g (grain)
	), summed AS (
		SELECT tenant_id, grain, tag, bucket, value, key_id, provider, model, route, outcome, count(*) AS requests,
		       count(*) FILTER (WHERE cost_status = 'unpriced') AS unpriced, count(*) FILTER (WHERE cost_status = 'no_usage') AS no_usage,
		       sum(input_uncached) AS input_uncached, sum(cache_read) AS cache_read, sum(cache_write + cache_write_1h) AS cache_write,
		       sum(output) AS output, sum(reasoning) AS reasoning, sum(coalesce(cost, 0)) AS cost, sum(duration_us) AS duration_us,
		       array_agg(hist_bucket(duration_us) ORDER BY duration_us) AS durations,
		       coalesce(array_agg(hist_bucket(ttft_us) ORDER BY ttft_us) FILTER (WHERE ttft_us IS NOT NULL), '{}') AS ttfts
		FROM tagged GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
	), stored AS (
		SELECT *, ARRAY(SELECT duration_hist[i] FROM generate_series(1, cardinality(duration_hist), 2) AS i, generate_series(1, duration_hist[i + 1]) ORDER BY 1) AS durations,
		       ARRAY(SELECT ttft_hist[i] FROM generate_series(1, cardinality(ttft_hist), 2) AS i, generate_series(1, ttft_hist[i + 1]) ORDER BY 1) AS ttfts
		FROM tag_rollups
	)
	SELECT count(*) FROM summed s
	FULL JOIN stored r USING (tenant_id, grain, tag, bucket, value, key_id, provider, model, route, outcome)
	WHERE (s.requests, s.unpriced, s.no_usage, s.input_uncached, s.cache_read, s.cache_write, s.output, s.reasoning, s.cost, s.duration_us, s.durations, s.ttfts)
		IS DISTINCT FROM (r.requests, r.unpriced, r.no_usage, r.input_uncached, r.cache_read, r.cache_write, r.output, r.reasoning, r.cost, r.duration_us, r.durations, r.ttfts)`

func count(t *testing.T, conn *pgx.Conn, sql string) (n int) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), sql).Scan(&n); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return n
}

// complete asks Loom until it says that nothing is missing of so many producers.
func complete(t *testing.T, home seed.Home, producers int) {
	t.Helper()
	tick, limit := time.NewTicker(200*time.Millisecond), time.After(time.Minute)
	defer tick.Stop()
	for {
		body := get(t, home.Dashboard+"/api/v1/admin/verify?days=31", home.AdminKey)
		var report struct {
			State     string
			Producers []struct{ State string }
		}
		if err := json.Unmarshal(body, &report); err != nil {
			t.Fatalf("%v: %s", err, body)
		}
		if report.State == "complete" {
			if len(report.Producers) != producers {
				t.Errorf("%d producers, want the %d that published", len(report.Producers), producers)
			}
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("not complete: %s", body)
		}
	}
}

// opened looks at bodies as people who log in see them.
func opened(t *testing.T, home seed.Home, conn *pgx.Conn, logins map[string]string) {
	t.Helper()
	for kind, want := range map[string]string{
		"a-megabyte": "parcels a day", "the-largest": "parcels a day", "script-in-text": "<script>document.title", "": `"messages"`,
	} {
		var tenant, id string
		err := conn.QueryRow(t.Context(), `SELECT tenant_id, trace_id::text FROM traces JOIN trace_bodies USING (tenant_id, started_at, trace_id)
			WHERE coalesce(tags->>$1, '') = $2 AND endpoint IN ('chat.completions', 'messages') LIMIT 1`, traffic.TagOdd, kind).Scan(&tenant, &id)
		if err != nil {
			t.Errorf("a trace that is %q: %v", kind, err)
			continue
		}
		var payload struct {
			Request struct {
				Text      string
				Truncated bool
				Length    int
			}
		}
		body := get(t, fmt.Sprintf("%s/api/v1/traces/%s/payload", home.Dashboard, id), logins[tenant])
		if err := json.Unmarshal(body, &payload); err != nil {
			t.Errorf("%q: %v", kind, err)
			continue
		}
		if !strings.Contains(payload.Request.Text, want) {
			t.Errorf("%q does not say %q: %.300s", kind, want, payload.Request.Text)
		}
		if largest := kind == "the-largest"; payload.Request.Truncated != largest || largest && payload.Request.Length < event.MaxBody-4 {
			t.Errorf("%q: %d bytes, truncated %v", kind, payload.Request.Length, payload.Request.Truncated)
		}
	}
}

func get(t *testing.T, url, key string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s: %v: %.300s", url, resp.Status, err, body)
	}
	return body
}

func TestWithoutADatabaseNothingIsWritten(t *testing.T) {
	t.Parallel()
	if err := seed.Write(t.Context(), "", traffic.Options{}, func(int) {}); err == nil || !strings.Contains(err.Error(), "-database") {
		t.Errorf("got %v, want that there is no database", err)
	}
}
