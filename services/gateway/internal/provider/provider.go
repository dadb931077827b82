// Package provider opens the providers of the catalogue: what the gateway calls to
// have a request answered.
package provider

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"loom.internal/pkg/catalog"
	"loom.internal/pkg/envelope"
	"loom.internal/services/gateway/internal/provider/demo"
	"loom.internal/services/gateway/internal/provider/openai"
)

// Provider answers requests in the shape of OpenAI's API.
type Provider interface {
	// Chat posts a chat completion request. The header is the client's, already
	// freed of what is none of a provider's business; Chat may change it. The
	// answer's body must be closed; the end of ctx breaks it off.
	Chat(ctx context.Context, header http.Header, body []byte) (*http.Response, error)
	// AsksUsage reports whether the gateway is to ask for usage in streams where
	// the client did not.
	AsksUsage() bool
}

// Opener opens providers.
type Opener struct {
	Ring         *envelope.Ring
	Egress       http.RoundTripper
	Demo         *demo.Transport
	AllowPrivate bool // let base URLs be plain http
}

// Open makes the provider ready to call; it does not call it.
func (o Opener) Open(p catalog.Provider) (Provider, error) {
	switch p.Kind {
	case catalog.OpenAI, catalog.Compatible:
		base, err := catalog.ParseBaseURL(p.BaseURL)
		if err != nil {
			return nil, fmt.Errorf("base_url %w", err)
		}
		if base.Scheme != "https" && !o.AllowPrivate {
			return nil, errors.New("base_url must be https unless LOOM_GATEWAY_ALLOW_PRIVATE_UPSTREAMS=true")
		}
		secret, err := p.OpenSecret(o.Ring)
		if err != nil {
			return nil, err
		}
		return openai.New(base, secret, p.Kind == catalog.OpenAI, o.Egress), nil
	case catalog.Demo:
		return openai.New(demo.BaseURL, "", true, o.Demo), nil
	default:
		return nil, fmt.Errorf("kind %q is not known", p.Kind)
	}
}
