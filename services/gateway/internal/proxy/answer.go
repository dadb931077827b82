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
	"loom.internal/services/gateway/internal/balance"
	"loom.internal/services/gateway/internal/failure"
	"loom.internal/services/gateway/internal/openai"
	"loom.internal/services/gateway/internal/provider/call"
)

// Bounds of an answer that is read whole before it goes out.
const (
	maxAnswer = 64 << 20
	maxFault  = 4 << 20
)

var errTooLarge = errors.New("answer too large")

// answer is a provider's answer of a status that is a success, on its way to the client.
type answer struct {
	x      *exchange
	plan   *balance.Plan
	resp   *call.Response
	up     *upstreamBody
	called time.Time
}

// relay sends it on by what it is, whatever was asked for: a stream of events, text
// that is read whole, or bytes that pass as they come.
func (a *answer) relay(ctx context.Context, hide bool) {
	switch {
	case isEventStream(a.resp.Header):
		newRelay(a, hide).run(ctx)
	case isText(a.resp.Header) || a.resp.Body == http.NoBody || a.resp.ContentLength == 0:
		a.whole(ctx)
	default:
		a.pass(ctx)
	}
}

// whole reads an answer to its end before the client has any of it.
func (a *answer) whole(ctx context.Context) {
	x := a.x
	body, err := readLimited(a.up, a.resp.ContentLength, maxAnswer)
	if err != nil {
		class := failure.TooLarge
		if !errors.Is(err, errTooLarge) {
			if class = x.classify(ctx, err); class == failure.Upstream {
				class = failure.Cut
			}
		}
		a.note(class)
		x.fail(ctx, faultOf(class), class, body, true)
		return
	}
	e := ending{outcome: event.Outcome_OUTCOME_COMPLETED, status: a.resp.StatusCode, summary: x.form.Whole(body)}
	e.response = x.form.Keep(a.resp.Header.Get("Content-Type"), body)
	if e.summary.Failed {
		e.outcome, e.class = event.Outcome_OUTCOME_FAILED, failure.InsideAnswer
	}
	a.translated(&e)
	a.note(e.class)
	x.remember(e.summary.ID, !usable(e.summary.Usage))
	x.forget()
	x.release(ctx, a.resp.Response, body, e)
}

// note notes the call down, by the class of its error.
func (a *answer) note(class string) {
	a.x.attempt(a.resp.StatusCode, class, a.called)
	a.x.trace.ResponseBytes = a.up.bytes
	a.plan.Report(balance.Result{Class: class, Status: a.resp.StatusCode, Begun: true})
}

// translated puts the provider's own usage in the place of its translation.
func (a *answer) translated(e *ending) {
	if a.resp.Usage == nil {
		return
	}
	if own := a.resp.Usage(); own != nil {
		e.summary.Usage = own
	}
}

// release ends the trace and then sends a whole answer of the provider's.
func (x *exchange) release(ctx context.Context, resp *http.Response, body []byte, e ending) {
	if clientGone(x.r.Context()) { //nolint:contextcheck // of the client, not of the call
		e.outcome, e.status, e.class = event.Outcome_OUTCOME_CANCELED, statusClientGone, failure.ClientGone
	}
	if !x.end(ctx, e) {
		writeFault(x.w, x.op.Dialect, openai.Internal())
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
		x.fail(ctx, openai.UpstreamNotJSON(resp.StatusCode, nil), class, body, false)
	case class == failure.Credentials:
		x.p.log(ctx, slog.LevelError, "provider refuses the gateway's credentials: renew its secret",
			slog.String("provider", x.target.Provider), slog.Int("status", resp.StatusCode))
		x.fail(ctx, openai.ProviderAuth(), class, body, false)
	case jsontext.Value(body).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)):
		x.release(ctx, resp, body, e)
	default:
		fault := openai.UpstreamNotJSON(resp.StatusCode, body)
		h := x.w.Header()
		clientHeader(h, resp.Header)
		h.Del("Content-Encoding")
		x.fail(ctx, fault, class, body, false)
	}
}

// classOfStatus is empty for a status that is a success.
func classOfStatus(status int) string {
	switch {
	case status >= 200 && status < 300:
		return ""
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return failure.Credentials
	case status == http.StatusTooManyRequests:
		return failure.RateLimited
	case status >= 400 && status < 500:
		return failure.Rejected
	default:
		return failure.Upstream
	}
}

func isEventStream(h http.Header) bool {
	return mediaType(h) == "text/event-stream" && h.Get("Content-Encoding") == ""
}

// isText reports whether the body is one to be read whole; what does not say what it is
// counts as text.
func isText(h http.Header) bool {
	t := mediaType(h)
	return t == "" || t == "application/json" || strings.HasSuffix(t, "+json") || strings.HasPrefix(t, "text/") || t == "application/x-subrip"
}

func mediaType(h http.Header) string {
	t, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		t, _, _ = strings.Cut(h.Get("Content-Type"), ";")
		t = strings.ToLower(strings.TrimSpace(t))
	}
	return t
}

// readLimited reads all of r; beside errTooLarge comes what fits.
func readLimited(r io.Reader, size int64, limit int) ([]byte, error) {
	if size > int64(limit) {
		return nil, errTooLarge
	}
	body, err := readAll(io.LimitReader(r, int64(limit)+1), size, nil)
	if err == nil && len(body) > limit {
		return bytes.Clone(body[:limit]), errTooLarge
	}
	return body, err
}
