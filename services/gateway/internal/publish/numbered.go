package publish

import (
	"context"
	"log/slog"
	"maps"
	"time"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/event"
	"loom.internal/services/gateway/internal/spool"
)

const (
	sayEvery    = 2 * time.Second  // at most so often, what has changed
	repeatEvery = 15 * time.Second // all of it, for a broker that has lost it
	lastWord    = time.Second      // how long the end may wait for it
)

// teller tells the bus which numbers the lives in a spool have given, so that somebody
// can see that the last ones have not arrived.
type teller struct {
	broker Broker
	spool  *spool.Spool
	log    *slog.Logger

	seen     map[event.Life]int64        // the highest number of each life that was ever in the spool
	said     map[event.Life]bus.Numbered // the last word on each
	tried    time.Time                   // when something was said
	repeated time.Time                   // when all was
}

func newTeller(o Options, s *spool.Spool, now time.Time) *teller {
	t := &teller{
		broker: o.Broker, spool: s, log: o.Log, seen: make(map[event.Life]int64), said: make(map[event.Life]bus.Numbered), repeated: now,
	}
	t.words() // what is there now may be gone when it is first told
	return t
}

// tell says what is new since the last time, if that is long enough ago.
func (t *teller) tell(ctx context.Context, now time.Time) {
	if now.Sub(t.tried) < sayEvery {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, ackTimeout)
	defer cancel()
	t.say(ctx, now)
}

// end says what is left to say.
func (t *teller) end(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWord)
	defer cancel()
	t.say(ctx, time.Now())
}

func (t *teller) say(ctx context.Context, now time.Time) {
	t.tried = now
	words := t.words()
	if again := now.Sub(t.repeated) >= repeatEvery; again {
		t.repeated = now
	} else {
		maps.DeleteFunc(words, func(life event.Life, word bus.Numbered) bool { return t.said[life] == word })
	}
	if len(words) == 0 {
		return
	}
	if err := t.broker.Number(ctx, words); err != nil {
		t.log.LogAttrs(ctx, slog.LevelDebug, "the numbers given are not told, trying again", slog.Any("error", err))
		return
	}
	maps.Copy(t.said, words)
}

// words are about all lives in the spool, and those that were in it.
func (t *teller) words() map[event.Life]bus.Numbered {
	words := make(map[event.Life]bus.Numbered, len(t.seen))
	for life, highest := range t.seen {
		words[life] = bus.Numbered{Highest: highest} // as it is when all of its segments are gone
	}
	for epoch, n := range t.spool.Numbers() {
		life := event.Life{ProducerID: t.spool.Producer(), Epoch: int64(epoch)}    //nolint:gosec // epochs are small
		words[life] = bus.Numbered{Highest: int64(n.Highest), Held: int64(n.Held)} //nolint:gosec // likewise
		t.seen[life] = words[life].Highest
	}
	return words
}
