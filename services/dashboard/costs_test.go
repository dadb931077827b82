package dashboard_test

import (
	"context"
	"encoding/csv"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestCosts(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	now := time.Now().UTC()
	var got costs
	r.get(t, r.acme, "/api/v1/costs", &got)
	if text(got.Total) != "0" || len(got.Rows) != 0 || text(got.Month.Spent) != "0" || got.Month.Forecast != nil {
		t.Errorf("of nothing: got %+v", got)
	}
	at := now.Add(-30 * time.Minute)
	r.insert(t, r.trace(at, func(s *seeded) { s.cost = 3_000_000_000_000 }), r.trace(at, func(s *seeded) { s.cost, s.key = 1_000_000_000_000, "ZZZZZZZZ" }))
	r.get(t, r.acme, "/api/v1/costs?by=key", &got)
	if text(got.Total) != "4" || got.FreshTo == nil && got.Rows[0].Label != "all" {
		t.Errorf("got %+v", got)
	}
	if first := got.Rows[0]; first.Key != r.keyID || first.Label != "all" || *first.Share != 0.75 || text(first.Per1k) != "3000" || first.Previous != nil {
		t.Errorf("the first row: got %+v", first)
	}
	if last := got.Rows[1]; last.Key != "ZZZZZZZZ" || last.Label != last.Key || *last.Share != 0.25 {
		t.Errorf("a key that is gone: got %+v", last)
	}
	if got.Month.Forecast != nil {
		t.Errorf("forecast %s in the first hour", *got.Month.Forecast)
	}
}

// The forecast goes by the last seven days, or by as many as there has been traffic.
func TestForecast(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	month := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	now := month.AddDate(0, 0, 15) // 16 days are left
	r.clock.forward(time.Until(now))
	dollar := func(at time.Time) {
		r.insert(t, r.trace(at, func(s *seeded) { s.cost = 1_000_000_000_000 }))
	}
	read := func() costs {
		var got costs
		r.get(t, r.acme, "/api/v1/costs?range=15m", &got)
		return got
	}
	dollar(now.Add(-48 * time.Hour))
	if got := read().Month; !got.From.Equal(month) || !got.To.Equal(month.AddDate(0, 1, 0)) || text(got.Spent) != "1" || !strings.HasPrefix(text(got.Forecast), "9") {
		t.Errorf("a dollar in two days: got %s of %s, want 1 of about 9", text(got.Spent), text(got.Forecast))
	}
	dollar(month.Add(-time.Hour)) // of the month before, and more than seven days ago
	dollar(month.Add(time.Hour))
	if got := read().Month; text(got.Spent) != "2" || !strings.HasPrefix(text(got.Forecast), "4.2") {
		t.Errorf("a dollar in seven days, two in the month: got %s of %s, want 2 of about 4.29", text(got.Spent), text(got.Forecast))
	}
	r.insert(t, r.trace(now.Add(-10*24*time.Hour), func(s *seeded) { s.model, s.costStatus, s.unpricedWhy = "x", "unpriced", "no_price" }))
	var got costs
	r.get(t, r.acme, "/api/v1/costs?model=x", &got)
	if got.Month.Spent != nil || got.Month.Forecast != nil {
		t.Errorf("of what has no price: got %+v", got.Month)
	}
}

func (r *rig) csv(t *testing.T, query string) [][]string {
	t.Helper()
	out := r.do(t, call{method: http.MethodGet, path: "/api/v1/costs.csv?" + query, key: r.acme})
	if out.status != http.StatusOK || out.header.Get("Content-Disposition") != `attachment; filename="costs.csv"` {
		t.Fatalf("got %d %v", out.status, out.header)
	}
	rows, err := csv.NewReader(strings.NewReader(string(out.body))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// No text that somebody sent as a tag becomes a formula, and no amount is rounded.
func TestCostsFile(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	at := time.Now().Add(-3 * time.Hour)
	for i, value := range []string{"=1+1", "+1", "-1", "@x", "\ttab", "＝1", "plain, \"quoted\"\nlines", ""} {
		r.insert(t, r.trace(at, func(s *seeded) {
			s.cost, s.tags = int64(8-i)*1_000_000_000_000+1, map[string]string{"team": value}
		}))
	}
	r.insert(t, r.trace(at, func(s *seeded) {
		s.costStatus, s.unpricedWhy, s.tags = "unpriced", "no_price", map[string]string{"team": "free"}
	}))
	want := [][]string{{"key", "label", "cost_usd", "per_1k_usd"}}
	for i, key := range []string{"'=1+1", "'+1", "'-1", "'@x", "'\ttab", "'＝1", "plain, \"quoted\"\nlines", ""} {
		digit := string(rune('8' - i))
		want = append(want, []string{key, key, digit + ".000000000001", digit + "000.000000001"})
	}
	want = append(want, []string{"free", "free", "", ""})
	var got [][]string
	for _, row := range r.csv(t, "by=tag%3Ateam") {
		got = append(got, []string{row[0], row[1], row[2], row[10]})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if rows := r.csv(t, "range=15m"); len(rows) != 1 {
		t.Errorf("of nothing: got %d lines, want the header", len(rows))
	}
}

// manyGroups are so many rows of costs that they do not fit into the buffers on their way.
func (r *rig) manyGroups(t *testing.T, n, length int) {
	t.Helper()
	r.exec(t, `
		INSERT INTO tag_rollups (tenant_id, grain, tag, bucket, value, key_id, provider, model, route, outcome, requests, unpriced, no_usage, input_uncached,
		    cache_read, cache_write, output, reasoning, cost, duration_us, duration_hist, ttft_hist)
		SELECT 'acme', 'hour', 'user', date_trunc('hour', now(), 'UTC') - interval '2 hours', lpad(n::text, $2, 'x'), 'k', 'p', 'm', 'r', 'completed', 1, 0, 0, 1,
		    0, 0, 1, 0, 1000000000000, 1, '{1,1}', '{}'
		FROM generate_series(1, $1::int) n`, n, length)
}

func TestCostsAreBounded(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.manyGroups(t, 250, 8)
	var got costs
	r.get(t, r.acme, "/api/v1/costs?by=tag%3Auser", &got)
	if len(got.Rows) != 200 || got.More != 50 {
		t.Errorf("got %d rows and %d more", len(got.Rows), got.More)
	}
	if rows := r.csv(t, "by=tag%3Auser"); len(rows) != 251 {
		t.Errorf("the file has %d lines", len(rows))
	}
}

// A file that cannot be read to its end does not look as if it were whole.
func TestCostsFileIsCut(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.manyGroups(t, 60_000, 500)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.base+"/api/v1/costs.csv?by=tag%3Auser", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+r.acme)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.ReadFull(resp.Body, make([]byte, 1)); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("got %d, %v", resp.StatusCode, err)
	}
	defer r.db.Away(t)()
	if n, err := io.Copy(io.Discard, resp.Body); err == nil {
		t.Errorf("the file ended after %d bytes as if it were whole", n)
	}
	r.fails(t, call{method: http.MethodGet, path: "/api/v1/costs.csv", key: r.acme}, http.StatusServiceUnavailable, "unavailable")
}

func TestCompare(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.insert(t, r.trace(time.Now().Add(-time.Minute)), r.trace(time.Now().Add(-2*time.Hour), func(s *seeded) { s.model = "b" }))
	var got struct{ A, B summary }
	r.get(t, r.acme, "/api/v1/compare?a=range%3D1h&b=range%3D6h%26model%3Db%26model%3Dc", &got)
	if got.A.Requests.Value != 1 || got.B.Requests.Value != 1 || !got.A.To.Equal(got.B.To) || got.B.To.Sub(got.B.From) < 6*time.Hour {
		t.Errorf("got %+v", got)
	}
	defer r.db.Away(t)()
	for _, path := range []string{
		"compare?a=&b=", "summary", "timeseries?metric=cost", "facets", "costs", "models", "costs?by=key", "timeseries?metric=latency&by=key",
		"traces?min_cost_usd=1", "facets?model=a&tag=env:x",
	} {
		r.fails(t, call{method: http.MethodGet, path: "/api/v1/" + path, key: r.acme}, http.StatusServiceUnavailable, "unavailable")
	}
}
