package envelope

import (
	"runtime"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Codec is what a body went through before it was sealed.
type Codec uint8

// The codecs.
const (
	Identity Codec = 0
	Zstd     Codec = 1
)

// Shorter bodies are not compressed; and what is compressed is kept only when an eighth
// of its length is gone.
const minCompress = 512

// Both are safe for concurrent use, one call for each of their workers, and hold what
// they need for that. The frames carry no checksum: the seal is one.
var (
	encoder = sync.OnceValue(func() *zstd.Encoder {
		return must(zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false),
			zstd.WithEncoderConcurrency(runtime.GOMAXPROCS(0)), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(1<<20)))
	})
	decoder = sync.OnceValue(func() *zstd.Decoder {
		return must(zstd.NewReader(nil, zstd.WithDecoderConcurrency(runtime.GOMAXPROCS(0)), zstd.WithDecoderMaxMemory(MaxPlain)))
	})
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // options of ours that do not fit
	}
	return v
}

// compress gives the body as the codec has it, and which codec that is: Identity where
// another does not pay.
func compress(c Codec, plain []byte) (Codec, []byte) {
	if c != Zstd || len(plain) < minCompress {
		return Identity, plain
	}
	packed := encoder().EncodeAll(plain, make([]byte, 0, len(plain)))
	if len(packed) > len(plain)-len(plain)/8 {
		return Identity, plain
	}
	return Zstd, packed
}

// decompress undoes it. What does not come to exactly n bytes is ErrOpen; nothing takes
// more memory than MaxPlain.
func decompress(c Codec, packed []byte, n int64) ([]byte, error) {
	switch c {
	case Identity:
		if int64(len(packed)) == n {
			return packed, nil
		}
	case Zstd:
		var h zstd.Header
		if h.Decode(packed) != nil || h.Skippable || !h.HasFCS || h.FrameContentSize != uint64(n) { //nolint:gosec // n is not negative
			return nil, ErrOpen
		}
		plain, err := decoder().DecodeAll(packed, make([]byte, 0, n))
		if err == nil && int64(len(plain)) == n {
			return plain, nil
		}
	}
	return nil, ErrOpen
}
