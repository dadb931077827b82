// Package traces reads what was recorded of requests: lists by keyset, one trace in
// full, and, audited, its bodies. Every read runs in a transaction of the tenant,
// under row-level security.
package traces

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"loom.internal/pkg/pricing"
	"loom.internal/services/dashboard/internal/keyring"
)

// Reader reads traces through a pool of the role loom_dashboard.
type Reader struct {
	db      *pgxpool.Pool
	keys    *keyring.Keyring
	refused *prometheus.CounterVec
}

// NewReader takes the keyring that opens bodies. It counts those that do not open.
func NewReader(db *pgxpool.Pool, keys *keyring.Keyring, reg prometheus.Registerer) (*Reader, error) {
	refused, err := newRefused(reg)
	if err != nil {
		return nil, err
	}
	return &Reader{db: db, keys: keys, refused: refused}, nil
}

// Micros is a duration in microseconds. In JSON it is a number of milliseconds.
type Micros int64

// MarshalJSON writes milliseconds, to the microsecond.
func (m Micros) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(m)/1000, 'f', -1, 64), nil
}

// USD is an amount in picodollars. In JSON it is decimal text in dollars.
type USD pricing.Picodollars

// MarshalJSON writes the exact amount.
func (u USD) MarshalJSON() ([]byte, error) { return json.Marshal(pricing.Picodollars(u).USD()) }

// Trace is one request as lists show it. What is nil is not known.
type Trace struct {
	ID             string            `json:"id"`
	StartedAt      time.Time         `json:"started_at"`
	Outcome        string            `json:"outcome"`
	HTTPStatus     int               `json:"http_status"`
	ErrorClass     string            `json:"error_class"`
	Endpoint       string            `json:"endpoint"`
	Model          string            `json:"model"`
	ModelRequested string            `json:"model_requested"`
	Provider       string            `json:"provider"`
	KeyID          string            `json:"key_id"`
	KeyName        *string           `json:"key_name"`
	TokensIn       *int64            `json:"tokens_in"`
	TokensOut      *int64            `json:"tokens_out"`
	CachedTokens   *int64            `json:"cached_tokens"`
	TTFT           *Micros           `json:"ttft_ms"`
	Latency        Micros            `json:"latency_ms"`
	Cost           *USD              `json:"cost_usd"`
	CostStatus     string            `json:"cost_status"`
	Stream         bool              `json:"stream"`
	Attempts       int               `json:"attempts"`
	Tags           map[string]string `json:"tags"`
	SessionID      string            `json:"session_id"`
}

// Detail is all that is known of one request but its bodies.
type Detail struct {
	Trace
	Route          string          `json:"route"`
	ModelUpstream  string          `json:"model_upstream"`
	ModelAnswered  string          `json:"model_answered"`
	ProviderKind   string          `json:"provider_kind"`
	Usage          *Usage          `json:"usage"`
	UsageRaw       json.RawMessage `json:"usage_raw"`
	UsageSource    string          `json:"usage_source"`
	ServiceTier    string          `json:"service_tier"`
	Region         string          `json:"region"`
	EndUser        string          `json:"end_user"`
	FinishReasons  []string        `json:"finish_reasons"`
	ToolNames      []string        `json:"tool_names"`
	GapP50         *Micros         `json:"gap_p50_ms"`
	GapP99         *Micros         `json:"gap_p99_ms"`
	RequestBytes   int64           `json:"request_bytes"`
	ResponseBytes  int64           `json:"response_bytes"`
	Chunks         int             `json:"chunks"`
	AttemptsDetail []Attempt       `json:"attempts_detail"`
	ContentMode    string          `json:"content_mode"`
	PriceVersion   *string         `json:"price_version"`
	UnpricedWhy    *string         `json:"unpriced_why"`
	PayloadState   string          `json:"payload_state"`
	Producer       Producer        `json:"producer"`
	RecordedAt     time.Time       `json:"recorded_at"`
}

// Usage is what was billed, in disjoint counts of tokens; Reasoning is part of Output.
type Usage struct {
	InputUncached int64 `json:"input_uncached"`
	CacheRead     int64 `json:"cache_read"`
	CacheWrite    int64 `json:"cache_write"`
	CacheWrite1h  int64 `json:"cache_write_1h"`
	Output        int64 `json:"output"`
	Reasoning     int64 `json:"reasoning"`
}

// Producer is the gateway process that sent the event, and the event's place in its
// sequence.
type Producer struct {
	ID    string `json:"id"`
	Epoch int64  `json:"epoch"`
	Seq   int64  `json:"seq"`
}

// Attempt is one call of a provider.
type Attempt struct {
	Provider   string `json:"provider"`
	Model      string `json:"model"`
	Status     int    `json:"status"`
	ErrorClass string `json:"error_class"`
	Start      Micros `json:"start_ms"`
	Duration   Micros `json:"duration_ms"`
}

// recordedAttempt is an attempt in the column traces.attempts.
type recordedAttempt struct {
	Provider   string `json:"provider"`
	Model      string `json:"model"`
	Status     int    `json:"status"`
	ErrorClass string `json:"error_class"`
	StartUS    int64  `json:"start_us"`
	DurationUS int64  `json:"duration_us"`
}
