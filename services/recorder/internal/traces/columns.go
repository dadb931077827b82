package traces

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"loom.internal/pkg/event"
	"loom.internal/pkg/store"
)

type trace = *event.TraceEvent

// identity starts the rows of both tables.
var identity = []store.Column[trace]{
	store.Col("tenant_id", "text", trace.GetTenantId),
	store.Col("started_at", "timestamptz", func(e trace) time.Time { return e.StartedAt() }),
	store.TextCol("trace_id", "uuid", trace.GetTraceId),
}

var traceRows = store.NewRows(slices.Concat(identity, []store.Column[trace]{
	store.Col("key_id", "text", trace.GetKeyId),
	store.Col("endpoint", "text", trace.GetEndpoint),
	store.Col("route", "text", trace.GetRoute),
	store.Col("model_requested", "text", trace.GetModelRequested),
	store.Col("model_upstream", "text", trace.GetModelUpstream),
	store.Col("model_answered", "text", trace.GetModelAnswered),
	store.Col("provider", "text", trace.GetProvider),
	store.Col("provider_kind", "text", trace.GetProviderKind),
	store.Col("stream", "boolean", trace.GetStream),
	store.Col("outcome", "text", func(e trace) string { return e.GetOutcome().Kind() }),
	store.Col("http_status", "integer", trace.GetHttpStatus),
	store.Col("error_class", "text", trace.GetErrorClass),
	store.Col("duration_us", "bigint", trace.GetDurationUs),
	store.Col("ttft_us", "bigint", func(e trace) *int64 { return e.TtftUs }),
	store.Col("gap_p50_us", "bigint", func(e trace) *int64 { return e.GapP50Us }),
	store.Col("gap_p99_us", "bigint", func(e trace) *int64 { return e.GapP99Us }),
	store.Col("request_bytes", "bigint", trace.GetRequestBytes),
	store.Col("response_bytes", "bigint", trace.GetResponseBytes),
	store.Col("chunks", "integer", trace.GetChunks),
	store.TextCol("finish_reasons", "text[]", func(e trace) string { return arrayText(e.GetFinishReasons()) }),
	store.TextCol("tool_names", "text[]", func(e trace) string { return arrayText(e.GetToolNames()) }),
	store.TextCol("usage_raw", "json", usageText),
	store.Col("usage_source", "text", func(e trace) string { return e.GetUsageSource().Name() }),
	store.Col("service_tier", "text", trace.GetServiceTier),
	store.Col("region", "text", trace.GetRegion),
	store.TextCol("tags", "jsonb", trace.TagsJSON),
	store.Col("end_user", "text", trace.GetEndUser),
	store.Col("session_id", "text", trace.GetSessionId),
	store.Col("content_mode", "text", func(e trace) string { return e.GetContentMode().Name() }),
	store.TextCol("attempts", "jsonb", attemptsText),
	store.Col("producer_id", "text", func(e trace) string { return e.GetProducer().GetId() }),
	store.Col("producer_epoch", "bigint", func(e trace) int64 { return int64(e.GetProducer().GetEpoch()) }),
	store.Col("producer_seq", "bigint", func(e trace) int64 { return int64(e.GetProducer().GetSeq()) }),
})...)

var bodyRows = store.NewRows(slices.Concat(identity, []store.Column[trace]{
	store.Col("encryption_suite", "smallint", func(e trace) int16 { return int16(anyBody(e).GetSuite()) }),
	store.Col("encryption_key_version", "integer", func(e trace) int32 { return int32(anyBody(e).GetKeyVersion()) }),
}, bodyColumns("request", trace.GetRequestBody), bodyColumns("response", trace.GetResponseBody))...)

// The primary key is not named: to name it takes the right to read its columns.
var (
	insertTraces = traceRows.Insert("traces") + "ON CONFLICT DO NOTHING"
	insertBodies = bodyRows.Insert("trace_bodies") + "ON CONFLICT DO NOTHING"
)

// bodyColumns are those of one body; all NULL when it was not captured.
func bodyColumns(name string, get func(trace) *event.SealedBody) []store.Column[trace] {
	return []store.Column[trace]{
		store.Col(name+"_body", "bytea", func(e trace) []byte { return get(e).GetCiphertext() }),
		store.Col(name+"_iv", "bytea", func(e trace) []byte { return get(e).GetIv() }),
		store.Col(name+"_codec", "smallint", func(e trace) *int16 {
			return present(get(e), func(b *event.SealedBody) int16 { return int16(b.GetCodec()) }) //nolint:gosec // Decode keeps it under 2^15
		}),
		store.Col(name+"_length", "bigint", func(e trace) *int64 { return present(get(e), (*event.SealedBody).GetPlainLength) }),
		store.Col(name+"_truncated", "boolean", func(e trace) bool { return get(e).GetTruncated() }),
		store.Col(name+"_sha256", "bytea", func(e trace) []byte {
			if b := get(e); b != nil {
				return b.Digest()
			}
			return nil
		}),
	}
}

func present[V any](b *event.SealedBody, value func(*event.SealedBody) V) *V {
	if b == nil {
		return nil
	}
	return new(value(b))
}

// anyBody is a body of e; where there are two, Check has seen that both are sealed alike.
func anyBody(e trace) *event.SealedBody {
	if b := e.GetRequestBody(); b != nil {
		return b
	}
	return e.GetResponseBody()
}

// arrayText is items as Postgres writes a text[].
func arrayText(items []string) string {
	if len(items) == 0 {
		return "{}"
	}
	text, err := pgtype.NewMap().Encode(pgtype.TextArrayOID, pgtype.TextFormatCode, items, nil)
	if err != nil {
		panic(err) // a list of strings has always a text form
	}
	return string(text)
}

func usageText(e trace) *string {
	if len(e.GetUsageRaw()) == 0 {
		return nil
	}
	return new(string(e.GetUsageRaw()))
}

func attemptsText(e trace) string {
	type attempt struct {
		Provider   string `json:"provider"`
		Model      string `json:"model"`
		Status     int32  `json:"status"`
		ErrorClass string `json:"error_class"`
		StartUs    int64  `json:"start_us"`
		DurationUs int64  `json:"duration_us"`
	}
	all := make([]attempt, len(e.GetAttempts()))
	for i, a := range e.GetAttempts() {
		all[i] = attempt{a.GetProvider(), a.GetModel(), a.GetStatus(), a.GetErrorClass(), a.GetStartUs(), a.GetDurationUs()}
	}
	return jsonText(all)
}

func jsonText(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings and numbers only
	}
	return string(text)
}
