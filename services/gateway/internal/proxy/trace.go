package proxy

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"loom.internal/pkg/envelope"
	"loom.internal/pkg/event"
	"loom.internal/pkg/faultpoint"
	"loom.internal/pkg/tenant"
	"loom.internal/services/gateway/internal/capture"
	"loom.internal/services/gateway/internal/endpoint"
)

// ending is how an exchange came out.
type ending struct {
	outcome   event.Outcome
	status    int    // sent to the client
	class     string // of the error; empty for none
	response  []byte // as captured, before it is cut and sealed; nil when there was none
	truncated bool   // the response is not whole already
	summary   capture.Summary
	ttft      *time.Duration
}

// newTrace is what is known of an exchange before the provider is called.
func (x *exchange) newTrace(id string) *event.TraceEvent {
	e := &event.TraceEvent{
		TraceId:        id,
		TenantId:       x.who.Tenant.ID,
		KeyId:          clean(x.who.Key.ID),
		Endpoint:       x.op.Name,
		Route:          clean(x.target.Route),
		ModelRequested: clean(x.req.Facts().Model),
		Stream:         x.req.Facts().Stream,
		StartedAtUs:    x.started.UnixMicro(),
		RequestBytes:   int64(len(x.body)),
		ContentMode:    contentMode(x.who.Tenant.ContentMode, append([]string{x.who.Key.ContentMode}, x.r.Header.Values(HeaderContentMode)...)...),
	}
	x.aim(e)
	if e.GetContentMode() != event.ContentMode_CONTENT_MODE_NONE {
		x.describe(e)
	}
	return e
}

// aim names the target being called.
func (x *exchange) aim(e *event.TraceEvent) {
	e.ModelUpstream, e.Provider, e.ProviderKind = clean(x.target.Model), clean(x.target.Provider), string(x.target.Kind)
}

// describe adds what the client said of the request.
func (x *exchange) describe(e *event.TraceEvent) {
	facts := x.req.Facts()
	e.EndUser = x.name(facts.EndUser)
	e.SessionId = x.name(x.r.Header.Get(HeaderSessionID))
	for _, m := range facts.Metadata {
		// Who and in which session is no tag: those are summed up value by value.
		switch {
		case m.Name == "session_id":
			e.SessionId = cmp.Or(e.GetSessionId(), x.name(m.Value))
			continue
		case m.Name == "user_id" && m.Value == facts.EndUser:
			continue
		}
		name := cut(x.redacted(m.Name), event.MaxTagKey)
		if name == "" || len(e.GetTags()) == event.MaxTags {
			continue
		}
		if e.Tags == nil {
			e.Tags = make(map[string]string)
		}
		e.Tags[name] = cut(x.redacted(m.Value), event.MaxTagValue)
	}
}

// name is what the client calls someone or something, without what is not to be recorded.
func (x *exchange) name(s string) string { return clean(x.redacted(s)) }

// redacted is a text without what is not to be recorded. It is made valid before: a byte
// that is dropped later could hide a match now.
func (x *exchange) redacted(s string) string { return x.who.Redactor.Text(valid(s)) }

// contentMode is the tenant's, lowered by that of the key and those of the request's
// headers: they can keep bodies out of the record, never into it. An unreadable mode keeps
// out the most.
func contentMode(ofTenant string, lower ...string) event.ContentMode {
	read := func(s string) event.ContentMode {
		mode, err := event.ParseContentMode(s)
		if err != nil {
			return event.ContentMode_CONTENT_MODE_NONE
		}
		return mode
	}
	mode := read(ofTenant)
	for _, asked := range lower {
		if asked = strings.ToLower(strings.TrimSpace(asked)); asked != "" {
			mode = max(mode, read(asked)) // the modes are numbered from full to none
		}
	}
	return mode
}

// end completes the trace and gives it to the recorder. It reports whether the trace
// is safe; only then may the answer's last byte go out.
func (x *exchange) end(ctx context.Context, r ending) bool {
	x.ended = true
	e := x.trace
	elapsed := time.Since(x.started)
	e.Outcome, e.HttpStatus, e.ErrorClass = r.outcome, int32(r.status), r.class //nolint:gosec // a status has three digits
	e.DurationUs = elapsed.Microseconds()
	if r.ttft != nil {
		us := r.ttft.Microseconds()
		e.TtftUs = &us
	}
	x.aim(e)
	s := r.summary
	e.ModelAnswered, e.ServiceTier = clean(s.Model), clean(s.ServiceTier)
	e.FinishReasons, e.ToolNames = cleanAll(s.FinishReasons), cleanAll(s.ToolNames)
	e.UsageSource = event.UsageSource_USAGE_SOURCE_NONE
	if x.counts(ctx, s.Usage) {
		e.UsageRaw, e.UsageSource = s.Usage, event.UsageSource_USAGE_SOURCE_PROVIDER
	} else if x.estimates(r) {
		e.UsageRaw, e.UsageSource = capture.Estimate(x.req.Record(), r.response), event.UsageSource_USAGE_SOURCE_ESTIMATED
	}
	var sealErr error
	if x.sealed != nil {
		sealed := x.sealed
		x.sealed = nil // it gives one only
		request := <-sealed
		e.RequestBody, sealErr = request.body, request.err
	}
	if r.response != nil && x.key != nil {
		codec := envelope.Zstd
		if len(r.response) < packResponse {
			codec = envelope.Identity
		}
		response := x.seal(envelope.FieldResponse, r.response, r.truncated, codec)
		e.ResponseBody, sealErr = response.body, errors.Join(sealErr, response.err)
	}
	if sealErr != nil {
		x.p.log(ctx, slog.LevelError, "body not sealed, so not recorded",
			slog.String("trace_id", e.GetTraceId()), slog.Any("error", sealErr))
	}
	x.p.metrics.request(r.outcome.Kind(), r.status)
	x.p.metrics.overhead.Observe((elapsed - x.waited).Seconds())
	if r.ttft != nil {
		x.p.metrics.ttft.Observe(r.ttft.Seconds())
	}
	// The record must not die with the client.
	err := x.p.opt.Recorder.End(context.WithoutCancel(ctx), e)
	if err != nil {
		x.p.log(ctx, slog.LevelError, "trace not recorded, the answer is withheld",
			slog.String("trace_id", e.GetTraceId()), slog.Any("error", err))
		return false
	}
	faultpoint.Hit("gateway.ended")
	return true
}

// estimates reports whether usage is to be estimated: the tenant wants it, and a provider
// has begun to generate an answer for which none was reported.
func (x *exchange) estimates(r ending) bool {
	generates := x.op == endpoint.Chat || x.op == endpoint.Completions || x.op == endpoint.Responses || x.op == endpoint.Messages
	return generates && x.who.Tenant.MissingUsage == tenant.MissingEstimated && x.answered && len(r.response) > 0
}

// usable reports whether usage may go into the event as it is: a JSON object in valid
// UTF-8, within the bound.
func usable(usage []byte) bool {
	v := jsontext.Value(usage)
	return len(usage) > 0 && len(usage) <= event.MaxUsageRaw && v.Kind() == '{' && v.IsValid(jsontext.AllowDuplicateNames(true))
}

// sealAside seals the request while the provider works; nil when it is not kept.
func (x *exchange) sealAside(body func() []byte) <-chan sealedBody {
	if x.stored != nil || x.key == nil {
		return nil
	}
	sealed := make(chan sealedBody, 1) // end takes it, always
	go func() { sealed <- x.seal(envelope.FieldRequest, body(), false, envelope.Zstd) }()
	return sealed
}

// sealedBody is a body for the trace, or why there is none.
type sealedBody struct {
	body *event.SealedBody
	err  error
}

// packResponse is the length, in bytes, from which a response is compressed. The client
// waits for that, so it must pay; the request is sealed while the provider works.
const packResponse = 4 << 10

// overlap is how much more of a body than is recorded is searched for what is to be taken
// out: what the end of the record would cut in two is known there. Hardly anything that is
// to be found is longer: of private keys those of 8192 bits have 6.4 KB.
const overlap = 8 << 10

// seal takes out of a body what the tenant does not want recorded, cuts it to the capture
// limit and encrypts it.
func (x *exchange) seal(field envelope.Field, body []byte, truncated bool, codec envelope.Codec) sealedBody {
	limit := x.p.opt.CaptureLimit
	if len(body) > limit+overlap { // marks are shorter than much of what they replace: the overlap may move to before the limit
		body = x.who.Redactor.JSON(body[:limit+overlap])
		body, truncated = body[:max(min(limit, len(body)-overlap), 0)], true
	} else if body = x.who.Redactor.JSON(body); len(body) > limit {
		body, truncated = body[:limit], true
	}
	if truncated {
		body = wholeCharacters(body)
	}
	s, err := x.key.Seal(field, body, codec)
	if err != nil {
		return sealedBody{err: err}
	}
	return sealedBody{body: &event.SealedBody{
		Ciphertext: s.Ciphertext, Iv: s.IV, Suite: uint32(s.Suite), KeyVersion: s.Epoch, Codec: uint32(s.Codec),
		PlainLength: s.PlainLen, Truncated: truncated,
	}}
}

// wholeCharacters is b without the beginning of a character that its end has cut off.
func wholeCharacters(b []byte) []byte {
	for i := 1; i <= min(utf8.UTFMax, len(b)); i++ {
		if last := b[len(b)-i:]; utf8.RuneStart(last[0]) {
			if !utf8.FullRune(last) {
				return b[:len(b)-i]
			}
			break
		}
	}
	return b
}

// clean is s as a name or id of an event may be: valid UTF-8 without NUL, cut to the
// bound.
func clean(s string) string { return cut(s, event.MaxText) }

// valid is s as valid UTF-8 without NUL.
func valid(s string) string {
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "")
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

func cut(s string, limit int) string {
	s = valid(s)
	for len(s) > limit {
		_, size := utf8.DecodeLastRuneInString(s[:limit])
		if r, _ := utf8.DecodeLastRuneInString(s[:limit]); r == utf8.RuneError && size == 1 {
			limit--
			continue
		}
		return strings.Clone(s[:limit])
	}
	return s
}

func cleanAll(list []string) []string {
	out := slices.Clone(list[:min(len(list), event.MaxList)])
	for i, s := range out {
		out[i] = clean(s)
	}
	return out
}
