// Package oracle judges a run: what clients know against what Postgres holds.
package oracle

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"loom.internal/bench/internal/ledger"
	"loom.internal/bench/internal/load"
	"loom.internal/pkg/envelope"
)

// Trace is a row of traces.
type Trace struct {
	ID      string
	Tenant  string
	Outcome string
	Tags    string        // and the session: as JSON
	Asked   ledger.Digest // of the request, if Read
	Text    ledger.Digest // of the answer's text, likewise
	Read    bool          // both bodies were there and could be opened and read
}

// Fact is a row of usage_facts.
type Fact struct {
	Tenant  string
	Outcome string
	Tags    string // as of a trace
	Cost    int64  // picodollars; 0 if there is none
}

// Evidence is what the database holds.
type Evidence struct {
	Traces  map[string][]Trace // by the request's number, which is its session
	Facts   map[string][]Fact  // by trace id
	Gaps    int64              // numbers of events missing in producer_gaps
	Dead    int64              // rows of dead_events
	Rollups int64              // rows of rollups and tag_rollups that are not what the facts come to, and the other way round
}

// Read collects the evidence. Bodies are opened with keys that w unwraps: one in every so
// many.
func Read(ctx context.Context, db *pgx.Conn, w envelope.Wrapper, every int) (*Evidence, error) {
	e := &Evidence{Traces: make(map[string][]Trace), Facts: make(map[string][]Fact)}
	keys, err := readKeys(ctx, db, w)
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	if err := e.readTraces(ctx, db, keys, max(every, 1)); err != nil {
		return nil, fmt.Errorf("read traces: %w", err)
	}
	if err := e.readFacts(ctx, db); err != nil {
		return nil, fmt.Errorf("read facts: %w", err)
	}
	err = db.QueryRow(ctx, `
		SELECT (SELECT coalesce(sum(to_seq - from_seq + 1), 0)::bigint FROM producer_gaps), (SELECT count(*) FROM dead_events)`,
	).Scan(&e.Gaps, &e.Dead)
	if err != nil {
		return nil, fmt.Errorf("read gaps and dead events: %w", err)
	}
	if err := db.QueryRow(ctx, rollupDifferences).Scan(&e.Rollups); err != nil {
		return nil, fmt.Errorf("compare rollups: %w", err)
	}
	return e, nil
}

// keyring holds data keys by tenant and epoch.
type keyring map[keyID]*envelope.DataKey

type keyID struct {
	tenant string
	epoch  uint32
}

func readKeys(ctx context.Context, db *pgx.Conn, w envelope.Wrapper) (keyring, error) {
	rows, err := db.Query(ctx, `SELECT tenant_id, epoch, master_version, iv, wrapped FROM tenant_keys WHERE state <> 'shredded'`)
	if err != nil {
		return nil, err
	}
	keys := make(keyring)
	var (
		id      keyID
		wrapped envelope.WrappedDataKey
	)
	_, err = pgx.ForEachRow(rows, []any{&id.tenant, &id.epoch, &wrapped.MasterVersion, &wrapped.IV, &wrapped.Ciphertext}, func() error {
		wrapped.Epoch = id.epoch
		key, err := wrapped.Unwrap(ctx, w, id.tenant)
		keys[id] = key
		return err
	})
	return keys, err
}

func (e *Evidence) readTraces(ctx context.Context, db *pgx.Conn, keys keyring, every int) error {
	rows, err := db.Query(ctx, `
		SELECT t.trace_id::text, t.tenant_id, t.outcome, jsonb_build_array(t.session_id, t.tags)::text, t.session_id,
		       b.request_body, b.request_iv, coalesce(b.request_codec, 0), coalesce(b.request_length, 0),
		       b.response_body, b.response_iv, coalesce(b.response_codec, 0), coalesce(b.response_length, 0),
		       coalesce(b.encryption_suite, 0), coalesce(b.encryption_key_version, 0)
		FROM traces t LEFT JOIN trace_bodies b USING (tenant_id, started_at, trace_id)`)
	if err != nil {
		return err
	}
	var (
		t        Trace
		number   string
		question = body{field: envelope.FieldRequest}
		answer   = body{field: envelope.FieldResponse}
		suite    int16
		version  int32
		n        int
	)
	into := []any{&t.ID, &t.Tenant, &t.Outcome, &t.Tags, &number}
	into = append(append(append(into, question.into()...), answer.into()...), &suite, &version)
	_, err = pgx.ForEachRow(rows, into, func() error {
		row := t
		if n++; n%every == 0 {
			asked, whole := question.open(keys, &t, suite, version)
			answered, read := answer.open(keys, &t, suite, version)
			text, err := load.Text(answered)
			row.Asked, row.Text = ledger.DigestOf(string(asked)), ledger.DigestOf(text)
			row.Read = whole && read && err == nil
		}
		row.Read = row.Read || n%every != 0 // not looked at: taken for what it should be
		e.Traces[number] = append(e.Traces[number], row)
		return nil
	})
	return err
}

// body is a sealed body as its columns hold it.
type body struct {
	field      envelope.Field
	sealed, iv []byte
	codec      int16
	length     int64
}

func (b *body) into() []any { return []any{&b.sealed, &b.iv, &b.codec, &b.length} }

// open gives what is in it, if it is there and can be opened.
func (b *body) open(keys keyring, t *Trace, suite int16, version int32) ([]byte, bool) {
	data := keys[keyID{t.Tenant, uint32(version)}] //nolint:gosec // small
	if data == nil {
		return nil, false
	}
	key, err := data.Trace(t.ID)
	if err != nil {
		return nil, false
	}
	plain, err := key.Open(b.field, envelope.Sealed{
		Ciphertext: b.sealed, IV: b.iv, Suite: uint8(suite), Codec: envelope.Codec(b.codec), Epoch: uint32(version), //nolint:gosec // small
		PlainLen: b.length,
	})
	return plain, err == nil
}

func (e *Evidence) readFacts(ctx context.Context, db *pgx.Conn) error {
	rows, err := db.Query(ctx, `SELECT trace_id::text, tenant_id, outcome, jsonb_build_array(session_id, tags)::text, coalesce(cost, 0) FROM usage_facts`)
	if err != nil {
		return err
	}
	var (
		id string
		f  Fact
	)
	_, err = pgx.ForEachRow(rows, []any{&id, &f.Tenant, &f.Outcome, &f.Tags, &f.Cost}, func() error {
		e.Facts[id] = append(e.Facts[id], f)
		return nil
	})
	return err
}

// rollupDifferences sums the facts up anew, at every grain, without tags and for each tag
// by itself, and counts the rows that differ.
const rollupDifferences = `
	WITH summed AS (
		SELECT tag, value, tenant_id, grain, date_trunc(grain, started_at, 'UTC') AS bucket, key_id, provider, model, route, outcome,
		       count(*) AS requests, count(*) FILTER (WHERE cost_status = 'unpriced') AS unpriced,
		       count(*) FILTER (WHERE cost_status = 'no_usage') AS no_usage,
		       sum(input_uncached) AS input_uncached, sum(cache_read) AS cache_read, sum(output) AS output,
		       sum(coalesce(cost, 0)) AS cost, sum(duration_us) AS duration_us
		FROM usage_facts
		CROSS JOIN LATERAL (SELECT '', '' UNION ALL SELECT * FROM jsonb_each_text(tags)) AS each (tag, value)
		CROSS JOIN (VALUES ('minute'), ('hour'), ('day')) AS grains (grain)
		WHERE tag = '' OR grain <> 'minute'
		GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
	), kept AS (
		SELECT '' AS tag, '' AS value, tenant_id, grain, bucket, key_id, provider, model, route, outcome,
		       requests, unpriced, no_usage, input_uncached, cache_read, output, cost, duration_us FROM rollups
		UNION ALL
		SELECT tag, value, tenant_id, grain, bucket, key_id, provider, model, route, outcome,
		       requests, unpriced, no_usage, input_uncached, cache_read, output, cost, duration_us FROM tag_rollups
	)
	SELECT count(*) FROM summed s
	FULL JOIN kept r USING (tag, value, tenant_id, grain, bucket, key_id, provider, model, route, outcome)
	WHERE (s.requests, s.unpriced, s.no_usage, s.input_uncached, s.cache_read, s.output, s.cost, s.duration_us)
		IS DISTINCT FROM (r.requests, r.unpriced, r.no_usage, r.input_uncached, r.cache_read, r.output, r.cost, r.duration_us)`

// Progress is how far the projections are.
type Progress struct{ Traces, Facts, Gaps int64 }

// Measure says how far they are now.
func Measure(ctx context.Context, db *pgx.Conn) (p Progress, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	err = db.QueryRow(ctx, `SELECT (SELECT count(*) FROM traces), (SELECT count(*) FROM usage_facts), (SELECT count(*) FROM producer_gaps)`).
		Scan(&p.Traces, &p.Facts, &p.Gaps)
	return p, err
}
