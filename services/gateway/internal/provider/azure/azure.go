// Package azure calls Azure OpenAI, by its dated API or by its v1 API. Both speak
// OpenAI's dialect; they differ in where they are and in how one signs in.
package azure

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"loom.internal/pkg/catalog"
	"loom.internal/services/gateway/internal/endpoint"
	"loom.internal/services/gateway/internal/openai"
	"loom.internal/services/gateway/internal/provider/call"
)

const (
	paramVersion = "api-version"
	headerKey    = "Api-Key"
	maxDiscarded = 64 << 10 // of an answer that is not passed on, so that its connection can be used again
	pathV1       = "openai/v1"
	pathDated    = "openai"
)

// Options of New.
type Options struct {
	Base       *url.URL // the resource's endpoint; a trailing /openai or /openai/v1 is taken off
	APIVersion string   // of the dated API, such as 2024-10-21; empty, or a word such as preview, means the v1 API
	Secret     string   // API key, or the client secret for Entra; no key when empty
	Entra      *catalog.Entra
	AsksUsage  bool // it can be asked for usage in streams
	Transport  http.RoundTripper
}

// Client is one provider. It is safe for concurrent use.
type Client struct {
	opt    Options
	base   *url.URL
	dated  bool
	tokens *tokens // nil: by API key
}

// New makes the client of a provider; it calls nobody.
func New(o Options) (*Client, error) {
	c := &Client{opt: o, base: resource(o.Base), dated: isDated(o.APIVersion)}
	if o.Entra != nil {
		fetch, err := signIn(o, c.dated)
		if err != nil {
			return nil, err
		}
		c.tokens = &tokens{fetch: fetch}
	}
	return c, nil
}

// resource is where everything of a resource is found, whichever of its URLs was given.
func resource(base *url.URL) *url.URL {
	path := strings.TrimRight(base.EscapedPath(), "/")
	for _, suffix := range []string{"/openai/v1", "/openai"} {
		if s, ok := strings.CutSuffix(path, suffix); ok {
			path = s
			break
		}
	}
	u := *base
	u.Path, u.RawPath = "", ""
	return u.JoinPath(path)
}

func isDated(version string) bool { return version != "" && version[0] >= '0' && version[0] <= '9' }

// Serves reports whether Azure OpenAI has the endpoint. It has no moderations: its content
// filter stands in the way of every request.
func (c *Client) Serves(e endpoint.Endpoint) bool {
	return e.Dialect == endpoint.OpenAI && e.Name != endpoint.Moderations.Name &&
		slices.ContainsFunc(endpoint.OpenAIs(), func(o endpoint.Endpoint) bool { return o.Name == e.Name })
}

// AsksUsage reports whether streams are to be asked for usage.
func (c *Client) AsksUsage() bool { return c.opt.AsksUsage }

// Close ends what is under way in the background. It is for when nothing is sent any more.
func (c *Client) Close() error {
	if c.tokens != nil {
		c.tokens.close()
	}
	return nil
}

// Send calls the provider. Its error is of [call.ErrSignIn] when there is no token to call
// it with, and an *openai.Error for a model that cannot be a deployment.
func (c *Client) Send(ctx context.Context, r call.Request) (*call.Response, error) {
	u, err := c.url(r)
	if err != nil {
		return nil, err
	}
	r.Query = c.query(r.Query)
	if c.tokens == nil {
		if c.opt.Secret != "" {
			r.Header.Set(headerKey, c.opt.Secret)
		}
		return call.Do(ctx, c.opt.Transport, u, r)
	}
	token, err := c.tokens.get(ctx)
	if err != nil {
		return nil, err
	}
	resp, err := c.send(ctx, u, r, token)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	// The token may have been revoked. Azure did nothing for this call, so it is safe to
	// repeat it.
	another, ok := c.tokens.replace(ctx, token)
	if !ok {
		return resp, nil
	}
	_, _ = io.CopyN(io.Discard, resp.Body, maxDiscarded)
	_ = resp.Body.Close()
	return c.send(ctx, u, r, another)
}

// send leaves r's header as it is, for the call may be repeated.
func (c *Client) send(ctx context.Context, u *url.URL, r call.Request, token string) (*call.Response, error) {
	r.Header = r.Header.Clone()
	r.Header.Set("Authorization", "Bearer "+token)
	return call.Do(ctx, c.opt.Transport, u, r)
}

// url is where the endpoint of r is. In the dated API it is the path that tells the
// deployment, but for the Responses API, where the body does.
func (c *Client) url(r call.Request) (*url.URL, error) {
	switch {
	case !c.dated:
		return c.base.JoinPath(pathV1, r.Endpoint.Path), nil
	case r.Endpoint.Name == endpoint.Responses.Name:
		return c.base.JoinPath(pathDated, r.Endpoint.Path), nil
	case r.Model == "", r.Model == ".", r.Model == "..": // no segment of a path
		return nil, openai.ModelNotFound(r.Model)
	}
	return c.base.JoinPath(pathDated, "deployments", url.PathEscape(r.Model), r.Endpoint.Path), nil
}

// query is what the client asks for, in the provider's version of the API: another one
// could have another meaning, or none.
func (c *Client) query(client url.Values) url.Values {
	q := make(url.Values, len(client)+1)
	for name, values := range client {
		if !strings.EqualFold(name, paramVersion) {
			q[name] = values
		}
	}
	if c.opt.APIVersion != "" {
		q.Set(paramVersion, c.opt.APIVersion)
	}
	return q
}
