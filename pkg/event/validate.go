package event

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Lengths of a sealed body's parts, in bytes.
const (
	ivLength     = 12
	digestLength = 32
	gcmTag       = 16
)

// Validate reports everything about e that breaks a bound, joined.
func Validate(e *TraceEvent) error {
	var v validator
	id, err := uuid.Parse(e.GetTraceId())
	if err != nil || id.Version() != 7 || id.String() != e.GetTraceId() {
		v.fault("trace_id %q is not a UUIDv7 in its usual form", e.GetTraceId())
	}
	if !ValidTenant(e.GetTenantId()) {
		v.fault("tenant_id %q", e.GetTenantId())
	}
	for _, f := range [...]struct{ name, text string }{
		{"key_id", e.GetKeyId()},
		{"endpoint", e.GetEndpoint()},
		{"route", e.GetRoute()},
		{"model_requested", e.GetModelRequested()},
		{"model_upstream", e.GetModelUpstream()},
		{"model_answered", e.GetModelAnswered()},
		{"provider", e.GetProvider()},
		{"provider_kind", e.GetProviderKind()},
		{"error_class", e.GetErrorClass()},
		{"service_tier", e.GetServiceTier()},
		{"region", e.GetRegion()},
		{"end_user", e.GetEndUser()},
		{"session_id", e.GetSessionId()},
	} {
		v.text(f.name, f.text, MaxText)
	}
	if e.GetKeyId() == "" {
		v.fault("key_id is empty")
	}
	if !ValidProducer(e.GetProducer().GetId()) {
		v.fault("producer.id %q", e.GetProducer().GetId())
	}
	if e.GetProducer().GetSeq() == 0 {
		v.fault("producer without seq")
	}
	if e.GetProducer().GetSeq() >= math.MaxInt64 || e.GetProducer().GetEpoch() > math.MaxInt64 {
		v.fault("producer seq or epoch over 2^63")
	}
	if e.GetOutcome().Kind() == "" {
		v.fault("outcome %d", e.GetOutcome())
	}
	if e.GetUsageSource() < UsageSource_USAGE_SOURCE_PROVIDER || e.GetUsageSource() > UsageSource_USAGE_SOURCE_NONE {
		v.fault("usage_source %d", e.GetUsageSource())
	}
	if e.GetContentMode() < ContentMode_CONTENT_MODE_FULL || e.GetContentMode() > ContentMode_CONTENT_MODE_NONE {
		v.fault("content_mode %d", e.GetContentMode())
	}
	if e.GetHttpStatus() < 0 || e.GetHttpStatus() > 999 {
		v.fault("http_status %d", e.GetHttpStatus())
	}
	at := e.StartedAt()
	if at.Year() < 2020 || at.Year() >= 2200 {
		v.fault("started_at_us %d is not of this age", e.GetStartedAtUs())
	}
	for _, f := range [...]struct {
		name string
		n    int64
	}{
		{"duration_us", e.GetDurationUs()},
		{"ttft_us", e.GetTtftUs()},
		{"gap_p50_us", e.GetGapP50Us()},
		{"gap_p99_us", e.GetGapP99Us()},
		{"request_bytes", e.GetRequestBytes()},
		{"response_bytes", e.GetResponseBytes()},
		{"chunks", int64(e.GetChunks())},
	} {
		if f.n < 0 || f.n >= 1<<50 {
			v.fault("%s %d", f.name, f.n)
		}
	}
	v.list("finish_reasons", e.GetFinishReasons())
	v.list("tool_names", e.GetToolNames())
	if len(e.GetAttempts()) > MaxList {
		v.fault("%d attempts, at most %d", len(e.GetAttempts()), MaxList)
	}
	for _, a := range e.GetAttempts() {
		v.text("attempts.provider", a.GetProvider(), MaxText)
		v.text("attempts.model", a.GetModel(), MaxText)
		v.text("attempts.error_class", a.GetErrorClass(), MaxText)
		if a.GetStatus() < 0 || a.GetStatus() > 999 || a.GetStartUs() < 0 || a.GetDurationUs() < 0 {
			v.fault("attempt of %q with a number out of range", a.GetProvider())
		}
	}
	if len(e.GetTags()) > MaxTags {
		v.fault("%d tags, at most %d", len(e.GetTags()), MaxTags)
	}
	for k, val := range e.GetTags() {
		if k == "" {
			v.fault("a tag without a name")
		}
		v.text("tag key", k, MaxTagKey)
		v.text("tag value", val, MaxTagValue)
	}
	v.usage(e)
	v.body("request_body", e.GetRequestBody())
	v.body("response_body", e.GetResponseBody())
	return v.err()
}

// validator gathers faults. Text with a NUL byte is refused because Postgres cannot
// hold one.
type validator struct{ faults []error }

func (v *validator) fault(format string, args ...any) {
	v.faults = append(v.faults, fmt.Errorf(format, args...))
}

func (v *validator) text(name, s string, limit int) {
	if len(s) > limit {
		v.fault("%s of %d bytes, at most %d", name, len(s), limit)
	}
	if !utf8.ValidString(s) {
		v.fault("%s is not UTF-8", name)
	}
	if strings.IndexByte(s, 0) >= 0 {
		v.fault("%s has a NUL byte", name)
	}
}

func (v *validator) list(name string, items []string) {
	if len(items) > MaxList {
		v.fault("%s: %d entries, at most %d", name, len(items), MaxList)
	}
	for _, s := range items {
		v.text(name, s, MaxText)
	}
}

func (v *validator) usage(e *TraceEvent) {
	raw := e.GetUsageRaw()
	if len(raw) > 0 && !ValidUsage(raw) {
		v.fault("usage_raw of %d bytes is not at most %d bytes of JSON in UTF-8", len(raw), MaxUsageRaw)
	}
	if (len(raw) > 0) != (e.GetUsageSource() != UsageSource_USAGE_SOURCE_NONE) {
		v.fault("usage_source %s with %d bytes of usage_raw", e.GetUsageSource(), len(raw))
	}
}

// ValidUsage reports whether raw can be an event's usage_raw: JSON, in UTF-8 throughout,
// of at most MaxUsageRaw bytes.
func ValidUsage(raw []byte) bool {
	return len(raw) <= MaxUsageRaw && json.Valid(raw) && utf8.Valid(raw)
}

func (v *validator) body(name string, b *SealedBody) {
	if b == nil {
		return
	}
	if len(b.GetIv()) != ivLength {
		v.fault("%s: iv of %d bytes, must be %d", name, len(b.GetIv()), ivLength)
	}
	if n := len(b.GetSha256()); n != digestLength && (n > 0 || b.GetDetached()) {
		v.fault("%s: sha256 of %d bytes, must be %d", name, n, digestLength)
	}
	switch n := len(b.GetCiphertext()); {
	case b.GetDetached() && n > 0:
		v.fault("%s: detached, and %d bytes of ciphertext", name, n)
	case !b.GetDetached() && (n < gcmTag || n > maxSealed):
		v.fault("%s: ciphertext of %d bytes, must be %d to %d", name, n, gcmTag, maxSealed)
	}
	if b.GetPlainLength() < 0 || b.GetPlainLength() > MaxBody {
		v.fault("%s: plain_length %d, at most %d", name, b.GetPlainLength(), MaxBody)
	}
	if b.GetSuite() >= 1<<15 || b.GetCodec() >= 1<<15 || b.GetKeyVersion() == 0 || b.GetKeyVersion() >= 1<<31 {
		v.fault("%s: suite, codec or key_version out of range", name)
	}
}

func (v *validator) err() error {
	if len(v.faults) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrInvalid, errors.Join(v.faults...))
}
