package envelope

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"strconv"
)

// Suites and codecs a sealed value names, so that later ones can be told apart.
const (
	SuiteAES256GCM uint8 = 1
	CodecIdentity  uint8 = 0

	ivLength  = 12
	tagLength = 16
)

// Field is which body of a trace is meant. It is bound into the seal: a request
// cannot be passed off as a response.
type Field string

// The bodies of a trace.
const (
	FieldRequest  Field = "request"
	FieldResponse Field = "response"
)

// Ref is the place a body belongs to. What was sealed for one place opens for no other.
type Ref struct {
	TenantID string
	TraceID  string
	Field    Field
}

// Sealed is a value that only a holder of the key can read.
type Sealed struct {
	Ciphertext []byte // with the 16-byte tag at its end; never shorter than that
	IV         []byte // 12 bytes, random for every seal
	Suite      uint8
	Codec      uint8
	KeyVersion uint32 // of the master key
	PlainLen   int64
	SHA256     [sha256.Size]byte // of Ciphertext
}

// Seal encrypts a body for its place. An empty body is sealed like any other.
func (r *Ring) Seal(ref Ref, plaintext []byte) (Sealed, error) {
	aead, err := r.traceAEAD(r.active, ref)
	if err != nil {
		return Sealed{}, err
	}
	return r.seal(aead, plaintext, bodyAAD(ref, SuiteAES256GCM, CodecIdentity, r.active)), nil
}

// Open decrypts a body sealed for ref. Anything that does not fit (another place,
// changed bytes, a length or digest that lies) is ErrOpen; a key that is not in the
// ring is ErrUnknownKeyVersion.
func (r *Ring) Open(ref Ref, s Sealed) ([]byte, error) {
	if s.Suite != SuiteAES256GCM || s.Codec != CodecIdentity {
		return nil, ErrOpen
	}
	digest := sha256.Sum256(s.Ciphertext)
	if subtle.ConstantTimeCompare(digest[:], s.SHA256[:]) != 1 {
		return nil, ErrOpen
	}
	aead, err := r.traceAEAD(s.KeyVersion, ref)
	if err != nil {
		return nil, err
	}
	plaintext, err := open(aead, s, bodyAAD(ref, s.Suite, s.Codec, s.KeyVersion))
	if err != nil || int64(len(plaintext)) != s.PlainLen {
		return nil, ErrOpen
	}
	return plaintext, nil
}

// SealSecret encrypts a short secret (a provider's key) for the place that context
// names. Context must hold everything the secret is good for, such as the origin it
// is sent to: a change of any part makes the secret unreadable.
func (r *Ring) SealSecret(plaintext []byte, context ...string) (Sealed, error) {
	aead, err := r.secretAEAD(r.active, context)
	if err != nil {
		return Sealed{}, err
	}
	return r.seal(aead, plaintext, lengthPrefixed(context...)), nil
}

// OpenSecret decrypts what SealSecret made with the same context; else ErrOpen.
func (r *Ring) OpenSecret(s Sealed, context ...string) ([]byte, error) {
	aead, err := r.secretAEAD(s.KeyVersion, context)
	if err != nil {
		return nil, err
	}
	return open(aead, s, lengthPrefixed(context...))
}

func (r *Ring) traceAEAD(version uint32, ref Ref) (cipher.AEAD, error) {
	tenantKey, err := r.Derive(version, PurposeBody, ref.TenantID)
	if err != nil {
		return nil, err
	}
	defer clear(tenantKey)
	traceKey, err := hkdf.Expand(sha256.New, tenantKey, string(lengthPrefixed("trace", ref.TraceID)), KeyLength)
	if err != nil {
		return nil, fmt.Errorf("derive trace key: %w", err)
	}
	return newAEAD(traceKey)
}

func (r *Ring) secretAEAD(version uint32, context []string) (cipher.AEAD, error) {
	key, err := r.Derive(version, PurposeCredential, context...)
	if err != nil {
		return nil, err
	}
	return newAEAD(key)
}

// newAEAD makes the cipher and wipes the key.
func newAEAD(key []byte) (cipher.AEAD, error) {
	defer clear(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("AES: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("GCM: %w", err)
	}
	return aead, nil
}

func (r *Ring) seal(aead cipher.AEAD, plaintext, aad []byte) Sealed {
	//nolint:gosec // no nonce is passed: this AEAD makes a random one for each call
	out := aead.Seal(make([]byte, 0, len(plaintext)+aead.Overhead()), nil, plaintext, aad)
	s := Sealed{
		IV: out[:ivLength:ivLength], Ciphertext: out[ivLength:],
		Suite: SuiteAES256GCM, Codec: CodecIdentity, KeyVersion: r.active, PlainLen: int64(len(plaintext)),
	}
	s.SHA256 = sha256.Sum256(s.Ciphertext)
	return s
}

func open(aead cipher.AEAD, s Sealed, aad []byte) ([]byte, error) {
	if len(s.IV) != ivLength || len(s.Ciphertext) < tagLength {
		return nil, ErrOpen
	}
	joined := append(append(make([]byte, 0, ivLength+len(s.Ciphertext)), s.IV...), s.Ciphertext...)
	plaintext, err := aead.Open(nil, nil, joined, aad)
	if err != nil {
		return nil, ErrOpen
	}
	return plaintext, nil
}

func bodyAAD(ref Ref, suite, codec uint8, version uint32) []byte {
	return lengthPrefixed(strconv.Itoa(int(suite)), ref.TenantID, ref.TraceID, string(ref.Field),
		strconv.FormatUint(uint64(version), 10), strconv.Itoa(int(codec)))
}
