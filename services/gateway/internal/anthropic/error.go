// Package anthropic is the wire of Anthropic's messages API as the gateway needs it:
// the error body, the events of a stream, and the usage they add up to.
package anthropic

import (
	"net/http"
	"strconv"
	"time"

	"loom.internal/services/gateway/internal/lenient"
	"loom.internal/services/gateway/internal/openai"
)

// StatusOverloaded is Anthropic's own status for a service with too much to do.
const StatusOverloaded = 529

// Type is the error type that goes with a status.
func Type(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "authentication_error"
	case http.StatusForbidden:
		return "permission_error"
	case http.StatusNotFound:
		return "not_found_error"
	case http.StatusRequestEntityTooLarge:
		return "request_too_large"
	case http.StatusTooManyRequests:
		return "rate_limit_error"
	case http.StatusServiceUnavailable, StatusOverloaded:
		return "overloaded_error"
	case http.StatusGatewayTimeout:
		return "timeout_error"
	}
	if status >= http.StatusInternalServerError {
		return "api_error"
	}
	return "invalid_request_error"
}

// Body is the JSON document of a fault of the gateway's own, in Anthropic's envelope.
func Body(fault *openai.Error, requestID string) []byte {
	b := lenient.AppendText([]byte(`{"type":"error","error":{"type":`), Type(fault.Status))
	b = append(lenient.AppendText(append(b, `,"message":`...), fault.Message), '}')
	if requestID != "" {
		b = lenient.AppendText(append(b, `,"request_id":`...), requestID)
	}
	return append(b, '}')
}

// Event is the fault as a server-sent event, for a stream that has begun.
func Event(fault *openai.Error) []byte {
	return append(append([]byte("event: error\ndata: "), Body(fault, "")...), "\n\n"...)
}

// Write answers with the fault. Its headers are those of an answer in OpenAI's shape:
// the SDKs of both read the same ones.
func Write(w http.ResponseWriter, fault *openai.Error, requestID string) {
	body := Body(fault, requestID)
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if fault.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(max(1, int(fault.RetryAfter/time.Second))))
	}
	if fault.NoRetry {
		h.Set("X-Should-Retry", "false")
	}
	w.WriteHeader(fault.Status)
	_, _ = w.Write(body) // a client that left cannot be told
}
