package proxy

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"

	"loom.internal/services/gateway/internal/directory"
	"loom.internal/services/gateway/internal/endpoint"
	"loom.internal/services/gateway/internal/openai"
	"loom.internal/services/gateway/internal/stored"
)

// Responses knows which provider keeps a tenant's stored response.
type Responses interface {
	Put(tenant, id string, ref stored.Ref)
	Get(ctx context.Context, tenant, id string) (stored.Ref, error)
	Delete(tenant, id string)
	Claim(ctx context.Context, tenant, id string) bool
}

// storedCall is a call about a stored response. It is asked of whoever made that, and
// has no body.
type storedCall struct {
	model  string // that the response was asked of
	id     string
	suffix string // of the path
	stream bool

	uncounted bool // its usage was not known when it was made
}

// Facts are what is known of the call.
func (c *storedCall) Facts() openai.Facts { return openai.Facts{Model: c.model, Stream: c.stream} }

// Rewrite gives no body.
func (c *storedCall) Rewrite(string, bool) []byte { return nil }

// CanAskUsage is false: usage was counted when the response was made.
func (c *storedCall) CanAskUsage() bool { return false }

// Record gives nothing.
func (c *storedCall) Record() []byte { return nil }

// Stored serves a call about the stored response of that id: what is asked of it is the
// end of the path.
func (p *Proxy) Stored(op endpoint.Endpoint, id, what string) http.Handler {
	return p.exchange(op, func(x *exchange) *openai.Error { return x.recall(id, what) })
}

// recall finds who keeps a response of the tenant's.
func (x *exchange) recall(id, what string) *openai.Error {
	if fault := x.read(); fault != nil {
		return fault
	}
	ref, err := x.keeper(id)
	switch {
	case errors.Is(err, stored.ErrUnknown):
		return openai.ResponseNotFound(id)
	case err != nil:
		return x.unavailable(err)
	case !x.who.Key.MayUse(ref.Asked):
		return openai.ModelNotAllowed(ref.Asked)
	}
	c := x.p.opt.Directory.Catalogue()
	if c == nil {
		return openai.Unavailable("The gateway has no models yet. Please try again.")
	}
	target, ok := c.Keeper(ref.Provider, ref.Model)
	if !ok {
		return openai.ResponseNotFound(id)
	}
	x.targets = []directory.Target{target}
	x.stored = &storedCall{model: ref.Asked, id: id, suffix: "/" + url.PathEscape(id) + what, stream: x.r.URL.Query().Get("stream") == "true", uncounted: ref.Uncounted}
	x.req = x.stored
	return nil
}

// keeper is who keeps a response of the tenant's.
func (x *exchange) keeper(id string) (stored.Ref, error) {
	if id == "" || id == "." || id == ".." { // no segment of a path
		return stored.Ref{}, stored.ErrUnknown
	}
	return x.p.opt.Responses.Get(x.r.Context(), x.who.Tenant.ID, id)
}

func (x *exchange) unavailable(err error) *openai.Error {
	x.p.log(x.r.Context(), slog.LevelWarn, "stored response cannot be looked up", slog.Any("error", err))
	return openai.Unavailable("The gateway cannot look up stored responses right now. Please try again.")
}

// follow keeps a request that goes on from a stored response with who keeps that: others
// do not know it, and other tenants must not. Stored conversations cannot be made here,
// so that one can only be somebody else's.
func (x *exchange) follow() *openai.Error {
	facts := x.req.Facts()
	if x.op != endpoint.Responses {
		return nil
	}
	if facts.Conversation {
		return openai.Invalid("conversation", "Stored conversations are not supported. Send the items as input, or go on from previous_response_id.")
	}
	if facts.PreviousResponse == "" {
		return nil
	}
	ref, err := x.keeper(facts.PreviousResponse)
	if err != nil && !errors.Is(err, stored.ErrUnknown) {
		return x.unavailable(err)
	}
	x.targets = slices.DeleteFunc(x.targets, func(t directory.Target) bool { return t.Provider != ref.Provider })
	if err != nil || len(x.targets) == 0 {
		return openai.PreviousResponseNotFound(facts.PreviousResponse)
	}
	return nil
}

// remember notes down who keeps the response that was just made, and whether its usage
// is still to be counted.
func (x *exchange) remember(id string, uncounted bool) {
	if x.op == endpoint.Responses && id != "" {
		x.p.opt.Responses.Put(x.who.Tenant.ID, id, stored.Ref{
			Provider: x.target.Provider, Model: x.target.Model, Asked: x.req.Facts().Model, Uncounted: uncounted && x.req.Facts().Background,
		})
	}
}

// counts reports whether usage that an answer tells is that of this request: not of a
// stored response that was counted when it was made.
func (x *exchange) counts(ctx context.Context, usage []byte) bool {
	if !usable(usage) {
		return false
	}
	return x.stored == nil || x.stored.uncounted && x.p.opt.Responses.Claim(context.WithoutCancel(ctx), x.who.Tenant.ID, x.stored.id)
}

// forget drops what was known of a response that is gone.
func (x *exchange) forget() {
	if x.op == endpoint.DeleteResponse {
		x.p.opt.Responses.Delete(x.who.Tenant.ID, x.stored.id)
	}
}
