// Package client calls the admin API of the dashboard service.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"loom.internal/pkg/manifest"
)

const (
	timeout     = 30 * time.Second
	longTimeout = 3 * time.Minute // for what the dashboard gives two
	maxResponse = 16 << 20
	deadPage    = 200 // the most it lists at once
)

// ErrNotConnected means that no dashboard answered at the address.
var ErrNotConnected = errors.New("the dashboard does not answer")

// Error is a refusal by the server.
type Error struct {
	Status    int              `json:"-"`
	Code      string           `json:"code"`
	Message   string           `json:"message"`
	RequestID string           `json:"request_id"`
	Faults    []manifest.Fault `json:"-"` // of a manifest
}

func (e *Error) Error() string {
	switch {
	case e.Status == http.StatusUnauthorized:
		return "the dashboard does not know this admin key: check LOOM_ADMIN_KEY"
	case e.Status == http.StatusForbidden:
		return "this key is not an admin key: check LOOM_ADMIN_KEY"
	case e.RequestID == "":
		return fmt.Sprintf("the dashboard answered %d: %s", e.Status, e.Message)
	default:
		return fmt.Sprintf("the dashboard answered %d: %s (request %s)", e.Status, e.Message, e.RequestID)
	}
}

// Client calls one dashboard with one admin key.
type Client struct {
	base string
	key  string
	http *http.Client
}

// New returns a client of the dashboard at base, such as http://127.0.0.1:8081.
func New(base, adminKey string) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, fmt.Errorf("dashboard address %q: want a URL such as http://127.0.0.1:8081", base)
	}
	refuseRedirects := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // they would take the key along
	return &Client{
		base: strings.TrimRight(base, "/"), key: adminKey,
		http: &http.Client{Timeout: timeout, CheckRedirect: refuseRedirects},
	}, nil
}

// patient is the client for what may take the dashboard long.
func (c *Client) patient() *Client {
	p := *c
	p.http = &http.Client{Timeout: longTimeout, CheckRedirect: c.http.CheckRedirect}
	return &p
}

// call sends in, if any, as JSON and reads the answer into out, if any.
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	req.Header.Set("Authorization", "Bearer "+c.key)
	req.Header.Set("Accept", "application/json")
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("%w at %s: is Loom running? Set another address with --dashboard-url or LOOM_DASHBOARD_URL: %w", ErrNotConnected, c.base, err)
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse))
	if err != nil {
		return fmt.Errorf("%s %s: read answer: %w", method, path, err)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return refusal(resp.StatusCode, data)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("%s %s: the answer is not Loom's, check the address: %w", method, path, err)
	}
	return nil
}

func refusal(status int, data []byte) error {
	var body struct {
		Error  Error            `json:"error"`
		Faults []manifest.Fault `json:"faults"`
	}
	if json.Unmarshal(data, &body) != nil || body.Error.Message == "" {
		body.Error.Message = http.StatusText(status)
	}
	body.Error.Status, body.Error.Faults = status, body.Faults
	return &body.Error
}
