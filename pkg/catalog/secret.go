package catalog

import (
	"cmp"
	"fmt"
	"net"
	"strings"

	"loom.internal/pkg/envelope"
)

// DefaultAuthority is where an application of Entra signs in that names no other place.
const DefaultAuthority = "https://login.microsoftonline.com"

// Secret is a provider's API key or client secret, sealed for the provider's name and
// every origin that it, or a token got with it, is sent to.
type Secret struct {
	Ciphertext []byte `json:"ciphertext"`
	IV         []byte `json:"iv"`
	KeyVersion uint32 `json:"key_version"`
}

// SealSecret seals the API key of a provider that sends it to its base URL.
func SealSecret(ring *envelope.Ring, name, baseURL, secret string) (*Secret, error) {
	return (&Provider{Name: name, BaseURL: baseURL}).SealSecret(ring, secret)
}

// SealSecret seals a secret for the provider. It opens again only for the same name
// and the same scheme, host and port of each place it goes to: a changed base URL or
// authority makes it useless.
func (p *Provider) SealSecret(ring *envelope.Ring, secret string) (*Secret, error) {
	places, err := p.secretGoesTo()
	if err != nil {
		return nil, err
	}
	s, err := ring.SealSecret([]byte(secret), places...)
	if err != nil {
		return nil, err
	}
	return &Secret{Ciphertext: s.Ciphertext, IV: s.IV, KeyVersion: s.KeyVersion}, nil
}

// OpenSecret gives the provider's secret; empty if it has none.
func (p *Provider) OpenSecret(ring *envelope.Ring) (string, error) {
	if p.Secret == nil {
		return "", nil
	}
	places, err := p.secretGoesTo()
	if err != nil {
		return "", err
	}
	s := envelope.Sealed{Ciphertext: p.Secret.Ciphertext, IV: p.Secret.IV, KeyVersion: p.Secret.KeyVersion}
	plain, err := ring.OpenSecret(s, places...)
	if err != nil {
		return "", fmt.Errorf("secret of provider %s: %w", p.Name, err)
	}
	return string(plain), nil
}

// secretGoesTo is all that the secret is sealed for. A client secret goes to the
// authority and the token it gets to the base URL, which must therefore be as it was
// too: else whoever could change it would be sent tokens. An API key and a client
// secret never pass for one another, since the places are not equally many.
func (p *Provider) secretGoesTo() ([]string, error) {
	places := []string{p.Name}
	if p.Entra != nil {
		authority, err := origin(cmp.Or(p.Entra.Authority, DefaultAuthority))
		if err != nil {
			return nil, fmt.Errorf("entra.authority %w", err)
		}
		places = append(places, authority)
	}
	base, err := origin(p.BaseURL)
	if err != nil {
		return nil, fmt.Errorf("base_url %w", err)
	}
	return append(places, base), nil
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
