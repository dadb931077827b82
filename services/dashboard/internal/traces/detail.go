package traces

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"loom.internal/pkg/store"
)

// Get reads one trace. A trace of another tenant is store.ErrNotFound, as one that
// does not exist.
func (r *Reader) Get(ctx context.Context, tenantID string, id uuid.UUID) (Detail, error) {
	var (
		d        Detail
		attempts []recordedAttempt
		u        struct{ input, read, write, write1h, output, reasoning *int64 }
	)
	err := store.InTenant(ctx, r.db, tenantID, func(tx pgx.Tx) error {
		at, err := locate(ctx, tx, tenantID, id)
		if err != nil {
			return err
		}
		return tx.QueryRow(ctx, `
			SELECT t.trace_id::text, t.started_at, t.outcome, t.http_status, t.error_class, t.endpoint,
			       `+model+`,
			       t.model_requested, t.provider, t.key_id, k.name, t.ttft_us, t.duration_us, t.stream,
			       t.attempts, t.tags, t.route, t.model_upstream, t.model_answered, t.provider_kind,
			       t.usage_raw, t.usage_source, t.service_tier, t.region, t.end_user, t.session_id,
			       t.finish_reasons, t.tool_names, t.gap_p50_us, t.gap_p99_us, t.request_bytes, t.response_bytes,
			       t.chunks, t.content_mode, t.producer_id, t.producer_epoch, t.producer_seq, t.recorded_at,
			       CASE WHEN b.request_body IS NULL AND b.response_body IS NULL THEN 'not_recorded'
			            WHEN s.state = 'shredded' THEN 'shredded' ELSE 'available' END,
			       u.cost, coalesce(u.cost_status, 'pending'), nullif(u.price_version, ''), nullif(u.unpriced_why, ''),
			       u.input_uncached, u.cache_read, u.cache_write, u.cache_write_1h, u.output, u.reasoning
			FROM traces t
			LEFT JOIN usage_facts u ON u.tenant_id = t.tenant_id AND u.started_at = $3 AND u.trace_id = t.trace_id
			LEFT JOIN trace_bodies b ON b.tenant_id = t.tenant_id AND b.started_at = $3 AND b.trace_id = t.trace_id
			LEFT JOIN tenant_keys s ON s.tenant_id = t.tenant_id AND s.epoch = b.encryption_key_version
			LEFT JOIN api_keys k ON k.id = t.key_id
			WHERE t.tenant_id = $1 AND t.trace_id = $2 AND t.started_at = $3`, tenantID, id, at).Scan(
			&d.ID, &d.StartedAt, &d.Outcome, &d.HTTPStatus, &d.ErrorClass, &d.Endpoint,
			&d.Model,
			&d.ModelRequested, &d.Provider, &d.KeyID, &d.KeyName, &d.TTFT, &d.Latency, &d.Stream,
			&attempts, &d.Tags, &d.Route, &d.ModelUpstream, &d.ModelAnswered, &d.ProviderKind,
			&d.UsageRaw, &d.UsageSource, &d.ServiceTier, &d.Region, &d.EndUser, &d.SessionID,
			&d.FinishReasons, &d.ToolNames, &d.GapP50, &d.GapP99, &d.RequestBytes, &d.ResponseBytes,
			&d.Chunks, &d.ContentMode, &d.Producer.ID, &d.Producer.Epoch, &d.Producer.Seq, &d.RecordedAt,
			&d.PayloadState,
			&d.Cost, &d.CostStatus, &d.PriceVersion, &d.UnpricedWhy,
			&u.input, &u.read, &u.write, &u.write1h, &u.output, &u.reasoning)
	})
	if err != nil {
		return Detail{}, fmt.Errorf("trace %s: %w", id, err)
	}
	unreadable := d.UnpricedWhy != nil && *d.UnpricedWhy == "usage_unreadable"
	if u.input != nil && d.CostStatus != "no_usage" && !unreadable {
		d.Usage = &Usage{*u.input, *u.read, *u.write, *u.write1h, *u.output, *u.reasoning}
		in := d.Usage.InputUncached + d.Usage.CacheRead + d.Usage.CacheWrite + d.Usage.CacheWrite1h
		d.TokensIn, d.TokensOut, d.CachedTokens = &in, &d.Usage.Output, &d.Usage.CacheRead
	}
	d.Attempts, d.AttemptsDetail = len(attempts), make([]Attempt, len(attempts))
	for i, a := range attempts {
		d.AttemptsDetail[i] = Attempt{a.Provider, a.Model, a.Status, a.ErrorClass, Micros(a.StartUS), Micros(a.DurationUS)}
	}
	d.StartedAt, d.RecordedAt = d.StartedAt.UTC(), d.RecordedAt.UTC()
	return d, nil
}

// drift is how far the start of a request may be from the time in its id.
const drift = 12 * time.Hour

// locate finds when a trace was started, which tells its partition. Ids are of version 7:
// the time in them is tried first, for the sake of those who look at a trace of today in
// the years of them that there may be.
func locate(ctx context.Context, tx pgx.Tx, tenantID string, id uuid.UUID) (at time.Time, err error) {
	const find = `SELECT started_at FROM traces WHERE tenant_id = $1 AND trace_id = $2`
	if id.Version() == 7 {
		made := time.UnixMilli(int64(binary.BigEndian.Uint64(append([]byte{0, 0}, id[:6]...)))) //nolint:gosec // 48 bits
		err = tx.QueryRow(ctx, find+` AND started_at >= $3 AND started_at < $4 LIMIT 1`, tenantID, id, made.Add(-drift), made.Add(drift)).Scan(&at)
		if !errors.Is(err, pgx.ErrNoRows) {
			return at, err
		}
	}
	err = tx.QueryRow(ctx, find+` LIMIT 1`, tenantID, id).Scan(&at)
	return at, err
}
