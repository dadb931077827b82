package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"loom.internal/pkg/manifest"
	"loom.internal/pkg/store"
	"loom.internal/pkg/tenant"
	"loom.internal/services/dashboard/internal/admin"
	"loom.internal/services/dashboard/internal/dead"
	"loom.internal/services/dashboard/internal/keyring"
	"loom.internal/services/dashboard/internal/tail"
	"loom.internal/services/dashboard/internal/traces"
	"loom.internal/services/dashboard/internal/verify"
)

// apiError is an answer that says what went wrong, in words for the caller.
type apiError struct {
	status  int
	code    string
	message string
	faults  []manifest.Fault
}

func (e *apiError) Error() string { return e.code + ": " + e.message }

// errNotFound is the one answer for what is not there and what is another's.
var errNotFound = &apiError{http.StatusNotFound, "not_found", "there is no such thing here", nil}

// errNotJSON is for a body of another kind.
var errNotJSON = &apiError{http.StatusUnsupportedMediaType, "unsupported_media_type", "send Content-Type: application/json", nil}

// statusClientGone is logged and counted for a caller that left; nobody reads it.
const statusClientGone = 499

// answer turns any error into what the caller is told. Only here do errors of the
// other packages become statuses.
func answer(err error) *apiError {
	var (
		known   *apiError
		invalid *admin.InvalidError
		tooBig  *http.MaxBytesError
		routing *echo.HTTPError
	)
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, tenant.ErrUnauthorized):
		return &apiError{http.StatusUnauthorized, "unauthorized", "no valid API key or session", nil}
	case errors.As(err, &invalid):
		return &apiError{http.StatusBadRequest, "invalid_body", "the request is not valid: see faults", invalid.Faults}
	case errors.As(err, &tooBig):
		return &apiError{http.StatusRequestEntityTooLarge, "body_too_large", "the body is over " + strconv.FormatInt(tooBig.Limit, 10) + " bytes", nil}
	case errors.Is(err, traces.ErrCursor):
		return badParameter("cursor", traces.ErrCursor.Error())
	case errors.Is(err, traces.ErrNotRecorded):
		return &apiError{http.StatusNotFound, "payload_not_recorded", traces.ErrNotRecorded.Error(), nil}
	case errors.Is(err, keyring.ErrShredded):
		return &apiError{http.StatusGone, "payload_shredded", "the bodies of this trace were shredded: the key they were sealed with is gone for good", nil}
	case errors.Is(err, keyring.ErrPosition):
		return badParameter("from", keyring.ErrPosition.Error())
	case errors.Is(err, traces.ErrUnreadable):
		return &apiError{http.StatusInternalServerError, "payload_unreadable", traces.ErrUnreadable.Error(), nil}
	case errors.Is(err, dead.ErrSubject):
		return &apiError{http.StatusConflict, "not_retryable", dead.ErrSubject.Error(), nil}
	case errors.Is(err, dead.ErrBus):
		return &apiError{http.StatusServiceUnavailable, "unavailable", dead.ErrBus.Error() + ", which stays where it is: try again", nil}
	case errors.Is(err, errGateway):
		return &apiError{http.StatusBadGateway, "gateway_unreachable", errGateway.Error() + ": the log has more under the request id", nil}
	case errors.Is(err, tail.ErrFull):
		return &apiError{http.StatusTooManyRequests, "too_many_requests", tail.ErrFull.Error() + ": close one", nil}
	case errors.Is(err, tail.ErrStopped):
		return &apiError{http.StatusServiceUnavailable, "unavailable", tail.ErrStopped.Error() + ": try again", nil}
	case errors.Is(err, verify.ErrNotMissing):
		return &apiError{http.StatusConflict, "not_missing", verify.ErrNotMissing.Error() + ": see `loom verify`", nil}
	case errors.Is(err, verify.ErrBus):
		return &apiError{http.StatusServiceUnavailable, "unavailable", verify.ErrBus.Error() + ", so what is on its way is not known: try again", nil}
	case errors.Is(err, store.ErrNotFound):
		return errNotFound
	case errors.Is(err, store.ErrConflict):
		return &apiError{http.StatusConflict, "conflict", "there is one of that name already", nil}
	case errors.Is(err, context.Canceled):
		return &apiError{statusClientGone, "timeout", "the caller left", nil}
	case errors.Is(err, context.DeadlineExceeded):
		return &apiError{http.StatusServiceUnavailable, "timeout", "this took too long: ask for a shorter window, or try again", nil}
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, store.ErrRetryable):
		return &apiError{http.StatusServiceUnavailable, "unavailable", "the database does not answer: try again", nil}
	case errors.As(err, &routing) && routing.Code == http.StatusMethodNotAllowed:
		return &apiError{http.StatusMethodNotAllowed, "method_not_allowed", "this path does not take that method", nil}
	case errors.As(err, &routing) && routing.Code == http.StatusNotFound:
		return errNotFound
	default:
		return &apiError{http.StatusInternalServerError, "internal", "something went wrong here: the log has more under the request id", nil}
	}
}

// fail writes the answer of an error, and logs what is not the caller's doing.
func (a *API) fail(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	e := answer(err)
	ctx := c.Request().Context()
	if e.status >= http.StatusInternalServerError {
		a.Log.LogAttrs(ctx, slog.LevelError, "request not answered", slog.Any("error", err), slog.String("request_id", idOf(c)),
			slog.String("method", c.Request().Method), slog.String("route", c.Path()))
	}
	h := c.Response().Header()
	switch e.status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="loom"`)
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", "1")
	}
	type inner struct {
		Code      string `json:"code"`
		Message   string `json:"message"`
		RequestID string `json:"request_id"`
	}
	body := struct {
		Error  inner            `json:"error"`
		Faults []manifest.Fault `json:"faults,omitempty"`
	}{inner{e.code, e.message, idOf(c)}, e.faults}
	if err := c.JSON(e.status, body); err != nil {
		a.Log.LogAttrs(ctx, slog.LevelDebug, "error not sent", slog.Any("error", err), slog.String("request_id", idOf(c)))
	}
}

func badParameter(name, why string) *apiError {
	return &apiError{http.StatusBadRequest, "invalid_parameter", name + ": " + why, []manifest.Fault{{Path: name, Message: why}}}
}
