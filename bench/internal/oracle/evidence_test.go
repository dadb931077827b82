package oracle_test

import (
	"os"
	"testing"

	"loom.internal/bench/internal/ledger"
	"loom.internal/bench/internal/oracle"
	"loom.internal/pkg/envelope"
	"loom.internal/pkg/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

const (
	traceID  = "0198f2a0-0000-7000-8000-000000000001"
	question = `{"model":"m"}`
	answer   = `{"choices":[{"message":{"content":"woven"}}]}`
	started  = "2026-03-04 05:06:07+00"
	tags     = `["r0", {"env": "", "team": "weft"}]`
)

// TestRead has one trace with its fact and rollups, which are then spoilt one by one.
func TestRead(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := testkit.Postgres(t).Pool("")
	db, err := pool.Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Release()
	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := db.Exec(ctx, sql, args...); err != nil {
			t.Fatalf("%v\n%s", err, sql)
		}
	}
	ring, err := envelope.NewRing(map[uint32]string{1: "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"})
	if err != nil {
		t.Fatal(err)
	}
	data := envelope.NewDataKey("a", 2)
	wrapped, err := data.Wrap(ctx, ring)
	if err != nil {
		t.Fatal(err)
	}
	key, err := data.Trace(traceID)
	if err != nil {
		t.Fatal(err)
	}
	exec(`INSERT INTO tenants (id, name, revision) VALUES ('a', 'a', 1)`)
	exec(`INSERT INTO tenant_keys (tenant_id, epoch, master_version, iv, wrapped) VALUES ('a', 2, 1, $1, $2)`, wrapped.IV, wrapped.Ciphertext)
	exec(`SELECT loom_ensure_partitions('2026-03-04', 1)`)
	exec(`INSERT INTO traces (tenant_id, started_at, trace_id, key_id, endpoint, route, model_requested, model_upstream, model_answered,
			provider, provider_kind, stream, outcome, http_status, error_class, duration_us, request_bytes, response_bytes, chunks,
			finish_reasons, tool_names, usage_source, service_tier, region, tags, end_user, session_id, content_mode, attempts,
			producer_id, producer_epoch, producer_seq)
		VALUES ('a', $1, $2, 'k', 'chat', 'r', 'm', 'm', 'm', 'p', 'openai', false, 'completed', 200, '', 5, 1, 1, 0,
			'{}', '{}', 'provider', '', '', '{"team": "weft", "env": ""}', '', 'r0', 'full', '[]', 'gw', 1, 1)`, started, traceID)
	seal := func(field envelope.Field, text string) envelope.Sealed {
		t.Helper()
		s, err := key.Seal(field, []byte(text), envelope.Zstd)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	asked, answered := seal(envelope.FieldRequest, question), seal(envelope.FieldResponse, answer)
	exec(`INSERT INTO trace_bodies (tenant_id, started_at, trace_id, encryption_suite, encryption_key_version,
			request_body, request_iv, request_codec, request_length,
			response_body, response_iv, response_codec, response_length)
		VALUES ('a', $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`, started, traceID, int16(asked.Suite), int64(asked.Epoch),
		asked.Ciphertext, asked.IV, int16(asked.Codec), asked.PlainLen,
		answered.Ciphertext, answered.IV, int16(answered.Codec), answered.PlainLen)
	exec(`INSERT INTO usage_facts (tenant_id, started_at, trace_id, key_id, route, endpoint, provider, provider_kind, model, outcome,
			http_status, stream, duration_us, usage_source, input_uncached, cache_read, cache_write, cache_write_1h, output, reasoning,
			cost, cost_status, price_version, tags, session_id)
		VALUES ('a', $1, $2, 'k', 'r', 'chat', 'p', 'openai', 'm', 'completed', 200, false, 5, 'provider', 1, 2, 0, 0, 3, 0, 70, 'priced', 'v', '{"team": "weft", "env": ""}', 'r0')`,
		started, traceID)
	exec(`INSERT INTO rollups (tenant_id, grain, bucket, key_id, provider, model, route, outcome, requests, unpriced, no_usage,
			input_uncached, cache_read, cache_write, output, reasoning, cost, duration_us, duration_hist, ttft_hist)
		SELECT 'a', grain, date_trunc(grain, $1::timestamptz, 'UTC'), 'k', 'p', 'm', 'r', 'completed', 1, 0, 0, 1, 2, 0, 3, 0, 70, 5, '{}', '{}'
		FROM (VALUES ('minute'), ('hour'), ('day')) AS grains (grain)`, started)
	exec(`INSERT INTO tag_rollups SELECT tenant_id, grain, tag, bucket, value, key_id, provider, model, route, outcome, requests, unpriced, no_usage,
			input_uncached, cache_read, cache_write, output, reasoning, cost, duration_us, duration_hist, ttft_hist
		FROM rollups CROSS JOIN (VALUES ('team', 'weft'), ('env', '')) AS tags (tag, value) WHERE grain <> 'minute'`)

	read := func(every int) *oracle.Evidence {
		t.Helper()
		e, err := oracle.Read(ctx, db.Conn(), ring, every)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	e := read(1)
	want := oracle.Trace{ID: traceID, Tenant: "a", Outcome: "completed", Tags: tags, Asked: ledger.DigestOf(question), Text: ledger.DigestOf("woven"), Read: true}
	if got := e.Traces["r0"]; len(got) != 1 || got[0] != want {
		t.Errorf("traces: got %v, want %v", got, want)
	}
	if got := e.Facts[traceID]; len(got) != 1 || got[0] != (oracle.Fact{Tenant: "a", Outcome: "completed", Tags: tags, Cost: 70}) {
		t.Errorf("facts: got %v", got)
	}
	if e.Gaps != 0 || e.Dead != 0 || e.Rollups != 0 {
		t.Errorf("got %d gaps, %d dead, %d rollups off, want none", e.Gaps, e.Dead, e.Rollups)
	}
	if got := read(2).Traces["r0"][0]; got.Text != (ledger.Digest{}) || got.Asked != (ledger.Digest{}) || !got.Read {
		t.Errorf("outside the sample: got %v, want it taken on trust", got)
	}

	for _, c := range []struct {
		what, spoil string
		wrong       int64 // rows of rollups and tag_rollups
	}{
		{"cost of one grain", `UPDATE rollups SET cost = cost + 1 WHERE grain = 'hour'`, 1},
		{"rollup gone", `DELETE FROM rollups WHERE grain = 'day'`, 2},
		{"rollup without facts", `UPDATE rollups SET bucket = bucket + interval '1 minute' WHERE grain = 'minute'`, 4},
		{"cost of a tag", `UPDATE tag_rollups SET cost = cost + 1 WHERE grain = 'hour' AND tag = 'team'`, 5},
		{"tag gone", `DELETE FROM tag_rollups WHERE tag = 'env'`, 7},
		{"another value", `UPDATE tag_rollups SET value = 'warp' WHERE grain = 'day'`, 9},
	} {
		exec(c.spoil)
		if got := read(1).Rollups; got != c.wrong {
			t.Errorf("%s: got %d rollups off, want %d", c.what, got, c.wrong)
		}
	}
	exec(`INSERT INTO producers (producer_id, epoch, recorded) VALUES ('gw', 1, '{[1,3),[5,6)}')`)
	exec(`INSERT INTO dead_events (consumer, stream_seq, subject, msg_id, data, reason) VALUES ('recorder', 1, 's', 'm', '', 'r')`)
	exec(`UPDATE trace_bodies SET response_length = response_length + 1`)
	e = read(1)
	if e.Gaps != 2 || e.Dead != 1 || e.Traces["r0"][0].Read {
		t.Errorf("got %d gaps, %d dead, body readable %v, want 2, 1, false", e.Gaps, e.Dead, e.Traces["r0"][0].Read)
	}
	p, err := oracle.Measure(ctx, db.Conn())
	if err != nil || p != (oracle.Progress{Traces: 1, Facts: 1, Gaps: 1}) {
		t.Errorf("progress: got %+v, %v", p, err)
	}
}
