package bus

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"loom.internal/pkg/event"
)

// piece of the layout: a stream, a consumer or a bucket.
type piece struct {
	name   string
	find   func(context.Context) error
	create func(context.Context) error
	update func(context.Context) error // or create
}

// Ensure makes the stream, its durable consumers and the buckets, or brings them to
// this layout. It is safe to call again and from several processes.
func Ensure(ctx context.Context, js jetstream.JetStream, l Layout) error {
	for _, p := range pieces(js, l) {
		if err := p.update(ctx); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}

// Restore makes what is missing of what Ensure makes, as on a broker that has lost its
// disk, and names it. What is there stays as it is: it may be of another layout for a
// reason. It needs no right to change or delete any of it.
func Restore(ctx context.Context, js jetstream.JetStream, l Layout) (made []string, err error) {
	for _, p := range pieces(js, l) {
		err := p.find(ctx)
		switch {
		case err == nil:
			continue
		case isMissing(err):
			err = p.create(ctx)
		}
		if err != nil {
			return made, fmt.Errorf("%s: %w", p.name, err)
		}
		made = append(made, p.name)
	}
	return made, nil
}

func isMissing(err error) bool {
	return errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrBucketNotFound)
}

// pieces of the layout, in the order in which they can be made.
func pieces(js jetstream.JetStream, l Layout) []piece {
	all := []piece{stream(js, "stream "+StreamTrace, traceStream(l))}
	for _, durable := range Consumers() {
		c := jetstream.ConsumerConfig{
			Durable:       durable,
			AckPolicy:     jetstream.AckExplicitPolicy,
			AckWait:       ackWait,
			MaxDeliver:    -1,
			MaxAckPending: maxAckPending,
			Replicas:      l.Replicas,
		}
		all = append(all, piece{
			name:   "consumer " + durable,
			find:   func(ctx context.Context) error { _, err := js.Consumer(ctx, StreamTrace, durable); return err },
			create: func(ctx context.Context) error { _, err := js.CreateConsumer(ctx, StreamTrace, c); return err },
			update: func(ctx context.Context) error { _, err := js.CreateOrUpdateConsumer(ctx, StreamTrace, c); return err },
		})
	}
	for _, bucket := range []jetstream.KeyValueConfig{
		{Bucket: BucketConfig, Description: "What gateways work by: catalogue, keys, tenants"},
		{Bucket: BucketWatermark, Description: "How far each gateway's events have come", TTL: watermarkAge},
	} {
		bucket.History, bucket.Storage, bucket.Replicas = 1, jetstream.FileStorage, l.Replicas
		all = append(all, piece{
			name:   "bucket " + bucket.Bucket,
			find:   func(ctx context.Context) error { _, err := js.KeyValue(ctx, bucket.Bucket); return err },
			create: func(ctx context.Context) error { _, err := js.CreateKeyValue(ctx, bucket); return err },
			update: func(ctx context.Context) error { _, err := js.CreateOrUpdateKeyValue(ctx, bucket); return err },
		})
	}
	return append(all, stream(js, "bucket "+BucketResponses, responsesStream(l)), stream(js, "bucket "+BucketBodies, bodiesStream(l)))
}

func stream(js jetstream.JetStream, name string, c jetstream.StreamConfig) piece {
	return piece{
		name:   name,
		find:   func(ctx context.Context) error { _, err := js.Stream(ctx, c.Name); return err },
		create: func(ctx context.Context) error { _, err := js.CreateStream(ctx, c); return err },
		update: func(ctx context.Context) error { _, err := js.CreateOrUpdateStream(ctx, c); return err },
	}
}

func traceStream(l Layout) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:               StreamTrace,
		Description:        "Trace events; bodies are sealed",
		Subjects:           []string{event.SubjectAll},
		Retention:          jetstream.LimitsPolicy,
		Storage:            jetstream.FileStorage,
		Compression:        jetstream.NoCompression, // ciphertext does not shrink
		Replicas:           l.Replicas,
		MaxAge:             l.MaxAge,
		MaxBytes:           l.MaxBytes,
		Discard:            jetstream.DiscardOld,
		Duplicates:         dedupeWindow,
		DenyPurge:          true,
		AllowDirect:        true,
		AllowAtomicPublish: true,
		RePublish: &jetstream.RePublish{
			Source: event.SubjectAll, Destination: LivePrefix + ">", HeadersOnly: true,
		},
	}
}

// responsesStream is BucketResponses, in the layout of a KV bucket but for two things.
// A full one lets the oldest go instead of refusing the next. And it is read from its
// leader only: a replica may not have yet what was just put.
func responsesStream(l Layout) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:              "KV_" + BucketResponses,
		Description:       "Which provider keeps a response",
		Subjects:          []string{"$KV." + BucketResponses + ".>"},
		Retention:         jetstream.LimitsPolicy,
		Storage:           jetstream.FileStorage,
		Replicas:          l.Replicas,
		MaxAge:            responsesAge,
		MaxBytes:          responsesBytes,
		MaxMsgSize:        responseBytes,
		MaxMsgsPerSubject: 1,
		Discard:           jetstream.DiscardOld,
		AllowRollup:       true,
		DenyDelete:        true,
	}
}

// bodiesStream is BucketBodies, in the layout of an object store but for two things. A
// full one lets the oldest go instead of refusing the next, which would stop gateways. And
// it is read from its leader only: a replica may not have yet what was just put.
func bodiesStream(l Layout) jetstream.StreamConfig {
	age := l.MaxAge
	if age > 0 {
		age += bodiesLonger
	}
	return jetstream.StreamConfig{
		Name:        streamBodies,
		Description: "Bodies too large for an event, sealed",
		Subjects:    []string{chunkSubject + ">", metaSubject + ">"},
		Retention:   jetstream.LimitsPolicy,
		Storage:     jetstream.FileStorage,
		Compression: jetstream.NoCompression,
		Replicas:    l.Replicas,
		MaxAge:      age,
		MaxBytes:    l.MaxBodies,
		Discard:     jetstream.DiscardOld,
		AllowRollup: true,
	}
}
