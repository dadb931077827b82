package publish

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/event"
)

// ErrRefused is wrapped by an error of Broker.PublishBatch when the broker has looked at
// the batch and will have none of it.
var ErrRefused = errors.New("batch refused")

// Broker is what a Publisher needs of the broker. Messages carry their dedupe id in a
// header: one that the stream knows already is not stored again.
type Broker interface {
	// PublishBatch stores all of msgs or none. After an error other than ErrRefused they
	// may be stored all the same.
	PublishBatch(ctx context.Context, msgs []*nats.Msg) error

	// Publish stores each of msgs for itself and returns those that are not known to be
	// stored, with an error if there are any.
	Publish(ctx context.Context, msgs []*nats.Msg) (left []*nats.Msg, err error)

	// Watermarks reads what consumers have put for the lives: by consumer, the highest
	// number of a life below which it lacks none. What nobody has put is not there, and
	// nothing is while the broker cannot be asked; an error is about what was put.
	Watermarks(ctx context.Context, lives []event.Life) (map[string]event.Watermarks, error)

	// Number puts which numbers lives have given, in the place of what was put before.
	Number(ctx context.Context, words map[event.Life]bus.Numbered) error
}

// Bodies is where a Publisher puts what is too large for an event; a [bus.Bodies].
type Bodies interface {
	// Put keeps a body as an object, which is there once however often it is put.
	// bus.ErrBodyTooLarge means that it never will be; after any other error it is
	// worth to try again.
	Put(ctx context.Context, b event.Body) error
}

var _ Bodies = (*bus.Bodies)(nil)
