package dashboard_test

import (
	"crypto/sha256"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"

	"loom.internal/pkg/envelope"
	"loom.internal/pkg/histogram"
)

// seeded is a trace as recorder and analytics would have stored it.
type seeded struct {
	tenant, key, model, provider, outcome string
	at                                    time.Time
	id                                    uuid.UUID
	latency, ttft                         int64 // µs; ttft 0: none
	input, cached, output                 int64
	cost                                  int64 // picodollars
	costStatus, unpricedWhy               string
	pending                               bool // not accounted yet
	tags                                  map[string]string
	session                               string
	status, attempts                      int
	stream                                bool
	request, response                     *string
}

func (r *rig) trace(at time.Time, edit ...func(*seeded)) *seeded {
	s := &seeded{
		tenant: "acme", key: r.keyID, model: "gpt-4o-mini", provider: "openai", outcome: "completed",
		at: at.UTC().Truncate(time.Microsecond), id: uuid.Must(uuid.NewV7()), latency: 1_234_567, ttft: 200_000,
		input: 100, cached: 20, output: 30, cost: 120_000_000, costStatus: "priced",
		tags: map[string]string{"team": "search"}, session: "s1", status: 200, attempts: 1, stream: true,
	}
	for _, f := range edit {
		f(s)
	}
	return s
}

func (r *rig) insert(t *testing.T, all ...*seeded) {
	t.Helper()
	for _, s := range all {
		r.exec(t, `SELECT loom_ensure_partitions($1::date, 2)`, s.at.Add(-24*time.Hour))
		r.exec(t, `SELECT loom_ensure_partitions($1::date, 2)`, s.at)
		class := ""
		if s.outcome == "failed" {
			s.status, class = 502, "upstream_error"
		}
		calls := make([]map[string]any, s.attempts)
		for i := range calls {
			calls[i] = map[string]any{
				"provider": s.provider, "model": s.model, "status": s.status, "error_class": class, "start_us": 150, "duration_us": s.latency - 150,
			}
		}
		attempts, err := json.Marshal(calls)
		if err != nil {
			t.Fatal(err)
		}
		r.exec(t, `
			INSERT INTO traces (tenant_id, started_at, trace_id, key_id, endpoint, route, model_requested, model_upstream, model_answered,
			    provider, provider_kind, stream, outcome, http_status, error_class, duration_us, ttft_us, gap_p50_us, gap_p99_us,
			    request_bytes, response_bytes, chunks, finish_reasons, tool_names, usage_raw, usage_source, service_tier, region, tags,
			    end_user, session_id, content_mode, attempts, producer_id, producer_epoch, producer_seq)
			VALUES ($1, $2, $3, $4, 'chat.completions', 'gpt-*', $5, '', $5, $6, 'openai', $13, $7, $8, $9, $10, nullif($11, 0), NULL, NULL,
			    512, 2048, 7, '{stop}', '{}', '{"prompt_tokens": 100,  "completion_tokens": 30}', 'provider', '', '', $14, 'u1', $15, 'full', $12,
			    'gw-1', 3, 44)`,
			s.tenant, s.at, s.id, s.key, s.model, s.provider, s.outcome, s.status, class, s.latency, s.ttft, attempts,
			s.stream, s.tags, s.session)
		r.insertBodies(t, s)
		if !s.pending {
			r.insertFact(t, s)
		}
	}
}

func (r *rig) insertBodies(t *testing.T, s *seeded) {
	t.Helper()
	if s.request == nil && s.response == nil {
		return
	}
	data := r.dataKey(t, s.tenant)
	key, err := data.Trace(s.id.String())
	if err != nil {
		t.Fatal(err)
	}
	seal := func(field envelope.Field, body *string) (ciphertext, iv, digest, length any, codec int) {
		if body == nil {
			return nil, nil, nil, nil, 0
		}
		b, err := key.Seal(field, []byte(*body), envelope.Zstd)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(b.Ciphertext)
		return b.Ciphertext, b.IV, sum[:], b.PlainLen, int(b.Codec)
	}
	qc, qi, qd, ql, qz := seal(envelope.FieldRequest, s.request)
	ac, ai, ad, al, az := seal(envelope.FieldResponse, s.response)
	r.exec(t, `
		INSERT INTO trace_bodies (tenant_id, started_at, trace_id, encryption_suite, encryption_key_version,
		    request_body, request_iv, request_sha256, request_length, request_codec, response_body, response_iv, response_sha256, response_length, response_codec)
		VALUES ($1, $2, $3, 1, $14, $4, $5, $6, $7, $12, $8, $9, $10, $11, $13)`,
		s.tenant, s.at, s.id, qc, qi, qd, ql, ac, ai, ad, al, qz, az, int64(data.Epoch()))
}

// dataKey is what bodies of a tenant are sealed with now.
func (r *rig) dataKey(t *testing.T, tenantID string) *envelope.DataKey {
	t.Helper()
	var w envelope.WrappedDataKey
	err := r.db.Pool("loom_admin").QueryRow(t.Context(), `
		SELECT epoch, master_version, iv, wrapped FROM tenant_keys WHERE tenant_id = $1 AND state = 'active'`, tenantID).
		Scan(&w.Epoch, &w.MasterVersion, &w.IV, &w.Ciphertext)
	if err != nil {
		t.Fatal(err)
	}
	key, err := w.Unwrap(t.Context(), r.ring, tenantID)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// insertFact accounts s as analytics does: the fact, and its share of the rollups.
func (r *rig) insertFact(t *testing.T, s *seeded) {
	t.Helper()
	var cost any
	unpriced, noUsage := 0, 0
	switch s.costStatus {
	case "priced":
		cost = s.cost
	case "unpriced":
		unpriced = 1
	case "no_usage":
		noUsage, s.input, s.cached, s.output = 1, 0, 0, 0
	}
	r.exec(t, `
		INSERT INTO usage_facts (tenant_id, started_at, trace_id, key_id, route, endpoint, provider, provider_kind, model, outcome, http_status,
		    stream, duration_us, ttft_us, usage_source, input_uncached, cache_read, cache_write, cache_write_1h, output, reasoning, cost, cost_status,
		    unpriced_why, price_version, tags, session_id, attempts)
		VALUES ($1, $2, $3, $4, 'gpt-*', 'chat.completions', $5, 'openai', $6, $7, $16, $17, $8, nullif($9, 0), 'provider', $10, $11, 0, 0, $12, 0, $13, $14, $15, 'book-1', $18, $19, $20)`,
		s.tenant, s.at, s.id, s.key, s.provider, s.model, s.outcome, s.latency, s.ttft, s.input-s.cached, s.cached, s.output, cost, s.costStatus, s.unpricedWhy,
		s.status, s.stream, s.tags, s.session, s.attempts)
	var ttft []int64
	if s.ttft > 0 {
		ttft = histogram.Add(nil, s.ttft)
	}
	if ttft == nil {
		ttft = []int64{}
	}
	for _, grain := range []string{"minute", "hour", "day"} {
		r.exec(t, `
			INSERT INTO rollups (tenant_id, grain, bucket, key_id, provider, model, route, outcome, requests, unpriced, no_usage, input_uncached,
			    cache_read, cache_write, output, reasoning, cost, duration_us, duration_hist, ttft_hist)
			VALUES ($1, $2, date_trunc($2, $3::timestamptz, 'UTC'), $4, $5, $6, 'gpt-*', $7, 1, $8, $9, $10, $11, 0, $12, 0, coalesce($13::numeric, 0), $14, $15, $16)
			ON CONFLICT (tenant_id, grain, bucket, key_id, provider, model, route, outcome) DO UPDATE SET
			    requests = rollups.requests + 1, unpriced = rollups.unpriced + excluded.unpriced, no_usage = rollups.no_usage + excluded.no_usage,
			    input_uncached = rollups.input_uncached + excluded.input_uncached, cache_read = rollups.cache_read + excluded.cache_read,
			    output = rollups.output + excluded.output, cost = rollups.cost + excluded.cost, duration_us = rollups.duration_us + excluded.duration_us,
			    duration_hist = hist_add(rollups.duration_hist, excluded.duration_hist), ttft_hist = hist_add(rollups.ttft_hist, excluded.ttft_hist)`,
			s.tenant, grain, s.at, s.key, s.provider, s.model, s.outcome, unpriced, noUsage, s.input-s.cached, s.cached, s.output, cost, s.latency,
			histogram.Add(nil, s.latency), ttft)
		if grain == "minute" {
			continue
		}
		for tag, value := range s.tags {
			r.exec(t, `
			INSERT INTO tag_rollups (tenant_id, grain, tag, bucket, value, key_id, provider, model, route, outcome, requests, unpriced, no_usage, input_uncached,
			    cache_read, cache_write, output, reasoning, cost, duration_us, duration_hist, ttft_hist)
			VALUES ($1, $2, $17, date_trunc($2, $3::timestamptz, 'UTC'), $18, $4, $5, $6, 'gpt-*', $7, 1, $8, $9, $10, $11, 0, $12, 0, coalesce($13::numeric, 0), $14, $15, $16)
			ON CONFLICT (tenant_id, grain, tag, bucket, value, key_id, provider, model, route, outcome) DO UPDATE SET
			    requests = tag_rollups.requests + 1, unpriced = tag_rollups.unpriced + excluded.unpriced, no_usage = tag_rollups.no_usage + excluded.no_usage,
			    input_uncached = tag_rollups.input_uncached + excluded.input_uncached, cache_read = tag_rollups.cache_read + excluded.cache_read,
			    output = tag_rollups.output + excluded.output, cost = tag_rollups.cost + excluded.cost, duration_us = tag_rollups.duration_us + excluded.duration_us,
			    duration_hist = hist_add(tag_rollups.duration_hist, excluded.duration_hist), ttft_hist = hist_add(tag_rollups.ttft_hist, excluded.ttft_hist)`,
				s.tenant, grain, s.at, s.key, s.provider, s.model, s.outcome, unpriced, noUsage, s.input-s.cached, s.cached, s.output, cost, s.latency,
				histogram.Add(nil, s.latency), ttft, tag, value)
		}
	}
}

func bodies(request, response string) func(*seeded) {
	return func(s *seeded) { s.request, s.response = &request, &response }
}
