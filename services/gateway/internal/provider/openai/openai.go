// Package openai calls OpenAI and everything that speaks its API.
package openai

import (
	"context"
	"net/http"
	"net/url"
	"slices"

	"loom.internal/services/gateway/internal/endpoint"
	"loom.internal/services/gateway/internal/provider/call"
)

// Options of New.
type Options struct {
	Base         *url.URL // as SDKs take it
	Secret       string   // API key; none when empty
	Organization string
	Project      string
	AsksUsage    bool // it can be asked for usage in streams
	Endpoints    []endpoint.Endpoint
	Transport    http.RoundTripper
}

// Client is one provider. It is safe for concurrent use.
type Client struct {
	opt   Options
	names []string
}

// New makes the client of a provider.
func New(o Options) *Client {
	c := &Client{opt: o}
	for _, e := range o.Endpoints {
		c.names = append(c.names, e.Name)
	}
	return c
}

// Serves reports whether the provider has the endpoint.
func (c *Client) Serves(e endpoint.Endpoint) bool { return slices.Contains(c.names, e.Name) }

// AsksUsage reports whether streams are to be asked for usage.
func (c *Client) AsksUsage() bool { return c.opt.AsksUsage }

// Send calls the provider.
func (c *Client) Send(ctx context.Context, r call.Request) (*call.Response, error) {
	u := c.opt.Base.JoinPath(r.Endpoint.Path)
	h := r.Header
	if c.opt.Secret != "" {
		h.Set("Authorization", "Bearer "+c.opt.Secret)
	}
	if c.opt.Organization != "" {
		h.Set("OpenAI-Organization", c.opt.Organization)
	}
	if c.opt.Project != "" {
		h.Set("OpenAI-Project", c.opt.Project)
	}
	return call.Do(ctx, c.opt.Transport, u, r)
}
