package envelope

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"strconv"
)

// SuiteAES256GCM is AES-256-GCM under a key of the trace. A sealed value names its
// suite, so that a later one can be told apart.
const SuiteAES256GCM uint8 = 1

// MaxPlain is the longest body, in bytes, that is sealed or opened.
const MaxPlain = 16 << 20

// ErrTooLarge is of a body over MaxPlain.
var ErrTooLarge = errors.New("body is too large to be sealed")

const (
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

// Sealed is a body that only a holder of the tenant's data key can read.
type Sealed struct {
	Ciphertext []byte // with the 16-byte tag at its end; never shorter than that
	IV         []byte // 12 bytes, random for every seal
	Suite      uint8
	Codec      Codec
	Epoch      uint32 // of the data key
	PlainLen   int64  // bytes before compression
}

// Seal encrypts a body of the trace. An empty body is sealed like any other. With Zstd
// it is compressed first if that makes it notably shorter.
func (t *TraceKey) Seal(field Field, plaintext []byte, codec Codec) (Sealed, error) {
	if len(plaintext) > MaxPlain {
		return Sealed{}, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(plaintext), MaxPlain)
	}
	s := Sealed{Suite: SuiteAES256GCM, Epoch: t.epoch, PlainLen: int64(len(plaintext))}
	s.Codec, plaintext = compress(codec, plaintext)
	s.IV, s.Ciphertext = seal(t.aead, plaintext, t.aad(field, s))
	return s, nil
}

// Open decrypts a body of the trace. Whatever does not fit (another place, changed
// bytes, a length or codec that lies) is ErrOpen.
func (t *TraceKey) Open(field Field, s Sealed) ([]byte, error) {
	if s.Suite != SuiteAES256GCM || s.Epoch != t.epoch || s.PlainLen < 0 || s.PlainLen > MaxPlain {
		return nil, ErrOpen
	}
	plaintext, err := open(t.aead, s.IV, s.Ciphertext, t.aad(field, s))
	if err != nil {
		return nil, err
	}
	return decompress(s.Codec, plaintext, s.PlainLen)
}

func (t *TraceKey) aad(field Field, s Sealed) []byte {
	return prefixed(strconv.Itoa(int(s.Suite)), t.tenant, t.trace, string(field),
		strconv.FormatUint(uint64(s.Epoch), 10), strconv.Itoa(int(s.Codec)))
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

func seal(aead cipher.AEAD, plaintext, aad []byte) (iv, ciphertext []byte) {
	//nolint:gosec // no nonce is passed: this AEAD makes a random one for each call
	out := aead.Seal(make([]byte, 0, len(plaintext)+aead.Overhead()), nil, plaintext, aad)
	return out[:ivLength:ivLength], out[ivLength:]
}

func open(aead cipher.AEAD, iv, ciphertext, aad []byte) ([]byte, error) {
	if len(iv) != ivLength || len(ciphertext) < tagLength {
		return nil, ErrOpen
	}
	joined := append(append(make([]byte, 0, ivLength+len(ciphertext)), iv...), ciphertext...)
	plaintext, err := aead.Open(nil, nil, joined, aad)
	if err != nil {
		return nil, ErrOpen
	}
	if plaintext == nil {
		plaintext = []byte{} // empty is not absent
	}
	return plaintext, nil
}
