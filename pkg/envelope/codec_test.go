package envelope_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/klauspost/compress/zstd"

	"loom.internal/pkg/envelope"
)

func TestCompressionIsUsedWhereItPays(t *testing.T) {
	t.Parallel()
	key := traceKey(t, envelope.NewDataKey("acme", 1), traceID)
	text := bytes.Repeat([]byte(`{"role":"user","content":"what is the weather like"}`), 40)
	for name, tt := range map[string]struct {
		plain []byte
		want  envelope.Codec
	}{
		"long text": {text, envelope.Zstd}, "short text": {text[:500], envelope.Identity}, "noise": {randomBytes(8 << 10), envelope.Identity},
	} {
		if got := sealed(t, key, envelope.FieldRequest, tt.plain, envelope.Zstd); got.Codec != tt.want {
			t.Errorf("%s: codec %d, want %d", name, got.Codec, tt.want)
		}
		if got := sealed(t, key, envelope.FieldRequest, tt.plain, envelope.Identity); got.Codec != envelope.Identity {
			t.Errorf("%s, not to be compressed: codec %d", name, got.Codec)
		}
	}
}

// What was sealed by a holder of the key and is no frame, or one that comes to more than
// it says, is refused like anything else.
func TestBombsAreRefused(t *testing.T) {
	t.Parallel()
	key := traceKey(t, envelope.NewDataKey("acme", 1), traceID)
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	bomb := w.EncodeAll(make([]byte, 256<<20), nil)
	small := w.EncodeAll(bytes.Repeat([]byte("a"), 1000), nil)
	var streamed bytes.Buffer
	s, err := zstd.NewWriter(&streamed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	lying := bytes.Clone(small)
	lying[5]++ // the length that the frame's header tells
	for name, tt := range map[string]struct {
		packed []byte
		n      int64
	}{
		"no frame": {[]byte("plain"), 5}, "nothing": {nil, 0}, "half a frame": {small[:len(small)-3], 1000},
		"comes to more than the row says": {small, 999}, "comes to less": {small, 1001}, "the frame lies": {lying, 1000 + 1},
		"bomb with an honest length": {bomb, 256 << 20}, "bomb with a lie": {bomb, 1000}, "length not told": {streamed.Bytes(), 1 << 20},
		"a second frame": {append(bytes.Clone(small), small...), 1000}, "a bomb behind": {append(bytes.Clone(small), bomb...), 1000},
		"skippable": {append([]byte{0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4}, small...), 1000},
	} {
		got, err := key.Open(envelope.FieldRequest, key.SealPacked(envelope.FieldRequest, tt.packed, envelope.Zstd, tt.n))
		if !errors.Is(err, envelope.ErrOpen) || got != nil {
			t.Errorf("%s: %d bytes, %v; want ErrOpen and nothing", name, len(got), err)
		}
	}
	if got, err := key.Open(envelope.FieldRequest, key.SealPacked(envelope.FieldRequest, small, envelope.Zstd, 1000)); len(got) != 1000 {
		t.Errorf("an honest frame: %d bytes, %v", len(got), err)
	}
}
