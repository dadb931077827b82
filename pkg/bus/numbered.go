package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"loom.internal/pkg/event"
)

// numberedName is the last part of the keys under which gateways put a Numbered. No
// consumer has this name.
const numberedName = "numbered"

// Numbered is a gateway's word about one of its lives: what has to arrive of it.
type Numbered struct {
	Highest int64 `json:"highest"` // the highest number it has given to an event
	Held    int64 `json:"held"`    // events in its spool that are not known to be in Postgres
}

// NumberedKey is the key of BucketWatermark under which a gateway puts, as JSON, a
// Numbered of a life.
func NumberedKey(life event.Life) string {
	return WatermarkKey(numberedName, life)
}

// PutNumbered puts what is not there already, so that the time of a word is when it was
// new, and so that a bucket which the broker lost heals. A highest number never goes back:
// that of a spool which has lost its end is the sign of that loss. A life has one gateway
// at a time, so nothing comes between reading and putting.
func PutNumbered(ctx context.Context, js jetstream.JetStream, words map[event.Life]Numbered) error {
	kv, err := js.KeyValue(ctx, BucketWatermark)
	if err != nil {
		return fmt.Errorf("bucket %s: %w", BucketWatermark, err)
	}
	for life, word := range words {
		key := NumberedKey(life)
		entry, err := kv.Get(ctx, key)
		switch {
		case err == nil:
			was, err := parseWord(entry)
			if err == nil && was.Highest > word.Highest {
				word.Highest = was.Highest
			}
			if err == nil && was.Numbered == word {
				continue
			}
		case !errors.Is(err, jetstream.ErrKeyNotFound):
			return fmt.Errorf("read %s: %w", key, err)
		}
		data, err := json.Marshal(word)
		if err != nil {
			return err
		}
		if _, err := kv.Put(ctx, key, data); err != nil {
			return fmt.Errorf("put %s: %w", key, err)
		}
	}
	return nil
}

// Word is a Numbered as it was found.
type Word struct {
	event.Life
	Numbered
	At time.Time // when it was put
}

// ReadNumbered reads the last word about each life that there is one of.
func ReadNumbered(ctx context.Context, js jetstream.JetStream) (words []Word, err error) {
	kv, err := js.KeyValue(ctx, BucketWatermark)
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", BucketWatermark, err)
	}
	all, err := kv.Watch(ctx, "*.*."+numberedName, jetstream.IgnoreDeletes())
	if err != nil {
		return nil, fmt.Errorf("read bucket %s: %w", BucketWatermark, err)
	}
	defer func() { err = errors.Join(err, all.Stop()) }()
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case entry, ok := <-all.Updates():
			if !ok {
				return nil, fmt.Errorf("read bucket %s: the connection has gone", BucketWatermark)
			}
			if entry == nil { // that was all
				return words, nil
			}
			word, err := parseWord(entry)
			if err != nil {
				return nil, err
			}
			words = append(words, word)
		}
	}
}

func parseWord(entry jetstream.KeyValueEntry) (Word, error) {
	w := Word{At: entry.Created()}
	parts := strings.Split(entry.Key(), ".")
	epoch, err := strconv.ParseInt(parts[1], 10, 64)
	if err == nil {
		w.Life = event.Life{ProducerID: parts[0], Epoch: epoch}
		err = json.Unmarshal(entry.Value(), &w.Numbered)
	}
	if err == nil && (!event.ValidProducer(w.ProducerID) || w.Highest < 0 || w.Held < 0) {
		err = errors.New("not what a gateway puts")
	}
	if err != nil {
		return Word{}, fmt.Errorf("%s in bucket %s: %w", entry.Key(), BucketWatermark, err)
	}
	return w, nil
}
