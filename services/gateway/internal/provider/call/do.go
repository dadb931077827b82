package call

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// Do sends r to u, with r's suffix and query, over the transport: no redirect is
// followed. The header must have the provider's credentials already.
func Do(ctx context.Context, transport http.RoundTripper, u *url.URL, r Request) (*Response, error) {
	to := u.String() + r.Suffix
	if len(r.Query) > 0 {
		to += "?" + r.Query.Encode()
	}
	method := r.Method
	if method == "" {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, method, to, nil)
	if err != nil {
		return nil, fmt.Errorf("request to provider: %w", err)
	}
	if len(r.Body) > 0 {
		// The body can be read again only so that a request which did not get out on a
		// connection that had gone stale is sent on another.
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(r.Body)), nil }
		req.Body, _ = req.GetBody()
		req.ContentLength = int64(len(r.Body))
	}
	req.Header = r.Header
	// Under its usual spelling an Idempotency-Key would also let the transport send again
	// what may have arrived.
	if v, ok := req.Header["Idempotency-Key"]; ok {
		delete(req.Header, "Idempotency-Key")
		req.Header["idempotency-key"] = v
	}
	if _, ok := req.Header["User-Agent"]; !ok {
		req.Header.Set("User-Agent", "") // else Go names itself
	}
	resp, err := transport.RoundTrip(req) //nolint:bodyclose // Response has it
	if err != nil {
		return nil, err
	}
	return &Response{Response: resp}, nil
}
