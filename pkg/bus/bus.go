// Package bus is Loom's side of NATS JetStream: the connection, the streams and
// buckets, and the loop that consumes events in batches.
package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"loom.internal/pkg/event"
)

// Names on the bus.
const (
	StreamTrace       = "LOOM_TRACE"
	BucketConfig      = "LOOM_CONFIG"
	BucketWatermark   = "LOOM_WATERMARK"
	BucketResponses   = "LOOM_RESPONSES" // by a hash: the provider that keeps a response
	BucketBodies      = "LOOM_BODIES"    // objects: bodies too large for an event, sealed
	LivePrefix        = "loom.live.v1."  // + tenant and kind: headers of every event stored
	ConsumerRecorder  = "recorder"
	ConsumerAnalytics = "analytics"
)

// Keys of BucketConfig.
const (
	KeyCatalog   = "catalog" // catalog.Snapshot
	KeyPepper    = "pepper"  // catalog.Pepper
	PrefixKey    = "key."    // + hash of an API key in hex: tenant.Key
	PrefixTenant = "tenant." // + tenant id: tenant.Tenant
)

// WatermarkKey is the key of BucketWatermark under which a consumer puts, in decimal, the
// highest number of a gateway's life below which it lacks none.
func WatermarkKey(consumer string, life event.Life) string {
	return life.ProducerID + "." + strconv.FormatInt(life.Epoch, 10) + "." + consumer
}

// GoneKey is the key of BucketWatermark under which a gateway puts, in decimal, the number
// up to which it has no event of a life any more. It does so when consumers lack some of
// those, so that they look for them on the stream and then wait no longer.
func GoneKey(life event.Life) string {
	return life.ProducerID + "." + strconv.FormatInt(life.Epoch, 10) + "." + tokenGone
}

// lacksKey is the key of BucketWatermark under which a consumer notes for itself, when it
// lowers a watermark, what that was and what was missing.
func lacksKey(consumer string, life event.Life) string {
	return WatermarkKey(consumer, life) + tokenLacks
}

const (
	tokenGone  = "gone"
	tokenLacks = "-lacks" // after the consumer
)

// Consumers lists the durables that every event must reach before its gateway may let go
// of it.
func Consumers() []string { return []string{ConsumerRecorder, ConsumerAnalytics} }

const (
	ackWait       = 30 * time.Second
	maxAckPending = 4000
	dedupeWindow  = 5 * time.Minute
	watermarkAge  = 30 * 24 * time.Hour // a gateway gone for longer sends again what it kept
	bodiesLonger  = time.Hour           // a body is put before its event, and is to outlive it

	responsesAge   = 31 * 24 * time.Hour // providers keep a response for 30 days
	responsesBytes = 512 << 20           // some two million; the oldest go first
	responseBytes  = 4 << 10             // of one, with its headers
)

// Ready reports whether the connection stands; else an error for a readiness check.
func Ready(nc *nats.Conn) error {
	if nc.Status() != nats.CONNECTED {
		return fmt.Errorf("NATS is %s", nc.Status())
	}
	return nil
}

// Layout is how streams and buckets are made.
type Layout struct {
	Replicas  int           // 1 alone, 3 in a cluster
	MaxAge    time.Duration // of an event in the stream
	MaxBytes  int64         // of the stream; the oldest events go first
	MaxBodies int64         // bytes of BucketBodies; the oldest bodies go first
}

// DefaultLayout is for one server: 7 days, 4 GiB of events (about a million of 4 KB) and
// 4 GiB of bodies too large for them.
func DefaultLayout() Layout {
	return Layout{Replicas: 1, MaxAge: 7 * 24 * time.Hour, MaxBytes: 4 << 30, MaxBodies: 4 << 30}
}

// EnsureRetry is Ensure for a server that may not be reachable yet: it tries until it
// works or ctx ends, with one log line for each failure.
func EnsureRetry(ctx context.Context, js jetstream.JetStream, l Layout, log *slog.Logger) error {
	return Retry(ctx, log, "streams not ready, trying again", func(ctx context.Context) error { return Ensure(ctx, js, l) })
}

// errNoJetStream is what it means that nobody answers a request to JetStream.
var errNoJetStream = errors.New("NATS answers but has no JetStream for this user: turn it on in the server's configuration")

// errNotConnected is what it means that the connection takes nothing: it keeps nothing
// for later.
var errNotConnected = errors.New("not connected: NATS cannot be reached, or refuses the login")

func explain(err error) error {
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("%w: %w", errNoJetStream, err)
	case errors.Is(err, nats.ErrReconnectBufExceeded):
		return fmt.Errorf("%w: %w", errNotConnected, err)
	}
	return err
}

// Retry calls f until it returns nil or ctx ends, waiting 250 ms at first and at most
// 5 s between tries. Each failure is logged as message.
func Retry(ctx context.Context, log *slog.Logger, message string, f func(context.Context) error) error {
	for wait := 250 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		attempt, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := explain(f(attempt))
		cancel()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return errors.Join(context.Cause(ctx), err)
		}
		log.LogAttrs(ctx, slog.LevelWarn, message, slog.Any("error", err), slog.Duration("next_try", wait)) //nolint:sloglint // the message is the caller's constant
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return errors.Join(context.Cause(ctx), err)
		case <-timer.C:
		}
	}
}
