package tenant

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"hash/crc32"
	"math/big"
	"strings"
)

// The text form of an API key:
//
//	loom_sk_<id: 8><secret: 32><crc32: 6>      a tenant's
//	loom_adm_<id: 8><secret: 32><crc32: 6>     an operator's
//
// Id, secret and checksum are base62, so that a double click selects the whole key.
// The checksum lets a mistyped or made-up key be refused without a look-up.
const (
	TenantPrefix = "loom_sk_"
	AdminPrefix  = "loom_adm_"

	idLength       = 8
	secretLength   = 32
	checksumLength = 6
	alphabet       = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// KeyText is an API key in clear. It prints as its prefix and id only.
type KeyText struct {
	prefix, id string
	text       string
}

// NewKeyText makes a key of that prefix from 190 random bits.
func NewKeyText(prefix string) (KeyText, error) {
	body, err := randomText(idLength + secretLength)
	if err != nil {
		return KeyText{}, err
	}
	return KeyText{prefix: prefix, id: body[:idLength], text: prefix + body + checksum(prefix+body)}, nil
}

// ParseKeyText reads a key that a client sent. Every fault is ErrUnauthorized.
func ParseKeyText(s string) (KeyText, error) {
	for _, prefix := range []string{TenantPrefix, AdminPrefix} {
		body, ok := strings.CutPrefix(s, prefix)
		if !ok {
			continue
		}
		if len(body) != idLength+secretLength+checksumLength {
			return KeyText{}, ErrUnauthorized
		}
		split := len(s) - checksumLength
		for i := range len(body) {
			if strings.IndexByte(alphabet, body[i]) < 0 {
				return KeyText{}, ErrUnauthorized
			}
		}
		if checksum(s[:split]) != s[split:] {
			return KeyText{}, ErrUnauthorized
		}
		return KeyText{prefix: prefix, id: body[:idLength], text: s}, nil
	}
	return KeyText{}, ErrUnauthorized
}

// ID is the key's public id: 8 base62 digits.
func (k KeyText) ID() string { return k.id }

// Admin reports whether it is an operator's key.
func (k KeyText) Admin() bool { return k.prefix == AdminPrefix }

// Last4 is what listings show of the key.
func (k KeyText) Last4() string { return k.text[max(0, len(k.text)-4):] }

// Reveal is the whole key: to be shown once, never stored or logged.
func (k KeyText) Reveal() string { return k.text }

// String hides the secret.
func (k KeyText) String() string { return k.prefix + k.id + "…" }

// GoString hides the secret.
func (k KeyText) GoString() string { return k.String() }

// Hash is what is stored and looked up instead of the key.
type Hash [sha256.Size]byte

// Hasher turns keys into hashes with a secret pepper, so that a stolen table of
// hashes cannot be tried against guesses.
type Hasher struct{ pepper []byte }

// NewHasher takes a pepper of at least 32 bytes.
func NewHasher(pepper []byte) (*Hasher, error) {
	if len(pepper) < sha256.Size {
		return nil, fmt.Errorf("pepper of %d bytes: at least %d needed", len(pepper), sha256.Size)
	}
	return &Hasher{pepper: append([]byte(nil), pepper...)}, nil
}

// Hash is HMAC-SHA256(pepper, the whole key).
func (h *Hasher) Hash(k KeyText) Hash {
	mac := hmac.New(sha256.New, h.pepper)
	mac.Write([]byte(k.text))
	return Hash(mac.Sum(nil))
}

func randomText(n int) (string, error) {
	limit := big.NewInt(int64(len(alphabet)))
	b := make([]byte, n)
	for i := range b {
		d, err := rand.Int(rand.Reader, limit)
		if err != nil {
			return "", fmt.Errorf("random key: %w", err)
		}
		b[i] = alphabet[d.Int64()]
	}
	return string(b), nil
}

func checksum(s string) string {
	sum := crc32.ChecksumIEEE([]byte(s))
	b := make([]byte, checksumLength)
	for i := checksumLength - 1; i >= 0; i-- {
		b[i] = alphabet[sum%uint32(len(alphabet))]
		sum /= uint32(len(alphabet))
	}
	return string(b)
}
