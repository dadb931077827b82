package envelope_test

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"strings"
	"testing"

	"loom.internal/pkg/envelope"
)

var sizes = []int{2 << 10, 10 << 10, 100 << 10}

// conversation is JSON with text that compresses about as prose does.
func conversation(n int) []byte {
	words := strings.Fields("the of gateway and model answers a question about weather in Prague tomorrow while some other tool is called with arguments that hold numbers")
	b := []byte(`{"messages":[{"role":"user","content":"`)
	for i := uint32(7); len(b) < n-4; i = i*1664525 + 1013904223 {
		b = fmt.Appendf(b, "%s%d ", words[i>>16%uint32(len(words))], i>>28)
	}
	return append(b[:n-4], `"}]}`...)
}

// A trace's key is derived, and one body of the size sealed; beside it the cipher alone,
// with one key and one buffer.
func BenchmarkSeal(b *testing.B) {
	data := envelope.NewDataKey("acme", 1)
	for _, size := range sizes {
		plain := conversation(size)
		for name, codec := range map[string]envelope.Codec{"identity": envelope.Identity, "zstd": envelope.Zstd} {
			b.Run(fmt.Sprintf("%s/%dK", name, size>>10), func(b *testing.B) {
				b.SetBytes(int64(size))
				b.ReportAllocs()
				n := 0
				for b.Loop() {
					s := sealed(b, traceKey(b, data, traceID), envelope.FieldResponse, plain, codec)
					n = len(s.Ciphertext)
				}
				b.ReportMetric(float64(n), "sealed-B")
			})
		}
		b.Run(fmt.Sprintf("aes-gcm/%dK", size>>10), func(b *testing.B) {
			aead, nonce, out := plainGCM(b), make([]byte, 12), make([]byte, 0, size+16)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				out = aead.Seal(out[:0], nonce, plain, nil)
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	data := envelope.NewDataKey("acme", 1)
	for _, size := range sizes {
		plain := conversation(size)
		for name, codec := range map[string]envelope.Codec{"identity": envelope.Identity, "zstd": envelope.Zstd} {
			b.Run(fmt.Sprintf("%s/%dK", name, size>>10), func(b *testing.B) {
				s := sealed(b, traceKey(b, data, traceID), envelope.FieldResponse, plain, codec)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := traceKey(b, data, traceID).Open(envelope.FieldResponse, s); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		b.Run(fmt.Sprintf("aes-gcm/%dK", size>>10), func(b *testing.B) {
			aead, nonce, out := plainGCM(b), make([]byte, 12), make([]byte, 0, size)
			ciphertext := aead.Seal(nil, nonce, plain, nil)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if out, err = aead.Open(out[:0], nonce, ciphertext, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func plainGCM(b *testing.B) cipher.AEAD {
	b.Helper()
	block, err := aes.NewCipher(make([]byte, 32))
	if err != nil {
		b.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		b.Fatal(err)
	}
	return aead
}

// What a cached data key spares: of every request, the unwrapping.
func BenchmarkUnwrap(b *testing.B) {
	r := ring(b)
	w, err := envelope.NewDataKey("acme", 1).Wrap(b.Context(), r)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.Unwrap(b.Context(), r, "acme"); err != nil {
			b.Fatal(err)
		}
	}
}
