package directory

import (
	"context"
	"encoding/hex"
	"log/slog"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/tenant"
)

// update brings what the bucket says now into the caches.
func (d *Directory) update(ctx context.Context, entry jetstream.KeyValueEntry) {
	var err error
	if text, ok := strings.CutPrefix(entry.Key(), bus.PrefixKey); ok {
		var hash tenant.Hash
		if n, bad := hex.Decode(hash[:], []byte(text)); len(text) != hex.EncodedLen(len(hash)) || bad != nil || n != len(hash) {
			return // not the name of a key: nobody can ask for it
		}
		err = replace(d.keys, hash, entry)
	} else if id, ok := strings.CutPrefix(entry.Key(), bus.PrefixTenant); ok {
		err = replace(d.tenants, id, entry)
	}
	if err != nil {
		d.opt.Log.LogAttrs(ctx, slog.LevelError, "record in the bucket cannot be read", slog.String("name", entry.Key()), slog.Any("error", err))
	}
}

// replace puts a record in the place of a cached one. One that is gone or cannot be
// read takes the cached one with it.
func replace[K comparable, V any](c *cache[K, V], key K, entry jetstream.KeyValueEntry) error {
	if entry.Operation() != jetstream.KeyValuePut {
		c.remove(key)
		return nil
	}
	v, err := c.decode(entry.Key(), entry.Value())
	if err != nil {
		c.remove(key)
		return err
	}
	c.replace(key, v)
	return nil
}
