package replay_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"loom.internal/cmd/loom/internal/replay"
	"loom.internal/pkg/bus"
	"loom.internal/pkg/event"
)

// benchEvents is how many events the benchmark's stream holds.
const benchEvents = 50_000

// BenchmarkReplay replays a stream of events of about 1 KB into empty tables, and in the
// same run reads the same stream with the client library's ordered consumer, doing nothing
// with what comes, and with that decoding it: what the bus alone, and the bus and the
// event's form, can give on this machine. One iteration is the whole stream.
//
//	go test -run '^$' -bench Replay -benchtime 1x ./internal/replay
func BenchmarkReplay(b *testing.B) {
	r := newRig(b)
	for range benchEvents / 5000 {
		r.publish(b, mixed(5000, 11)...)
	}
	rate := func(b *testing.B, f func(ctx context.Context)) {
		b.Helper()
		from, n := time.Now(), 0
		for b.Loop() {
			f(b.Context())
			n += benchEvents
		}
		b.ReportMetric(float64(n)/time.Since(from).Seconds(), "events/s")
	}
	b.Run("read", func(b *testing.B) { rate(b, func(ctx context.Context) { ordered(ctx, b, r.js, false) }) })
	b.Run("read+decode", func(b *testing.B) { rate(b, func(ctx context.Context) { ordered(ctx, b, r.js, true) }) })
	for name, opt := range map[string]replay.Options{"traces": {Traces: true}, "usage": {Usage: true}, "all": all} {
		b.Run(name, func(b *testing.B) {
			rate(b, func(ctx context.Context) {
				report, err := replay.Run(ctx, r.config(b), opt)
				if err != nil || report.Counts.Applied != benchEvents {
					b.Fatalf("%+v, %v", report, err)
				}
			})
		})
	}
}

// ordered reads the stream once.
func ordered(ctx context.Context, b *testing.B, js jetstream.JetStream, decode bool) {
	b.Helper()
	consumer, err := js.OrderedConsumer(ctx, bus.StreamTrace, jetstream.OrderedConsumerConfig{})
	if err != nil {
		b.Fatal(err)
	}
	msgs, err := consumer.Messages(jetstream.PullMaxMessages(4000))
	if err != nil {
		b.Fatal(err)
	}
	defer msgs.Stop()
	for range benchEvents {
		msg, err := msgs.Next(jetstream.NextContext(ctx))
		if err != nil {
			b.Fatal(err)
		}
		if decode {
			if _, err := event.Decode(msg.Subject(), msg.Data()); err != nil {
				b.Fatal(err)
			}
		}
	}
}
