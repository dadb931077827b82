package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// PutNewer stores value, which encodes to JSON with a "revision", under key unless the
// bucket already holds that revision or a later one. Several writers may race: the
// highest revision stays.
func PutNewer(ctx context.Context, kv jetstream.KeyValue, key string, revision int64, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode %s: %w", key, err)
	}
	for {
		entry, err := kv.Get(ctx, key)
		switch {
		case errors.Is(err, jetstream.ErrKeyNotFound):
			_, err = kv.Create(ctx, key, data)
		case err != nil:
			return fmt.Errorf("read %s: %w", key, err)
		case storedRevision(entry.Value()) >= revision:
			return nil
		default:
			_, err = kv.Update(ctx, key, data, entry.Revision())
		}
		var refused *jetstream.APIError
		switch {
		case err == nil:
			return nil
		case errors.Is(err, jetstream.ErrKeyExists),
			errors.As(err, &refused) && refused.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence:
			continue // another writer was faster: look again
		default:
			return fmt.Errorf("put %s: %w", key, err)
		}
	}
}

// storedRevision of a value that cannot be read is 0, so that it is replaced.
func storedRevision(data []byte) int64 {
	var v struct {
		Revision int64 `json:"revision"`
	}
	if json.Unmarshal(data, &v) != nil {
		return 0
	}
	return v.Revision
}
