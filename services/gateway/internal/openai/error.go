package openai

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"loom.internal/services/gateway/internal/lenient"
)

// Types and codes of the errors the gateway makes itself.
const (
	typeAuth    = "auth_error"
	typeInvalid = "invalid_request_error"
	typeServer  = "server_error"

	CodeUpstream     = "upstream_error"
	CodeTimeout      = "upstream_timeout"
	CodeProviderAuth = "provider_auth_error"
	CodeUnavailable  = "provider_unavailable"
)

// maxQuoted bounds what of a client's or a provider's text is repeated in a message.
const maxQuoted = 512

// Error is an answer of the gateway's own in OpenAI's error shape.
type Error struct {
	Status     int
	Type       string
	Code       string // null when empty
	Param      string // null when empty
	Message    string
	RetryAfter time.Duration // header retry-after when over 0; whole seconds
	NoRetry    bool          // header x-should-retry: false
}

// Error makes it an error, for callers that pass it on as one.
func (e *Error) Error() string { return strconv.Itoa(e.Status) + ": " + e.Message }

// Body is the JSON document of the error.
func (e *Error) Body() []byte {
	b := lenient.AppendText([]byte(`{"error":{"message":`), e.Message)
	b = lenient.AppendText(append(b, `,"type":`...), e.Type)
	b = lenient.AppendNullable(append(b, `,"param":`...), e.Param)
	b = lenient.AppendNullable(append(b, `,"code":`...), e.Code)
	return append(b, "}}"...)
}

// Event is the error as a server-sent event, for a stream that has begun. Some
// clients know an error only by these exact first bytes, on one line.
func (e *Error) Event() []byte {
	return append(append([]byte("data: "), e.Body()...), "\n\n"...)
}

// Write answers with the error.
func (e *Error) Write(w http.ResponseWriter) {
	body := e.Body()
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if e.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(max(1, int(e.RetryAfter/time.Second))))
	}
	if e.NoRetry {
		h.Set("X-Should-Retry", "false")
	}
	w.WriteHeader(e.Status)
	_, _ = w.Write(body) // a client that left cannot be told
}

// InvalidKey is the one answer for a key that is missing, unknown, expired, revoked
// or of an inactive tenant.
func InvalidKey() *Error {
	return &Error{
		Status: http.StatusUnauthorized, Type: typeAuth, Code: "invalid_api_key",
		Message: "Incorrect API key provided. Send a valid Loom API key as 'Authorization: Bearer <key>' or as 'x-api-key: <key>'.",
	}
}

// MissingScope is for a key without the right that the call needs.
func MissingScope(scope string) *Error {
	return &Error{
		Status: http.StatusForbidden, Type: typeInvalid, Code: "missing_scope",
		Message: fmt.Sprintf("This API key lacks the scope '%s'.", scope),
	}
}

// ModelNotAllowed is for a model outside of the key's list.
func ModelNotAllowed(model string) *Error {
	return &Error{
		Status: http.StatusForbidden, Type: typeInvalid, Code: "model_not_allowed", Param: "model",
		Message: fmt.Sprintf("This API key may not use the model '%s'.", quoted(model)),
	}
}

// ModelNotFound is for a model that no route leads to.
func ModelNotFound(model string) *Error {
	return &Error{
		Status: http.StatusNotFound, Type: typeInvalid, Code: "model_not_found", Param: "model",
		Message: fmt.Sprintf("The model '%s' does not exist or you do not have access to it.", quoted(model)),
	}
}

// NotServed is for an endpoint that no target of the model's route has.
func NotServed(path, model string) *Error {
	return &Error{
		Status: http.StatusNotFound, Type: typeInvalid, Code: "model_not_found", Param: "model",
		Message: fmt.Sprintf("The model '%s' does not exist at /%s: no provider of it serves this endpoint.", quoted(model), path),
	}
}

// ResponseNotFound is for a stored response that the tenant does not have.
func ResponseNotFound(id string) *Error {
	return &Error{
		Status: http.StatusNotFound, Type: typeInvalid,
		Message: fmt.Sprintf("Response with id '%s' not found.", quoted(id)),
	}
}

// PreviousResponseNotFound is for one that a request is to go on from.
func PreviousResponseNotFound(id string) *Error {
	return &Error{
		Status: http.StatusBadRequest, Type: typeInvalid, Code: "previous_response_not_found", Param: "previous_response_id",
		Message: fmt.Sprintf("Previous response with id '%s' not found.", quoted(id)),
	}
}

// Invalid is for a request whose body cannot be used; param names the member at fault.
func Invalid(param, message string) *Error {
	return &Error{Status: http.StatusBadRequest, Type: typeInvalid, Param: param, Message: message}
}

// InvalidURL is for a path that the gateway does not serve.
func InvalidURL(method, path string) *Error {
	return &Error{
		Status: http.StatusNotFound, Type: typeInvalid,
		Message: fmt.Sprintf("Invalid URL (%s %s)", quoted(method), quoted(path)),
	}
}

// MethodNotSupported is for a path that is served, but not with this method; the
// router sets the Allow header.
func MethodNotSupported(method string) *Error {
	return &Error{
		Status: http.StatusMethodNotAllowed, Type: typeInvalid, Code: "method_not_supported",
		Message: fmt.Sprintf("Not allowed to %s on this URL.", quoted(method)),
	}
}

// TooLarge is for a body over the limit of that many bytes.
func TooLarge(limit int64) *Error {
	return &Error{
		Status: http.StatusRequestEntityTooLarge, Type: typeInvalid, Code: "request_too_large",
		Message: fmt.Sprintf("The request body is larger than %d bytes.", limit),
	}
}

// BodyTimeout is for a body that did not come in time.
func BodyTimeout() *Error {
	return &Error{
		Status: http.StatusRequestTimeout, Type: typeInvalid, Code: "request_timeout",
		Message: "The request body did not arrive in time.",
	}
}

// EncodedBody is for a request whose body is compressed.
func EncodedBody(encoding string) *Error {
	return &Error{
		Status: http.StatusUnsupportedMediaType, Type: typeInvalid, Code: "unsupported_content_encoding",
		Message: fmt.Sprintf("Content-Encoding '%s' is not supported: send the body uncompressed.", quoted(encoding)),
	}
}

// UpstreamFailed is for a provider that cannot be reached or does not speak HTTP.
func UpstreamFailed() *Error {
	return &Error{
		Status: http.StatusBadGateway, Type: typeServer, Code: CodeUpstream,
		Message: "The provider could not be reached or its answer broke off.",
	}
}

// UpstreamNotJSON is for a provider's error without a JSON body. The status is the
// provider's where that is an error, else 502.
func UpstreamNotJSON(status int, body []byte) *Error {
	e := &Error{Status: status, Type: typeServer, Code: CodeUpstream, Message: fmt.Sprintf("The provider answered with status %d", status)}
	if status < 400 || status > 599 {
		e.Status = http.StatusBadGateway
	}
	if text := strings.Join(strings.Fields(quoted(string(body))), " "); text != "" {
		e.Message += ": " + text
	}
	return e
}

// UpstreamTimeout is for a provider that sent nothing for too long.
func UpstreamTimeout() *Error {
	return &Error{
		Status: http.StatusGatewayTimeout, Type: typeServer, Code: CodeTimeout,
		Message: "The provider did not answer in time.",
	}
}

// ProviderAuth is for a provider that refuses the gateway's own credentials. It is no
// 401: the client's key is good.
func ProviderAuth() *Error {
	return &Error{
		Status: http.StatusBadGateway, Type: typeServer, Code: CodeProviderAuth, NoRetry: true,
		Message: "The provider refused the gateway's credentials. Your API key is fine: the operator must renew the provider's secret.",
	}
}

// Unavailable is for what the gateway cannot do for now, such as looking up a key
// while its broker is away.
func Unavailable(message string) *Error {
	return &Error{
		Status: http.StatusServiceUnavailable, Type: typeServer, Code: CodeUnavailable,
		RetryAfter: time.Second, Message: message,
	}
}

// Internal is for a fault of the gateway itself.
func Internal() *Error {
	return &Error{
		Status: http.StatusInternalServerError, Type: typeServer, Code: "internal_error",
		Message: "The gateway failed to handle the request.",
	}
}

// quoted is s cut to a length that may be repeated to a client.
func quoted(s string) string {
	if len(s) <= maxQuoted {
		return s
	}
	cut := maxQuoted
	for cut > maxQuoted-utf8.UTFMax && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
