// Package call is what a provider is asked and how it answers, in the terms that all
// providers share.
package call

import (
	"net/http"
	"net/url"

	"loom.internal/services/gateway/internal/endpoint"
)

// Request is a call of a provider. Its header is the client's, already freed of what is
// none of a provider's business; the provider may change it, and not the body.
type Request struct {
	Endpoint endpoint.Endpoint
	Method   string // empty is POST
	Suffix   string // beyond the endpoint's path, such as "/resp_1/cancel", escaped
	Query    url.Values
	Model    string // the provider's name for it
	Stream   bool   // the client asked for a stream
	Header   http.Header
	Body     []byte // in the endpoint's own dialect, with Model in it
}

// Response is the answer, in the endpoint's own dialect. Its body must be closed.
type Response struct {
	*http.Response

	// Usage is the provider's own usage object as far as the body has been read, where
	// the answer has been translated; nil where the body has it.
	Usage func() []byte
}
