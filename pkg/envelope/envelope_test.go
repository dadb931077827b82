package envelope_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"loom.internal/pkg/envelope"
)

var masterKey = strings.Repeat("0123456789abcdef", 4)

func ring(tb testing.TB) *envelope.Ring {
	tb.Helper()
	r, err := envelope.SingleRing(masterKey)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

var ref = envelope.Ref{TenantID: "acme", TraceID: "0192f0c1-8f7a-7c3b-9d2e-5a4b3c2d1e0f", Field: envelope.FieldRequest}

func TestParseMasterKey(t *testing.T) {
	t.Parallel()
	want, err := hex.DecodeString(masterKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]string{
		"hex": masterKey, "hex in capitals": strings.ToUpper(masterKey),
		"base64": base64.StdEncoding.EncodeToString(want), "base64 without padding": base64.RawURLEncoding.EncodeToString(want),
	} {
		if got, err := envelope.ParseMasterKey(s); !bytes.Equal(got, want) || err != nil {
			t.Errorf("%s: %x, %v", name, got, err)
		}
	}
	for name, s := range map[string]string{
		"missing": "", "short": masterKey[:62], "long": masterKey + "00", "not hex": strings.Repeat("g", 64), "odd": masterKey[:63],
		"all zero": strings.Repeat("0", 64), "all alike": strings.Repeat("ab", 32), "a passphrase": "correct horse battery staple",
	} {
		_, err := envelope.ParseMasterKey(s)
		if !errors.Is(err, envelope.ErrMasterKey) {
			t.Errorf("%s: %v, want ErrMasterKey", name, err)
		}
		if s != "" && strings.Contains(fmt.Sprint(err), s) {
			t.Errorf("%s: the error repeats the key: %v", name, err)
		}
	}
}

func TestNewRingRefuses(t *testing.T) {
	t.Parallel()
	k1, k2 := bytes.Repeat([]byte{1, 2}, 16), bytes.Repeat([]byte{3, 4}, 16)
	for name, tt := range map[string]struct {
		keys   map[uint32][]byte
		active uint32
		want   error
	}{
		"no key":          {nil, 1, envelope.ErrUnknownKeyVersion},
		"active missing":  {map[uint32][]byte{1: k1}, 2, envelope.ErrUnknownKeyVersion},
		"version 0":       {map[uint32][]byte{0: k1}, 0, envelope.ErrMasterKey},
		"wrong length":    {map[uint32][]byte{1: k1[:31]}, 1, envelope.ErrMasterKey},
		"same key doubly": {map[uint32][]byte{1: k1, 2: k2, 3: k1}, 1, envelope.ErrMasterKey},
	} {
		if _, err := envelope.NewRing(tt.keys, tt.active); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

func TestDeriveIsDeterministicAndApart(t *testing.T) {
	t.Parallel()
	derive := func(purpose envelope.Purpose, context ...string) string {
		key, err := ring(t).Derive(1, purpose, context...)
		if err != nil || len(key) != envelope.KeyLength {
			t.Fatalf("derive: %d bytes, %v", len(key), err)
		}
		return string(key)
	}
	if first, again := derive(envelope.PurposeBody, "acme"), derive(envelope.PurposeBody, "acme"); first != again {
		t.Error("the same tenant got two keys")
	}
	seen := map[string]string{}
	for _, fields := range [][]string{{"body", "acme"}, {"body", "acm", "e"}, {"body", "acmf"}, {"body"}, {"bodya", "cme"}, {"provider-cred", "acme"}, {"body", "", "acme"}} {
		key := derive(envelope.Purpose(fields[0]), fields[1:]...)
		if other, ok := seen[key]; ok {
			t.Errorf("%q and %s share a key", fields, other)
		}
		seen[key] = fmt.Sprintf("%q", fields)
	}
	if _, err := ring(t).Derive(2, envelope.PurposeBody); !errors.Is(err, envelope.ErrUnknownKeyVersion) {
		t.Errorf("unknown version: %v", err)
	}
}

func TestSealOpen(t *testing.T) {
	t.Parallel()
	big := make([]byte, 3<<20)
	if _, err := rand.Read(big); err != nil {
		t.Fatal(err)
	}
	for name, plain := range map[string][]byte{
		"empty": {}, "one byte": {0}, "text": []byte(`{"role":"user"}`), "not ASCII": []byte("žluťoučký 🐎 \u0000 \xff"), "over a megabyte": big,
	} {
		s, err := ring(t).Seal(ref, plain)
		if err != nil {
			t.Fatal(err)
		}
		if len(s.IV) != 12 || len(s.Ciphertext) != len(plain)+16 || s.PlainLen != int64(len(plain)) || s.KeyVersion != 1 {
			t.Errorf("%s: iv %d, ciphertext %d, length %d, version %d", name, len(s.IV), len(s.Ciphertext), s.PlainLen, s.KeyVersion)
		}
		if len(plain) > 4 && bytes.Contains(s.Ciphertext, plain) {
			t.Errorf("%s: the ciphertext holds the plaintext", name)
		}
		got, err := ring(t).Open(ref, s)
		if err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%s: opened %d bytes, %v", name, len(got), err)
		}
	}
}

func TestSealTwiceDiffers(t *testing.T) {
	t.Parallel()
	a, err := ring(t).Seal(ref, []byte("same"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := ring(t).Seal(ref, []byte("same"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(a.IV, b.IV) || bytes.Equal(a.Ciphertext, b.Ciphertext) {
		t.Error("the same body sealed twice looks the same")
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	plain := []byte("a secret of acme")
	flip := func(b []byte, i int) []byte {
		b = bytes.Clone(b)
		b[i] ^= 1
		return b
	}
	for name, tt := range map[string]struct {
		ref   envelope.Ref
		spoil func(*envelope.Sealed)
		want  error
	}{
		"another tenant":      {ref: envelope.Ref{TenantID: "other", TraceID: ref.TraceID, Field: ref.Field}},
		"another trace":       {ref: envelope.Ref{TenantID: ref.TenantID, TraceID: "x", Field: ref.Field}},
		"request as response": {ref: envelope.Ref{TenantID: ref.TenantID, TraceID: ref.TraceID, Field: envelope.FieldResponse}},
		"first bit":           {spoil: func(s *envelope.Sealed) { s.Ciphertext = flip(s.Ciphertext, 0) }},
		"tag bit":             {spoil: func(s *envelope.Sealed) { s.Ciphertext = flip(s.Ciphertext, len(s.Ciphertext)-1) }},
		"iv bit":              {spoil: func(s *envelope.Sealed) { s.IV = flip(s.IV, 3) }},
		"iv short":            {spoil: func(s *envelope.Sealed) { s.IV = s.IV[:11] }},
		"cut":                 {spoil: func(s *envelope.Sealed) { s.Ciphertext = s.Ciphertext[:len(s.Ciphertext)-1] }},
		"empty":               {spoil: func(s *envelope.Sealed) { s.Ciphertext = nil }},
		"length lies":         {spoil: func(s *envelope.Sealed) { s.PlainLen++ }},
		"digest lies":         {spoil: func(s *envelope.Sealed) { s.SHA256[0] ^= 1 }},
		"codec lies":          {spoil: func(s *envelope.Sealed) { s.Codec = 1 }},
		"suite lies":          {spoil: func(s *envelope.Sealed) { s.Suite = 2 }},
		"unknown key version": {spoil: func(s *envelope.Sealed) { s.KeyVersion = 7 }, want: envelope.ErrUnknownKeyVersion},
	} {
		s, err := ring(t).Seal(ref, plain)
		if err != nil {
			t.Fatal(err)
		}
		if tt.spoil != nil {
			tt.spoil(&s)
		}
		if tt.ref == (envelope.Ref{}) {
			tt.ref = ref
		}
		if tt.want == nil {
			tt.want = envelope.ErrOpen
		}
		if got, err := ring(t).Open(tt.ref, s); !errors.Is(err, tt.want) || got != nil {
			t.Errorf("%s: %q, %v; want %v and nothing", name, got, err, tt.want)
		}
	}
}

// No single changed byte of a sealed body goes unnoticed.
func TestEveryByteCounts(t *testing.T) {
	t.Parallel()
	s, err := ring(t).Seal(ref, []byte("thirty-two bytes of plain text.."))
	if err != nil {
		t.Fatal(err)
	}
	joined := append(bytes.Clone(s.IV), s.Ciphertext...)
	for i := range joined {
		for bit := range 8 {
			changed := bytes.Clone(joined)
			changed[i] ^= 1 << bit
			m := s
			m.IV, m.Ciphertext = changed[:12], changed[12:]
			if _, err := ring(t).Open(ref, m); !errors.Is(err, envelope.ErrOpen) {
				t.Fatalf("byte %d bit %d: %v", i, bit, err)
			}
		}
	}
}

func TestRotatedRingOpensOldBodies(t *testing.T) {
	t.Parallel()
	old, err := ring(t).Seal(ref, []byte("from before"))
	if err != nil {
		t.Fatal(err)
	}
	k1, err := envelope.ParseMasterKey(masterKey)
	if err != nil {
		t.Fatal(err)
	}
	rotated, err := envelope.NewRing(map[uint32][]byte{1: k1, 2: bytes.Repeat([]byte{9, 8}, 16)}, 2)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := rotated.Open(ref, old); string(got) != "from before" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	fresh, err := rotated.Seal(ref, []byte("from after"))
	if err != nil || fresh.KeyVersion != 2 {
		t.Errorf("sealed with version %d, %v", fresh.KeyVersion, err)
	}
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	s, err := ring(t).SealSecret([]byte("sk-upstream"), "openai", "https://api.openai.com:443")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ring(t).OpenSecret(s, "openai", "https://api.openai.com:443"); string(got) != "sk-upstream" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := ring(t).OpenSecret(s, "openai", "https://evil.example:443"); !errors.Is(err, envelope.ErrOpen) {
		t.Errorf("another origin: %v, want ErrOpen", err)
	}
}

func TestSealConcurrently(t *testing.T) {
	t.Parallel()
	r := ring(t)
	var (
		wg  sync.WaitGroup
		mu  sync.Mutex
		ivs = map[string]bool{}
	)
	for range 8 {
		wg.Go(func() {
			for range 500 {
				s, err := r.Seal(ref, []byte("the same content"))
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := r.Open(ref, s); string(got) != "the same content" || err != nil {
					t.Errorf("%q, %v", got, err)
				}
				mu.Lock()
				ivs[string(s.IV)] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(ivs) != 4000 {
		t.Errorf("%d different IVs in 4000 seals", len(ivs))
	}
}

func BenchmarkSeal(b *testing.B) {
	for _, size := range []int{2 << 10, 10 << 10, 100 << 10} {
		plain := make([]byte, size)
		b.Run(fmt.Sprintf("trace/%dK", size>>10), func(b *testing.B) {
			r := ring(b)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Seal(ref, plain); err != nil {
					b.Fatal(err)
				}
			}
		})
		// The floor: the cipher alone, with one key and one buffer.
		b.Run(fmt.Sprintf("aes-gcm/%dK", size>>10), func(b *testing.B) {
			block, err := aes.NewCipher(make([]byte, 32))
			if err != nil {
				b.Fatal(err)
			}
			aead, err := cipher.NewGCM(block)
			if err != nil {
				b.Fatal(err)
			}
			nonce, out := make([]byte, 12), make([]byte, 0, size+16)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				out = aead.Seal(out[:0], nonce, plain, nil)
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	r := ring(b)
	s, err := r.Seal(ref, make([]byte, 10<<10))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(10 << 10)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Open(ref, s); err != nil {
			b.Fatal(err)
		}
	}
}
