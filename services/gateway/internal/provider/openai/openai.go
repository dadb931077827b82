// Package openai calls OpenAI and everything that speaks its API.
package openai

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// Client is one provider. It is safe for concurrent use.
type Client struct {
	chat      *url.URL
	secret    string
	asksUsage bool
	transport http.RoundTripper
}

// New makes the client of a provider: its base URL as SDKs take it, its API key (none
// when empty), and whether it can be asked for usage in streams.
func New(base *url.URL, secret string, asksUsage bool, transport http.RoundTripper) *Client {
	return &Client{chat: base.JoinPath("chat", "completions"), secret: secret, asksUsage: asksUsage, transport: transport}
}

// AsksUsage reports whether streams are to be asked for usage.
func (c *Client) AsksUsage() bool { return c.asksUsage }

// Chat posts a chat completion request.
func (c *Client) Chat(ctx context.Context, header http.Header, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.chat.String(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("chat request: %w", err)
	}
	if header == nil {
		header = make(http.Header)
	}
	// The body can be read again only so that a request which did not get out on a
	// connection that had gone stale is sent on another. Under its usual spelling an
	// Idempotency-Key would also let the transport send again what may have arrived.
	if v, ok := header["Idempotency-Key"]; ok {
		delete(header, "Idempotency-Key")
		header["idempotency-key"] = v
	}
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	req.Header = header
	if c.secret != "" {
		header.Set("Authorization", "Bearer "+c.secret)
	}
	if _, ok := header["User-Agent"]; !ok {
		header.Set("User-Agent", "") // else Go names itself
	}
	return c.transport.RoundTrip(req)
}
