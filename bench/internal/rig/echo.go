package rig

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/event"
)

const echoPatience = 2 * time.Minute

// Echo sends the last n events of the stream to it once more, without the ids by which
// it would know them: it stores them, and consumers get each twice. A broker that is away
// is waited for.
func (r *Rig) Echo(ctx context.Context, n uint64) error {
	return Until(ctx, echoPatience, "the stream takes events again", func(ctx context.Context) error {
		return r.OnBus(func(js jetstream.JetStream) error {
			stream, err := js.Stream(ctx, bus.StreamTrace)
			if err != nil {
				return err
			}
			state := stream.CachedInfo().State
			for seq := max(state.FirstSeq, state.LastSeq-min(n, state.LastSeq)+1); seq <= state.LastSeq; seq++ {
				if err := echo(ctx, js, stream, seq); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

func echo(ctx context.Context, js jetstream.JetStream, stream jetstream.Stream, seq uint64) error {
	was, err := stream.GetMsg(ctx, seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil // the stream is another one meanwhile
	}
	if err != nil || !strings.HasPrefix(was.Subject, event.SubjectPrefix) {
		return err
	}
	again := &nats.Msg{Subject: was.Subject, Data: was.Data, Header: make(nats.Header)}
	for name, values := range was.Header {
		if !strings.HasPrefix(name, "Nats-") {
			again.Header[name] = values
		}
	}
	_, err = js.PublishMsg(ctx, again)
	return err
}
