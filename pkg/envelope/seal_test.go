package envelope_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	mathrand "math/rand/v2"
	"strings"
	"sync"
	"testing"

	"loom.internal/pkg/envelope"
)

const traceID = "0192f0c1-8f7a-7c3b-9d2e-5a4b3c2d1e0f"

func traceKey(tb testing.TB, k *envelope.DataKey, trace string) *envelope.TraceKey {
	tb.Helper()
	key, err := k.Trace(trace)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func sealed(tb testing.TB, k *envelope.TraceKey, field envelope.Field, plain []byte, codec envelope.Codec) envelope.Sealed {
	tb.Helper()
	s, err := k.Seal(field, plain, codec)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

func TestSealOpen(t *testing.T) {
	t.Parallel()
	key := traceKey(t, envelope.NewDataKey("acme", 1), traceID)
	for name, plain := range map[string][]byte{
		"empty": {}, "one byte": {0}, "text": []byte(`{"role":"user"}`), "special": []byte("'\"\\;-- \x00\x7f\r\n\t${}<script>"),
		"not ASCII": []byte("žluťoučký 🐎 日本 \u0000 \xff"), "over a megabyte": randomBytes(3 << 20),
		"repeating": bytes.Repeat([]byte("over and over "), 1<<17), "the longest": make([]byte, envelope.MaxPlain),
	} {
		for _, codec := range []envelope.Codec{envelope.Identity, envelope.Zstd} {
			s := sealed(t, key, envelope.FieldRequest, plain, codec)
			if len(s.IV) != 12 || s.PlainLen != int64(len(plain)) || s.Epoch != 1 || s.Suite != envelope.SuiteAES256GCM {
				t.Errorf("%s: iv %d, length %d, epoch %d, suite %d", name, len(s.IV), s.PlainLen, s.Epoch, s.Suite)
			}
			if s.Codec == envelope.Identity && len(s.Ciphertext) != len(plain)+16 {
				t.Errorf("%s: %d bytes became %d", name, len(plain), len(s.Ciphertext))
			}
			if len(plain) > 8 && bytes.Contains(s.Ciphertext, plain[:8]) {
				t.Errorf("%s: the ciphertext holds the plaintext", name)
			}
			got, err := key.Open(envelope.FieldRequest, s)
			if err != nil || !bytes.Equal(got, plain) || got == nil {
				t.Errorf("%s: opened %d bytes, %v", name, len(got), err)
			}
		}
	}
	if _, err := key.Seal(envelope.FieldRequest, make([]byte, envelope.MaxPlain+1), envelope.Identity); !errors.Is(err, envelope.ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
}

// Every tenant's key is its own, and every seal of the same body looks different.
func TestSameBodyNeverLooksTheSame(t *testing.T) {
	t.Parallel()
	plain := []byte("the same body")
	acme := traceKey(t, envelope.NewDataKey("acme", 1), traceID)
	a, b := sealed(t, acme, envelope.FieldRequest, plain, envelope.Identity), sealed(t, acme, envelope.FieldRequest, plain, envelope.Identity)
	if bytes.Equal(a.IV, b.IV) || bytes.Equal(a.Ciphertext, b.Ciphertext) {
		t.Error("sealed twice, it looks the same")
	}
	for name, other := range map[string]*envelope.DataKey{
		"another tenant": envelope.NewDataKey("other", 1), "another life of the same tenant": envelope.NewDataKey("acme", 1),
	} {
		if got, err := traceKey(t, other, traceID).Open(envelope.FieldRequest, a); !errors.Is(err, envelope.ErrOpen) || got != nil {
			t.Errorf("%s opens it: %q, %v", name, got, err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	data := envelope.NewDataKey("acme", 3)
	wrapped, err := data.Wrap(t.Context(), ring(t))
	if err != nil {
		t.Fatal(err)
	}
	key := traceKey(t, data, traceID)
	plain := bytes.Repeat([]byte("a secret of acme; "), 100)
	for name, tt := range map[string]struct {
		key   *envelope.TraceKey
		field envelope.Field
		spoil func(*envelope.Sealed)
	}{
		"another trace":       {key: traceKey(t, data, "0192f0c1-8f7a-7c3b-9d2e-5a4b3c2d1e10")},
		"request as response": {field: envelope.FieldResponse},
		"another epoch":       {spoil: func(s *envelope.Sealed) { s.Epoch = 4 }},
		"iv short":            {spoil: func(s *envelope.Sealed) { s.IV = s.IV[:11] }},
		"iv long":             {spoil: func(s *envelope.Sealed) { s.IV = append(s.IV, 0) }},
		"cut at the end":      {spoil: func(s *envelope.Sealed) { s.Ciphertext = s.Ciphertext[:len(s.Ciphertext)-1] }},
		"cut at the front":    {spoil: func(s *envelope.Sealed) { s.Ciphertext = s.Ciphertext[1:] }},
		"shorter than a tag":  {spoil: func(s *envelope.Sealed) { s.Ciphertext = s.Ciphertext[:15] }},
		"empty":               {spoil: func(s *envelope.Sealed) { s.Ciphertext = nil }},
		"length lies":         {spoil: func(s *envelope.Sealed) { s.PlainLen++ }},
		"length negative":     {spoil: func(s *envelope.Sealed) { s.PlainLen = -1 }},
		"length beyond all":   {spoil: func(s *envelope.Sealed) { s.PlainLen = 1 << 60 }},
		"codec lies":          {spoil: func(s *envelope.Sealed) { s.Codec ^= 1 }},
		"unknown codec":       {spoil: func(s *envelope.Sealed) { s.Codec = 9 }},
		"suite lies":          {spoil: func(s *envelope.Sealed) { s.Suite = 2 }},
	} {
		for _, codec := range []envelope.Codec{envelope.Identity, envelope.Zstd} {
			s := sealed(t, key, envelope.FieldRequest, plain, codec)
			if tt.spoil != nil {
				tt.spoil(&s)
			}
			with, field := key, envelope.FieldRequest
			if tt.key != nil {
				with = tt.key
			}
			if tt.field != "" {
				field = tt.field
			}
			if got, err := with.Open(field, s); !errors.Is(err, envelope.ErrOpen) || got != nil {
				t.Errorf("%s: %d bytes, %v; want ErrOpen and nothing", name, len(got), err)
			}
		}
	}
	if _, err := wrapped.Unwrap(t.Context(), ring(t), "other"); !errors.Is(err, envelope.ErrOpen) {
		t.Errorf("a data key moved to another tenant: %v", err)
	}
	moved := wrapped
	moved.Epoch = 4
	if _, err := moved.Unwrap(t.Context(), ring(t), "acme"); !errors.Is(err, envelope.ErrOpen) {
		t.Errorf("a data key moved to another epoch: %v", err)
	}
	if got, err := wrapped.Unwrap(t.Context(), ringOf(t, map[uint32]string{2: secondKey}), "acme"); !errors.Is(err, envelope.ErrUnknownKeyVersion) || got != nil {
		t.Errorf("a data key of a version that is not there: %v", err)
	}
	back, err := wrapped.Unwrap(t.Context(), ring(t), "acme")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := traceKey(t, back, traceID).Open(envelope.FieldRequest, sealed(t, key, envelope.FieldRequest, plain, envelope.Zstd)); !bytes.Equal(got, plain) {
		t.Errorf("the unwrapped key opens %d bytes, %v", len(got), err)
	}
}

// A hundred thousand envelopes, each changed in one way or several, are all refused.
func TestMutatedEnvelopesAreRefused(t *testing.T) {
	t.Parallel()
	key := traceKey(t, envelope.NewDataKey("acme", 1), traceID)
	whole := []envelope.Sealed{
		sealed(t, key, envelope.FieldRequest, []byte("thirty-two bytes of plain text.."), envelope.Identity),
		sealed(t, key, envelope.FieldRequest, nil, envelope.Identity),
		sealed(t, key, envelope.FieldRequest, bytes.Repeat([]byte("compressed "), 99), envelope.Zstd),
	}
	r := mathrand.New(mathrand.NewPCG(5, 8))
	for i := range 100_000 {
		from := whole[i%len(whole)]
		s := from
		s.IV, s.Ciphertext = bytes.Clone(s.IV), bytes.Clone(s.Ciphertext)
		switch r.IntN(6) {
		case 0:
			s.IV[r.IntN(len(s.IV))] ^= 1 << r.IntN(8)
		case 1:
			s.Ciphertext = s.Ciphertext[:r.IntN(len(s.Ciphertext))]
		case 2:
			s.Ciphertext = append(s.Ciphertext, byte(r.Uint32()))
		case 3:
			s.Codec, s.Epoch = envelope.Codec(r.IntN(4)), r.Uint32N(3)
			s.Ciphertext[0] ^= byte(1 + r.IntN(255))
		default:
			for range 1 + r.IntN(3) {
				s.Ciphertext[r.IntN(len(s.Ciphertext))] ^= 1 << r.IntN(8)
			}
		}
		if bytes.Equal(s.IV, from.IV) && bytes.Equal(s.Ciphertext, from.Ciphertext) {
			continue // two flips of the same bit
		}
		if got, err := key.Open(envelope.FieldRequest, s); !errors.Is(err, envelope.ErrOpen) || got != nil {
			t.Fatalf("mutation %d: %q, %v", i, got, err)
		}
	}
}

var seals = flag.Int("seals", 200_000, "how many seals TestIVsDoNotRepeat makes")

// No pair of key and IV comes twice, however many goroutines seal the same body.
func TestIVsDoNotRepeat(t *testing.T) {
	t.Parallel()
	const workers = 8
	key := traceKey(t, envelope.NewDataKey("acme", 1), traceID)
	shards := make([]map[[12]byte]struct{}, 256)
	locks := make([]sync.Mutex, len(shards))
	for i := range shards {
		shards[i] = make(map[[12]byte]struct{}, *seals/len(shards))
	}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for range (*seals + w) / workers {
				s, err := key.Seal(envelope.FieldRequest, []byte("the same content"), envelope.Identity)
				if err != nil {
					t.Error(err)
					return
				}
				iv := [12]byte(s.IV)
				locks[iv[0]].Lock()
				_, repeated := shards[iv[0]][iv]
				shards[iv[0]][iv] = struct{}{}
				locks[iv[0]].Unlock()
				if repeated {
					t.Errorf("IV %x came twice", iv)
					return
				}
			}
		})
	}
	wg.Wait()
	n := 0
	for _, shard := range shards {
		n += len(shard)
	}
	if n < *seals {
		t.Errorf("%d different IVs in %d seals", n, *seals)
	}
	t.Logf("%d seals, each with an IV of its own", n)
}

func TestSealConcurrently(t *testing.T) {
	t.Parallel()
	data := envelope.NewDataKey("acme", 1)
	key := traceKey(t, data, traceID)
	plain := bytes.Repeat([]byte("the same content "), 100)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 300 {
				s, err := key.Seal(envelope.FieldResponse, plain, envelope.Zstd)
				if err != nil {
					t.Error(err)
					return
				}
				other, err := data.Trace(traceID)
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := other.Open(envelope.FieldResponse, s); !bytes.Equal(got, plain) {
					t.Errorf("%q, %v", got, err)
				}
			}
		})
	}
	wg.Wait()
}

// A key shows in no way of printing it.
func TestDataKeyDoesNotShow(t *testing.T) {
	t.Parallel()
	k := envelope.NewDataKey("acme", 2)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		if got, want := fmt.Sprintf(verb, k), "data key 2 of acme"; got != want {
			t.Errorf("%s: got %q, want %q", verb, got, want)
		}
	}
	if got := fmt.Sprint(struct{ K *envelope.DataKey }{k}); strings.Contains(got, "[") {
		t.Errorf("within a struct: %s", got)
	}
}
