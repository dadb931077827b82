// Package failure names what can go wrong with a call of a provider: stable words, never
// a provider's text. Traces and metrics have them, and what happens next is decided by
// them.
package failure

import "loom.internal/services/gateway/internal/openai"

// The classes of failure. The empty word is success.
const (
	ClientGone   = "client_gone"
	Shutdown     = "gateway_shutdown"
	Unavailable  = openai.CodeUnavailable // the target was not called
	Unreachable  = "upstream_unreachable" // no connection
	Timeout      = openai.CodeTimeout     // no header in time
	Idle         = "upstream_idle_timeout"
	Cut          = "upstream_cut"
	Credentials  = openai.CodeProviderAuth // the gateway's own, refused
	RateLimited  = "upstream_rate_limited"
	Rejected     = "upstream_rejected"        // the client's fault
	Unsuited     = "request_not_translatable" // the provider cannot be asked this; nothing was sent
	Upstream     = openai.CodeUpstream
	Truncated    = "upstream_truncated"
	TooLarge     = "upstream_answer_too_large"
	InsideAnswer = "upstream_error_in_answer" // under a status of success
)
