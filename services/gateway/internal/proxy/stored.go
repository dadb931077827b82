package proxy

import (
	"net/http"

	"loom.internal/services/gateway/internal/endpoint"
	"loom.internal/services/gateway/internal/openai"
)

// storedCall is a call about a stored response.
type storedCall struct {
	id     string
	suffix string // of the path
}

// follow keeps a request that goes on from a stored response with who made that.
func (x *exchange) follow() *openai.Error { return nil }

// Stored serves a call about a stored response.
func (p *Proxy) Stored(op endpoint.Endpoint, id, suffix string) http.Handler {
	return p.exchange(op, func(x *exchange) *openai.Error { return openai.InvalidURL(x.r.Method, x.r.URL.Path) })
}
