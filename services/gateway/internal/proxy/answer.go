package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"loom.internal/pkg/event"
	"loom.internal/services/gateway/internal/capture"
	"loom.internal/services/gateway/internal/openai"
)

// Bounds of an answer that is read whole before it goes out.
const (
	maxAnswer = 64 << 20
	maxFault  = 4 << 20
)

var errTooLarge = errors.New("answer too large")

// answer relays what the provider sent, which is a stream if its content type says
// so, whatever was asked for.
func (x *exchange) answer(ctx context.Context, resp *http.Response, up *upstreamBody, called time.Time, hide bool) {
	x.trace.Region = clean(resp.Header.Get("X-Ms-Region"))
	if classOfStatus(resp.StatusCode) == "" && isEventStream(resp.Header) {
		newRelay(x, resp, up, called, hide).run(ctx)
		return
	}
	limit := maxAnswer
	if resp.StatusCode >= http.StatusBadRequest {
		limit = maxFault
	}
	body, err := readLimited(up, resp.ContentLength, limit)
	x.trace.ResponseBytes = up.bytes
	if err != nil {
		class := classTooLarge
		if !errors.Is(err, errTooLarge) {
			if class = x.classify(ctx, err); class == classFailed {
				class = classCut
			}
		}
		x.attempt(resp.StatusCode, class, called)
		x.fail(ctx, faultOf(class), class, body)
		return
	}
	if class := classOfStatus(resp.StatusCode); class != "" {
		x.attempt(resp.StatusCode, class, called)
		x.providerFault(ctx, resp, body, class)
		return
	}
	e := ending{outcome: event.Outcome_OUTCOME_COMPLETED, status: resp.StatusCode, response: body, summary: capture.FormOf(x.op).Whole(body)}
	if e.summary.Failed {
		e.outcome, e.class = event.Outcome_OUTCOME_FAILED, classInside
	}
	x.attempt(resp.StatusCode, e.class, called)
	x.release(ctx, resp, body, e)
}

// release ends the trace and then sends a whole answer of the provider's.
func (x *exchange) release(ctx context.Context, resp *http.Response, body []byte, e ending) {
	if x.r.Context().Err() != nil {
		e.outcome, e.status, e.class = event.Outcome_OUTCOME_CANCELED, statusClientGone, classCanceled
	}
	if !x.end(ctx, e) {
		openai.Internal().Write(x.w)
		return
	}
	h := x.w.Header()
	clientHeader(h, resp.Header)
	if resp.StatusCode != http.StatusNoContent {
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	x.w.WriteHeader(resp.StatusCode)
	_, _ = x.w.Write(body) // a client that left cannot be told
}

// providerFault relays a provider's error: unchanged where it is JSON, except that the
// gateway's own credentials are not the client's business.
func (x *exchange) providerFault(ctx context.Context, resp *http.Response, body []byte, class string) {
	e := ending{outcome: event.Outcome_OUTCOME_FAILED, status: resp.StatusCode, class: class, response: body}
	switch {
	case resp.StatusCode < http.StatusBadRequest: // a redirect, which is not followed
		x.fail(ctx, openai.UpstreamNotJSON(resp.StatusCode, nil), class, body)
	case class == classAuth:
		x.p.opt.Log.LogAttrs(ctx, slog.LevelError, "provider refuses the gateway's credentials: renew its secret",
			slog.String("provider", x.target.Provider), slog.Int("status", resp.StatusCode))
		x.fail(ctx, openai.ProviderAuth(), class, body)
	case jsontext.Value(body).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)):
		x.release(ctx, resp, body, e)
	default:
		fault := openai.UpstreamNotJSON(resp.StatusCode, body)
		h := x.w.Header()
		clientHeader(h, resp.Header)
		h.Del("Content-Encoding")
		x.fail(ctx, fault, class, body)
	}
}

// classOfStatus is empty for a status that is a success.
func classOfStatus(status int) string {
	switch {
	case status >= 200 && status < 300:
		return ""
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return classAuth
	case status == http.StatusTooManyRequests:
		return classLimited
	case status >= 400 && status < 500:
		return classRejected
	default:
		return classFailed
	}
}

func isEventStream(h http.Header) bool {
	mediaType, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		mediaType, _, _ = strings.Cut(h.Get("Content-Type"), ";")
	}
	return strings.EqualFold(strings.TrimSpace(mediaType), "text/event-stream") && h.Get("Content-Encoding") == ""
}

// readLimited reads all of r; beside errTooLarge comes what fits.
func readLimited(r io.Reader, size int64, limit int) ([]byte, error) {
	if size > int64(limit) {
		return nil, errTooLarge
	}
	body, err := readAll(io.LimitReader(r, int64(limit)+1), size)
	if err == nil && len(body) > limit {
		return bytes.Clone(body[:limit]), errTooLarge
	}
	return body, err
}
