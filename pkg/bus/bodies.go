package bus

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"loom.internal/pkg/event"
)

var (
	// ErrNoBody means that an object is not in BucketBodies, not whole, or not the one
	// that the event tells of. To ask again does not help, unless it is put again: which
	// its gateway does, as long as it is not told that the event is recorded.
	ErrNoBody = errors.New("body is not in " + BucketBodies)
	// ErrBodyTooLarge means that BucketBodies can never hold a body, as it is made now.
	ErrBodyTooLarge = errors.New("body is too large for " + BucketBodies)
)

const (
	streamBodies = "OBJ_" + BucketBodies
	chunkSubject = "$O." + BucketBodies + ".C." // + nuid of the object
	metaSubject  = "$O." + BucketBodies + ".M." // + name of the object in base64
	chunkBytes   = 256 << 10
	maxChunks    = 1 << 10
	callLimit    = 5 * time.Second // of one question to the broker
)

// Bodies keeps what is too large for an event, in the bucket BucketBodies. It speaks the
// object store's protocol itself, for what the client of that does not do: to put an
// object again without leaving the pieces of a put that failed, and to tell an object
// that is gone from a broker that does not answer.
type Bodies struct{ js jetstream.JetStream }

// NewBodies works over nc. Whoever puts gives it a connection of its own: messages on
// the same one would wait behind the bodies.
func NewBodies(nc *nats.Conn) (*Bodies, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("JetStream: %w", err)
	}
	return &Bodies{js}, nil
}

// Put keeps the ciphertext of b as an object, unless it is there already, whole. Apart
// from ErrBodyTooLarge, its errors are such that it is worth to try again. It reads no
// object and purges none, so that who puts needs the right to neither.
func (s *Bodies) Put(ctx context.Context, b event.Body) error {
	stream, err := s.stream(ctx)
	if err != nil {
		return err
	}
	data := b.GetCiphertext()
	c := stream.CachedInfo().Config
	if need := int64(len(data) + len(data)/16 + chunkBytes); c.MaxBytes > 0 && need > c.MaxBytes {
		return fmt.Errorf("%w: %d bytes with their frames, the bucket holds %d", ErrBodyTooLarge, need, c.MaxBytes)
	}
	digest := b.Digest()
	info := jetstream.ObjectInfo{
		ObjectMeta: jetstream.ObjectMeta{Name: b.Object, Opts: &jetstream.ObjectMetaOptions{ChunkSize: chunkBytes}},
		Bucket:     BucketBodies, NUID: nuid(b.Object, digest), Size: uint64(len(data)),
		Chunks: uint32((len(data) + chunkBytes - 1) / chunkBytes), Digest: digestText(digest), //nolint:gosec // of at most MaxBody bytes
	}
	whole, err := s.whole(ctx, stream, info)
	if err != nil {
		return fmt.Errorf("object %s: %w", b.Object, err)
	}
	if !whole {
		if err := s.putChunks(ctx, info, data); err != nil {
			return err
		}
	}
	meta, err := json.Marshal(info)
	if err != nil {
		return fmt.Errorf("put object %s: %w", b.Object, err)
	}
	// Also when the chunks were there: it may be of others.
	if err := s.publish(ctx, &nats.Msg{Subject: metaOf(b.Object), Data: meta, Header: onlyOne()}); err != nil {
		return fmt.Errorf("put object %s: %w", b.Object, err)
	}
	return nil
}

// nuid is what the chunks of a body go by: of the same body the same, of another one of
// the same name another.
func nuid(object string, digest []byte) string {
	return fmt.Sprintf("%s-%.8x", strings.ReplaceAll(object, ".", "-"), digest)
}

// onlyOne has the message take the place of all there are under its subject.
func onlyOne() nats.Header { return nats.Header{jetstream.MsgRollup: {jetstream.MsgRollupSubject}} }

// whole reports whether all chunks of an object are there: a full bucket lets go of some,
// and a put that failed leaves some.
func (s *Bodies) whole(ctx context.Context, stream jetstream.Stream, info jetstream.ObjectInfo) (is bool, err error) {
	subject := chunkSubject + info.NUID
	err = call(ctx, func(ctx context.Context) error {
		state, err := stream.Info(ctx, jetstream.WithSubjectFilter(subject))
		if err == nil {
			is = state.State.Subjects[subject] == uint64(info.Chunks)
		}
		return err
	})
	return is, err
}

// putChunks puts the chunks of an object in the place of what is there of them.
func (s *Bodies) putChunks(ctx context.Context, info jetstream.ObjectInfo, data []byte) error {
	header := onlyOne()
	for chunk := range slices.Chunk(data, chunkBytes) {
		if err := s.publish(ctx, &nats.Msg{Subject: chunkSubject + info.NUID, Data: chunk, Header: header}); err != nil {
			return fmt.Errorf("put object %s: %w", info.Name, err)
		}
		header = nil
	}
	return nil
}

// Attach brings e its detached bodies, each with the digest that e tells. It fails with
// ErrNoBody if one can not be had; any other error is the broker's.
func (s *Bodies) Attach(ctx context.Context, e *event.TraceEvent) error {
	for _, b := range e.Bodies() {
		if !b.GetDetached() {
			continue
		}
		data, err := s.get(ctx, b)
		if err != nil {
			return err
		}
		b.Attach(data)
	}
	return nil
}

// errDiskLost is of an event from before its broker lost its disk, and its bodies with it:
// its gateway sends both again.
var errDiskLost = errors.New("the broker has lost its disk since")

// Fetch is Attach for a [Projection]: of an event that the stream took before its broker
// lost its disk, to lack a body is no fault.
func (s *Bodies) Fetch(ctx context.Context, e *event.TraceEvent, stored time.Time) error {
	err := s.Attach(ctx, e)
	if !errors.Is(err, ErrNoBody) {
		return err
	}
	var made time.Time
	asked := call(ctx, func(ctx context.Context) error {
		stream, err := s.js.Stream(ctx, StreamTrace)
		if err == nil {
			made = stream.CachedInfo().Created // just fetched
		}
		return err
	})
	switch {
	case asked != nil:
		return fmt.Errorf("stream %s: %w", StreamTrace, asked)
	case made.After(stored):
		return fmt.Errorf("object for an event of %s: %w", stored.Format(time.RFC3339), errDiskLost)
	}
	return err
}

func (s *Bodies) get(ctx context.Context, b event.Body) ([]byte, error) {
	stream, err := s.stream(ctx)
	if err != nil {
		return nil, err
	}
	info, err := s.info(ctx, stream, b.Object)
	if err != nil {
		return nil, err
	}
	limit := uint64(b.MaxLength()) //nolint:gosec // Validate keeps it over 0
	if info.Size > limit || info.Chunks > maxChunks {
		return nil, fmt.Errorf("%w: object %s has %d bytes in %d chunks, the event tells of at most %d", ErrNoBody, b.Object, info.Size, info.Chunks, limit)
	}
	data := make([]byte, 0, info.Size)
	for i, seq := uint32(0), uint64(1); i < info.Chunks; i++ {
		err := call(ctx, func(ctx context.Context) error {
			msg, err := stream.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(chunkSubject+info.NUID))
			if err != nil {
				return err
			}
			if seq = msg.Sequence + 1; uint64(len(data)+len(msg.Data)) > info.Size {
				return fmt.Errorf("%w: object %s is longer than it says", ErrNoBody, b.Object)
			}
			data = append(data, msg.Data...)
			return nil
		})
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil, fmt.Errorf("%w: object %s lacks chunk %d of %d", ErrNoBody, b.Object, i+1, info.Chunks)
		}
		if err != nil {
			return nil, fmt.Errorf("object %s: %w", b.Object, err)
		}
	}
	if sum := sha256.Sum256(data); !bytes.Equal(sum[:], b.GetSha256()) {
		return nil, fmt.Errorf("%w: object %s has another digest than the event tells", ErrNoBody, b.Object)
	}
	return data, nil
}

// info is what the bucket says of an object.
func (s *Bodies) info(ctx context.Context, stream jetstream.Stream, name string) (info jetstream.ObjectInfo, err error) {
	err = call(ctx, func(ctx context.Context) error {
		msg, err := stream.GetLastMsgForSubject(ctx, metaOf(name))
		if err != nil {
			return err
		}
		if json.Unmarshal(msg.Data, &info) != nil || info.Deleted || info.NUID == "" {
			return jetstream.ErrMsgNotFound
		}
		return nil
	})
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return info, fmt.Errorf("%w: there is no object %s", ErrNoBody, name)
	case err != nil:
		return info, fmt.Errorf("object %s: %w", name, err)
	}
	return info, nil
}

func (s *Bodies) stream(ctx context.Context) (stream jetstream.Stream, err error) {
	err = call(ctx, func(ctx context.Context) error {
		stream, err = s.js.Stream(ctx, streamBodies)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", BucketBodies, err)
	}
	return stream, nil
}

func (s *Bodies) publish(ctx context.Context, msg *nats.Msg) error {
	err := call(ctx, func(ctx context.Context) error {
		_, err := s.js.PublishMsg(ctx, msg, jetstream.WithExpectStream(streamBodies), jetstream.WithRetryAttempts(0))
		return err
	})
	if errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, jetstream.ErrStreamMessageExceedsMaximum) {
		return fmt.Errorf("%w: chunks of %d bytes: %w", ErrBodyTooLarge, chunkBytes, err)
	}
	return err
}

// call asks the broker something, and does not wait for ever.
func call(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	return f(ctx)
}

func metaOf(name string) string { return metaSubject + base64.URLEncoding.EncodeToString([]byte(name)) }

func digestText(sum []byte) string { return "SHA-256=" + base64.URLEncoding.EncodeToString(sum) }
