package catalog

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"strings"

	"loom.internal/pkg/envelope"
)

// DefaultAuthority is where an application of Entra signs in that names no other place.
const DefaultAuthority = "https://login.microsoftonline.com"

// Pepper is the secret that API keys are hashed with, on its way to gateways.
type Pepper struct {
	Revision int64 `json:"revision"`
	envelope.Wrapped
}

// PepperLabel is what it is wrapped under.
func PepperLabel() envelope.Label { return envelope.Label{Purpose: envelope.PurposeAPIKey} }

// SealSecret wraps the API key of a provider that sends it to its base URL.
func SealSecret(ctx context.Context, w envelope.Wrapper, name, baseURL, secret string) (*envelope.Wrapped, error) {
	return (&Provider{Name: name, BaseURL: baseURL}).SealSecret(ctx, w, secret)
}

// SealSecret wraps a secret for the provider. It opens again only for the same name
// and the same scheme, host and port of each place it goes to: a changed base URL or
// authority makes it useless.
func (p *Provider) SealSecret(ctx context.Context, w envelope.Wrapper, secret string) (*envelope.Wrapped, error) {
	label, err := p.SecretLabel()
	if err != nil {
		return nil, err
	}
	wrapped, err := w.Wrap(ctx, label, []byte(secret))
	if err != nil {
		return nil, fmt.Errorf("secret of provider %s: %w", p.Name, err)
	}
	return &wrapped, nil
}

// OpenSecret gives the provider's secret; empty if it has none.
func (p *Provider) OpenSecret(ctx context.Context, w envelope.Wrapper) (string, error) {
	if p.Secret == nil {
		return "", nil
	}
	label, err := p.SecretLabel()
	if err != nil {
		return "", err
	}
	plain, err := w.Unwrap(ctx, label, *p.Secret)
	if err != nil {
		return "", fmt.Errorf("secret of provider %s: %w", p.Name, err)
	}
	return string(plain), nil
}

// SecretLabel is all that the secret is wrapped for. A client secret goes to the
// authority and the token it gets to the base URL, which must therefore be as it was
// too: else whoever could change it would be sent tokens. An API key and a client
// secret never pass for one another, since the places are not equally many.
func (p *Provider) SecretLabel() (envelope.Label, error) {
	l := envelope.Label{Purpose: envelope.PurposeCredential, Owner: p.Name}
	if p.Entra != nil {
		authority, err := origin(cmp.Or(p.Entra.Authority, DefaultAuthority))
		if err != nil {
			return l, fmt.Errorf("entra.authority %w", err)
		}
		l.Context = append(l.Context, authority)
	}
	base, err := origin(p.BaseURL)
	if err != nil {
		return l, fmt.Errorf("base_url %w", err)
	}
	l.Context = append(l.Context, base)
	return l, nil
}

func origin(address string) (string, error) {
	u, err := ParseBaseURL(address)
	if err != nil {
		return "", err
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	return u.Scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), port), nil
}
