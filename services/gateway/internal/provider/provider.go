// Package provider opens the providers of the catalogue: what the gateway calls to
// have a request answered.
package provider

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"loom.internal/pkg/catalog"
	"loom.internal/pkg/envelope"
	"loom.internal/services/gateway/internal/endpoint"
	"loom.internal/services/gateway/internal/provider/anthropic"
	"loom.internal/services/gateway/internal/provider/azure"
	"loom.internal/services/gateway/internal/provider/call"
	"loom.internal/services/gateway/internal/provider/demo"
	"loom.internal/services/gateway/internal/provider/openai"
)

// Provider answers requests. It is safe for concurrent use.
type Provider interface {
	// Serves reports whether the provider has the endpoint.
	Serves(e endpoint.Endpoint) bool
	// AsksUsage reports whether the gateway is to ask for usage in streams of chat
	// completions where the client did not.
	AsksUsage() bool
	// Send calls the provider; the end of ctx breaks it off. An error of type
	// *openai.Error is the answer to a request that the provider cannot be asked:
	// nothing was sent.
	Send(ctx context.Context, r call.Request) (*call.Response, error)
}

// Opener opens providers.
type Opener struct {
	Keys         envelope.Wrapper
	Egress       http.RoundTripper
	Demo         *demo.Transport
	AllowPrivate bool // let base URLs be plain http
}

// Open makes the provider ready to call; it does not call it. Its secret may be wrapped
// with a master key that is not there: envelope.ErrUnknownKeyVersion.
func (o Opener) Open(ctx context.Context, p catalog.Provider) (Provider, error) {
	if p.Kind == catalog.Demo {
		return openai.New(openai.Options{Base: demo.BaseURL, AsksUsage: true, Transport: o.Demo, Endpoints: []endpoint.Endpoint{endpoint.Chat}}), nil
	}
	base, err := catalog.ParseBaseURL(p.BaseURL)
	if err != nil {
		return nil, fmt.Errorf("base_url %w", err)
	}
	if base.Scheme != "https" && !o.AllowPrivate {
		return nil, errors.New("base_url must be https unless LOOM_GATEWAY_ALLOW_PRIVATE_UPSTREAMS=true")
	}
	secret, err := p.OpenSecret(ctx, o.Keys)
	if err != nil {
		return nil, err
	}
	switch p.Kind {
	case catalog.Azure:
		client, err := azure.New(azure.Options{
			Base: base, APIVersion: p.APIVersion, Secret: secret, Entra: p.Entra, AsksUsage: p.AsksUsage(), Transport: o.Egress,
		})
		if err != nil {
			return nil, err // not a *Client that is nil
		}
		return client, nil
	case catalog.OpenAI, catalog.Compatible:
		return openai.New(openai.Options{
			Base: base, Secret: secret, AsksUsage: p.AsksUsage(), Transport: o.Egress,
			Organization: p.Organization, Project: p.Project, Endpoints: served(p),
		}), nil
	case catalog.Anthropic:
		return anthropic.New(anthropic.Options{Base: base, Secret: secret, MaxTokens: p.MaxTokens, Transport: o.Egress}), nil
	default:
		return nil, fmt.Errorf("kind %q is not known", p.Kind)
	}
}

// served are the endpoints of OpenAI's API that the provider has.
func served(p catalog.Provider) []endpoint.Endpoint {
	all, names := endpoint.OpenAIs(), p.Endpoints()
	if names == nil {
		return all
	}
	return slices.DeleteFunc(all, func(e endpoint.Endpoint) bool { return !slices.Contains(names, e.Name) })
}
