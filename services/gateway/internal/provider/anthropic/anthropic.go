// Package anthropic calls Anthropic and everything that speaks its messages API. What
// clients send in that dialect passes through untouched, and so do the answers; chat
// completions are translated both ways.
package anthropic

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"path"
	"strings"

	"loom.internal/services/gateway/internal/endpoint"
	"loom.internal/services/gateway/internal/provider/call"
)

const version = "2023-06-01"

// Options of New.
type Options struct {
	Base      *url.URL // as SDKs take it; one that ends in /v1 is good too
	Secret    string   // API key; none when empty
	MaxTokens int      // where a chat completion sets no limit; 0 is by model
	Transport http.RoundTripper
}

// Client is one provider. It is safe for concurrent use.
type Client struct {
	opt  Options
	base *url.URL
}

// New makes the client of a provider.
func New(o Options) *Client {
	base := o.Base
	if path.Base(base.Path) != "v1" {
		base = base.JoinPath("v1")
	}
	return &Client{opt: o, base: base}
}

// Serves reports whether the provider has the endpoint.
func (c *Client) Serves(e endpoint.Endpoint) bool {
	switch e.Name {
	case endpoint.Chat.Name, endpoint.Messages.Name, endpoint.CountTokens.Name:
		return true
	}
	return false
}

// AsksUsage reports that there is no need to: every answer has its usage, and what a
// client did not ask for is left out of the translation.
func (c *Client) AsksUsage() bool { return false }

// Send calls the provider. An error of type *openai.Error says why the request has no
// translation; nothing was sent then.
func (c *Client) Send(ctx context.Context, r call.Request) (*call.Response, error) {
	switch {
	case !c.Serves(r.Endpoint):
		return nil, errors.New("endpoint " + r.Endpoint.Name + " is not one of Anthropic's")
	case r.Endpoint.Name == endpoint.Chat.Name:
		return c.chat(ctx, r)
	}
	h := r.Header
	for name := range h {
		if strings.HasPrefix(name, "Openai-") {
			delete(h, name)
		}
	}
	if h.Get("Anthropic-Version") == "" {
		h.Set("Anthropic-Version", version)
	}
	return c.do(ctx, r, r.Endpoint)
}

func (c *Client) chat(ctx context.Context, r call.Request) (*call.Response, error) {
	body, asksUsage, fault := translate(r, c.opt.MaxTokens)
	if fault != nil {
		return nil, fault
	}
	r.Body, r.Header, r.Query, r.Suffix = body, chatHeader(r.Header), nil, ""
	resp, err := c.do(ctx, r, endpoint.Messages)
	if err != nil {
		return nil, err
	}
	answer(resp, asksUsage)
	return resp, nil
}

// chatHeader is what of the header of a chat completion means something to Anthropic.
func chatHeader(client http.Header) http.Header {
	h := http.Header{
		"Content-Type":      {"application/json"},
		"Accept":            {"application/json, text/event-stream"},
		"Anthropic-Version": {version},
	}
	for _, name := range []string{"User-Agent", "Anthropic-Beta", "Idempotency-Key", "Traceparent", "Tracestate"} {
		if v, ok := client[name]; ok {
			h[name] = v
		}
	}
	return h
}

// do sends r to an endpoint of Anthropic's. Of the answer's header it hides whose
// account it was, and puts the request's id where OpenAI has it.
func (c *Client) do(ctx context.Context, r call.Request, e endpoint.Endpoint) (*call.Response, error) {
	if c.opt.Secret != "" {
		r.Header.Set("X-Api-Key", c.opt.Secret)
	}
	resp, err := call.Do(ctx, c.opt.Transport, c.base.JoinPath(e.Path), r)
	if err != nil {
		return nil, err
	}
	resp.Header.Del("Anthropic-Organization-Id")
	if id := resp.Header.Get("Request-Id"); id != "" && resp.Header.Get("X-Request-Id") == "" {
		resp.Header.Set("X-Request-Id", id)
	}
	return resp, nil
}
