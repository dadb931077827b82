// Package envelope seals bodies and secrets so that only a holder of the master key
// can read them.
//
//	master key v ─HKDF(purpose, tenant)─▶ tenant key ─HKDF(trace)─▶ trace key ─AES-256-GCM─▶ body
//
// Derivation is deterministic: the same master key and tenant always give the same
// tenant key. Every field that enters a derivation or the associated data is
// length-prefixed, so no two different inputs can run together into the same bytes.
package envelope

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
)

// KeyLength of every key here, in bytes.
const KeyLength = 32

// Errors of this package. ErrOpen carries no detail on purpose.
var (
	ErrOpen              = errors.New("sealed data cannot be opened")
	ErrUnknownKeyVersion = errors.New("unknown master key version")
	ErrMasterKey         = errors.New("ENCRYPTION_MASTER_KEY must be 32 random bytes as 64 hex digits or as base64; make one with: openssl rand -hex 32")
)

// Purpose keeps keys for different uses apart.
type Purpose string

// What keys are derived for.
const (
	PurposeBody       Purpose = "body"
	PurposeAPIKey     Purpose = "apikey-pepper"
	PurposeCredential Purpose = "provider-cred"
)

// ParseMasterKey reads a master key: 32 bytes as hex or base64 (standard or URL
// alphabet, padded or not), not all alike. The error is ErrMasterKey and never holds
// the key.
func ParseMasterKey(s string) ([]byte, error) {
	for _, decode := range []func(string) ([]byte, error){
		hex.DecodeString,
		base64.StdEncoding.DecodeString, base64.RawStdEncoding.DecodeString,
		base64.URLEncoding.DecodeString, base64.RawURLEncoding.DecodeString,
	} {
		key, err := decode(s)
		if err != nil || len(key) != KeyLength {
			continue
		}
		if bytes.Count(key, key[:1]) == len(key) {
			return nil, fmt.Errorf("%w (every byte of this one is the same)", ErrMasterKey)
		}
		return key, nil
	}
	if s == "" {
		return nil, fmt.Errorf("%w (it is not set)", ErrMasterKey)
	}
	return nil, fmt.Errorf("%w (this one has %d characters that do not decode to 32 bytes)", ErrMasterKey, len(s))
}

// Ring holds the master keys by version. The active one seals, every one opens.
type Ring struct {
	active uint32
	keys   map[uint32][]byte
}

// NewRing takes master keys of 32 bytes by version (from 1) and the version that seals.
func NewRing(keys map[uint32][]byte, active uint32) (*Ring, error) {
	r := &Ring{active: active, keys: make(map[uint32][]byte, len(keys))}
	for version, key := range keys {
		if version == 0 || len(key) != KeyLength {
			return nil, fmt.Errorf("%w (version %d has %d bytes)", ErrMasterKey, version, len(key))
		}
		for other, known := range r.keys {
			if bytes.Equal(known, key) {
				return nil, fmt.Errorf("%w (versions %d and %d are the same key)", ErrMasterKey, min(version, other), max(version, other))
			}
		}
		r.keys[version] = bytes.Clone(key)
	}
	if _, ok := r.keys[active]; !ok {
		return nil, fmt.Errorf("%w: %d is to seal but is not given", ErrUnknownKeyVersion, active)
	}
	return r, nil
}

// SingleRing is the ring of one master key in text form, as version 1.
func SingleRing(masterKey string) (*Ring, error) {
	key, err := ParseMasterKey(masterKey)
	if err != nil {
		return nil, err
	}
	return NewRing(map[uint32][]byte{1: key}, 1)
}

// Active is the version that seals.
func (r *Ring) Active() uint32 { return r.active }

// Derive makes the key of a purpose and its context (such as a tenant id) from the
// master key of that version.
func (r *Ring) Derive(version uint32, purpose Purpose, context ...string) ([]byte, error) {
	master, ok := r.keys[version]
	if !ok {
		return nil, fmt.Errorf("%w: %d", ErrUnknownKeyVersion, version)
	}
	info := lengthPrefixed(append([]string{"loom/v1", string(purpose)}, context...)...)
	key, err := hkdf.Key(sha256.New, master, nil, string(info), KeyLength)
	if err != nil {
		return nil, fmt.Errorf("derive %s key: %w", purpose, err)
	}
	return key, nil
}

// Pepper is the secret API keys are hashed with. It belongs to version 1 for good:
// stored hashes could not follow a rotation.
func (r *Ring) Pepper() ([]byte, error) { return r.Derive(1, PurposeAPIKey) }

func lengthPrefixed(fields ...string) []byte {
	var b []byte
	for _, f := range fields {
		b = binary.AppendUvarint(b, uint64(len(f)))
		b = append(b, f...)
	}
	return b
}
