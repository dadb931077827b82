package recorder

import (
	"context"

	"github.com/nats-io/nats.go/jetstream"
)

// Handle stores one batch as Run does, without acking it.
func (s *Service) Handle(ctx context.Context, batch []jetstream.Msg) error {
	return s.projection.Handle(ctx, batch)
}
