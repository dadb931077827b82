package envelope

import (
	"bytes"
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// KeyLength of every key here, in bytes.
const KeyLength = 32

// Errors of this package. ErrOpen carries no detail on purpose.
var (
	ErrOpen              = errors.New("sealed data cannot be opened")
	ErrUnknownKeyVersion = errors.New("unknown version of the master key")
	ErrMasterKey         = errors.New("the master key must be 32 random bytes as 64 hex digits or as base64; make one with: openssl rand -hex 32")
)

// Purpose keeps keys for different uses apart.
type Purpose string

// What the master key protects.
const (
	PurposeTenant     Purpose = "tenant"        // the data keys of a tenant
	PurposeAPIKey     Purpose = "apikey-pepper" // the secret that API keys are hashed with
	PurposeCredential Purpose = "provider-cred" // what a provider is paid with
)

// Label says what a wrapped key is for and whose it is. What was wrapped under one
// label opens under no other.
type Label struct {
	Purpose Purpose
	Owner   string   // the tenant or provider; empty: the installation
	Context []string // all else the key depends on, such as where it may be sent
}

// Wrapper protects keys with one that never leaves it. A [Ring] is one; a key
// management service could be another.
type Wrapper interface {
	// Wrap protects a key with the active version.
	Wrap(ctx context.Context, l Label, key []byte) (Wrapped, error)
	// Unwrap gives the key back; ErrUnknownKeyVersion where its version is not there,
	// ErrOpen for any other label, changed bytes included.
	Unwrap(ctx context.Context, l Label, w Wrapped) ([]byte, error)
	// Active is the version that Wrap uses.
	Active() uint32
	// Versions are those that Unwrap has, in order.
	Versions() []uint32
}

// Wrapped is a key that only its Wrapper can read.
type Wrapped struct {
	MasterVersion uint32 `json:"master_version"`
	IV            []byte `json:"iv"`         // 12 bytes
	Ciphertext    []byte `json:"ciphertext"` // with the 16-byte tag at its end
}

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

// Ring holds the master keys by version. The highest wraps, every one unwraps.
type Ring struct {
	active uint32
	keys   map[uint32][]byte
}

var _ Wrapper = (*Ring)(nil)

// NewRing takes master keys in text form by version, which counts from 1. Its error
// names every key that is wrong, and none of them shows.
func NewRing(texts map[uint32]string) (*Ring, error) {
	if len(texts) == 0 {
		return nil, fmt.Errorf("%w (it is not set)", ErrMasterKey)
	}
	r := &Ring{keys: make(map[uint32][]byte, len(texts))}
	var faults []error
	for _, version := range slices.Sorted(maps.Keys(texts)) {
		key, err := ParseMasterKey(texts[version])
		switch {
		case version == 0:
			faults = append(faults, fmt.Errorf("version 0: %w (versions count from 1)", ErrMasterKey))
			continue
		case err != nil:
			faults = append(faults, fmt.Errorf("version %d: %w", version, err))
			continue
		}
		for _, other := range slices.Sorted(maps.Keys(r.keys)) {
			if bytes.Equal(r.keys[other], key) {
				faults = append(faults, fmt.Errorf("%w (versions %d and %d are the same key)", ErrMasterKey, other, version))
			}
		}
		r.keys[version], r.active = key, version
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return r, nil
}

// Active is the version that wraps: the highest.
func (r *Ring) Active() uint32 { return r.active }

// Versions are those that can be unwrapped, in order.
func (r *Ring) Versions() []uint32 { return slices.Sorted(maps.Keys(r.keys)) }

// Wrap protects a key with the active master key.
func (r *Ring) Wrap(_ context.Context, l Label, key []byte) (Wrapped, error) {
	kek, err := r.derive(r.active, l)
	if err != nil {
		return Wrapped{}, err
	}
	aead, err := newAEAD(kek)
	if err != nil {
		return Wrapped{}, err
	}
	iv, ciphertext := seal(aead, key, wrapAAD(l, r.active))
	return Wrapped{MasterVersion: r.active, IV: iv, Ciphertext: ciphertext}, nil
}

// Unwrap gives a key back that any version of the ring has wrapped.
func (r *Ring) Unwrap(_ context.Context, l Label, w Wrapped) ([]byte, error) {
	kek, err := r.derive(w.MasterVersion, l)
	if err != nil {
		return nil, err
	}
	aead, err := newAEAD(kek)
	if err != nil {
		return nil, err
	}
	return open(aead, w.IV, w.Ciphertext, wrapAAD(l, w.MasterVersion))
}

// derive makes the key that wraps: of a version of the master key, a purpose and an
// owner. The same three always give the same key.
func (r *Ring) derive(version uint32, l Label) ([]byte, error) {
	master, ok := r.keys[version]
	if !ok {
		return nil, fmt.Errorf("%w: %d", ErrUnknownKeyVersion, version)
	}
	key, err := hkdf.Key(sha256.New, master, nil, string(prefixed("loom/v1", string(l.Purpose), l.Owner)), KeyLength)
	if err != nil {
		return nil, fmt.Errorf("derive %s key: %w", l.Purpose, err)
	}
	return key, nil
}

func wrapAAD(l Label, version uint32) []byte {
	return prefixed(append([]string{string(l.Purpose), l.Owner, strconv.FormatUint(uint64(version), 10)}, l.Context...)...)
}

// prefixed joins fields, the length of each before it: no two lists of fields come to
// the same bytes.
func prefixed(fields ...string) []byte {
	n := 0
	for _, f := range fields {
		n += len(f) + binary.MaxVarintLen16
	}
	b := make([]byte, 0, n)
	for _, f := range fields {
		b = binary.AppendUvarint(b, uint64(len(f)))
		b = append(b, f...)
	}
	return b
}
