package anthropic

import (
	"net/http"
	"strings"

	wire "loom.internal/services/gateway/internal/anthropic"
	"loom.internal/services/gateway/internal/openai"
)

// statusOf is the status that a chat client gets for one of Anthropic's. Those that
// are about the gateway's own account become such that the proxy keeps them to itself.
func statusOf(status int) int {
	switch status {
	case http.StatusPaymentRequired:
		return http.StatusForbidden
	case wire.StatusOverloaded: // not one that IANA knows
		return http.StatusServiceUnavailable
	default:
		return status
	}
}

// translateFault translates an error's body. What is no JSON stays as it is, for the
// proxy to make something of.
func translateFault(body []byte, status int) []byte {
	m, err := wire.ReadMessage(body)
	switch {
	case err != nil:
		return body
	case !m.Error.Set:
		return openai.UpstreamNotJSON(statusOf(status), body).Body()
	}
	return chatFault(status, &m.Error.V).Body()
}

// chatFault translates an error of Anthropic's.
func chatFault(status int, f *wire.Fault) *openai.Error {
	e := &openai.Error{Status: statusOf(status), Type: "server_error", Code: string(f.Type), Message: string(f.Message)}
	switch f.Type {
	case "invalid_request_error":
		e.Type, e.Code = "invalid_request_error", ""
	case "request_too_large":
		e.Type = "invalid_request_error"
	case "not_found_error":
		e.Type, e.Code, e.Param = "invalid_request_error", "model_not_found", "model"
	case "rate_limit_error":
		e.Type, e.Code = "requests", "rate_limit_exceeded"
		if strings.Contains(e.Message, "token") {
			e.Type = "tokens"
		}
	case "authentication_error", "billing_error", "permission_error":
		e.Code = openai.CodeProviderAuth
	default:
		if status < http.StatusInternalServerError {
			e.Type = "invalid_request_error"
		}
	}
	return e
}
