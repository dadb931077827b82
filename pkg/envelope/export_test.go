package envelope

// SealPacked seals bytes as if they were what a codec made of a body of n bytes.
func (t *TraceKey) SealPacked(field Field, packed []byte, codec Codec, n int64) Sealed {
	s := Sealed{Suite: SuiteAES256GCM, Epoch: t.epoch, PlainLen: n, Codec: codec}
	s.IV, s.Ciphertext = seal(t.aead, packed, t.aad(field, s))
	return s
}

// WrappingKey is what wraps for a label.
func (r *Ring) WrappingKey(version uint32, l Label) ([]byte, error) { return r.derive(version, l) }

// Prefixed shows how fields are joined.
func Prefixed(fields ...string) []byte { return prefixed(fields...) }
