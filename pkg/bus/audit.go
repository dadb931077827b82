package bus

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"loom.internal/pkg/event"
)

const (
	auditEvery = time.Minute
	auditLimit = 30 * time.Second // of one question to the bucket or to the store
	maxNamed   = 20               // gaps of one life that are logged
)

// account is what the bucket knows of a life.
type account struct {
	told      told   // the watermark that gateways are told
	gone      int64  // up to here its gateway has nothing any more
	high      int64  // what gateways were told before the watermark was lowered
	lacks     string // sign of what was missing up to high when the stream was last read
	lacksFrom uint64 // revision of the two
}

// upTo is the number up to which a gateway may have let go of its events.
func (a account) upTo() int64 { return max(a.told.mark, a.gone, a.high) }

// audit finds what the store has lost although gateways were told that it is there, as
// after a failover to a replica that lagged, or a restore from a backup. It takes it from
// the stream where that has it. The rest gateways send again when the watermark goes
// back; what they say they do not have any more is given up, as a gap.
//
// The stream is read when something is missing that was not when it was last read, or that
// has been there since, as the watermark tells, or is about to be given up. What else is
// missing waits for a gateway.
func (b *Board) audit(ctx context.Context, p *Projection) error {
	kv, err := b.js.KeyValue(ctx, BucketWatermark)
	if err != nil {
		return fmt.Errorf("bucket %s: %w", BucketWatermark, err)
	}
	accounts, err := b.list(ctx, kv)
	if err != nil {
		return err
	}
	clear(b.told) // and forget lives of which the bucket has forgotten
	upTo := make(event.Watermarks, len(accounts))
	for life, a := range accounts {
		b.told[life], upTo[life] = a.told, a.upTo()
	}
	before, err := b.missing(ctx, upTo)
	if err != nil || len(before) == 0 {
		return err
	}
	wanted := make(event.Gaps)
	for life, gaps := range before {
		if a := accounts[life]; gaps[0].From <= max(a.gone, a.told.mark) || sign(gaps) != a.lacks {
			wanted[life] = gaps
		}
	}
	left := before
	if len(wanted) > 0 {
		found, err := b.recall(ctx, p, wanted)
		if err != nil {
			return err
		}
		if left, err = b.missing(ctx, upTo); err != nil {
			return err
		}
		if !left.Within(before) || slices.ContainsFunc(found, left.Has) {
			return errors.New("the database has lost events again meanwhile")
		}
	}
	hopeless := make(event.Gaps)
	for life, gaps := range left {
		hopeless[life], left[life] = split(gaps, accounts[life].gone)
	}
	maps.DeleteFunc(hopeless, func(_ event.Life, gaps []event.Gap) bool { return len(gaps) == 0 })
	maps.DeleteFunc(left, func(_ event.Life, gaps []event.Gap) bool { return len(gaps) == 0 })
	if len(hopeless) > 0 {
		if err := b.giveUp(ctx, p, hopeless); err != nil {
			return err
		}
	}
	for life, gaps := range left {
		if err := b.lower(ctx, kv, life, accounts[life], gaps); err != nil {
			return fmt.Errorf("lower the watermark of %s/%d: %w", life.ProducerID, life.Epoch, err)
		}
	}
	return nil
}

// split divides gaps into those up to a number and those after it.
func split(gaps []event.Gap, at int64) (low, high []event.Gap) {
	for _, gap := range gaps {
		if gap.From <= at {
			low = append(low, event.Gap{From: gap.From, To: min(gap.To, at)})
		}
		if gap.To > at {
			high = append(high, event.Gap{From: max(gap.From, at+1), To: gap.To})
		}
	}
	return low, high
}

// recall has stored again what the stream has of what is wanted, and returns what that is.
func (b *Board) recall(ctx context.Context, p *Projection, wanted event.Gaps) ([]event.Place, error) {
	b.log.LogAttrs(ctx, slog.LevelError, "the database lacks events that it had: looking for them on the stream",
		slog.String("consumer", b.consumer), slog.Int64("events", wanted.Count()), slog.Int("producers", len(wanted)))
	stream := p.Stream
	if stream == nil {
		stream = traces{b.js}
	}
	found, err := p.Recall(ctx, stream, wanted)
	p.Metrics.recalled.Add(float64(len(found)))
	if err != nil {
		return nil, err
	}
	b.log.LogAttrs(ctx, slog.LevelWarn, "what the stream has of the missing events is stored again",
		slog.String("consumer", b.consumer), slog.Int("found", len(found)))
	return found, nil
}

// giveUp names what nobody has any more, and has watermarks pass it.
func (b *Board) giveUp(ctx context.Context, p *Projection, hopeless event.Gaps) error {
	ctx, cancel := context.WithTimeout(ctx, auditLimit)
	defer cancel()
	if err := b.numbers.GiveUp(ctx, hopeless); err != nil {
		return err
	}
	p.Metrics.gaveUp.Add(float64(hopeless.Count()))
	for life, gaps := range hopeless {
		for _, gap := range gaps[:min(len(gaps), maxNamed)] {
			b.log.LogAttrs(ctx, slog.LevelError, "events are lost for good: neither the database, nor the stream, nor the spool of their gateway has them; producer_gaps lists all",
				slog.String("consumer", b.consumer), slog.String("producer", life.ProducerID), slog.Int64("epoch", life.Epoch),
				slog.Int64("from_seq", gap.From), slog.Int64("to_seq", gap.To))
		}
	}
	return nil
}

// lower tells gateways that they were told too much, after it has noted what that was.
func (b *Board) lower(ctx context.Context, kv jetstream.KeyValue, life event.Life, a account, gaps []event.Gap) error {
	ctx, cancel := context.WithTimeout(ctx, putTimeout)
	defer cancel()
	if now := sign(gaps); now != a.lacks || a.high != a.upTo() {
		value := strconv.FormatInt(a.upTo(), 10) + " " + now
		if _, err := swap(ctx, kv, lacksKey(b.consumer, life), value, a.lacksFrom); err != nil {
			return err
		}
	}
	mark := gaps[0].From - 1
	if a.told.mark <= mark {
		return nil
	}
	if err := b.replace(ctx, kv, life, a.told.revision, mark); err != nil {
		return err
	}
	b.log.LogAttrs(ctx, slog.LevelWarn, "a watermark goes back: its gateway is to send again what it still has", slog.String("consumer", b.consumer),
		slog.String("producer", life.ProducerID), slog.Int64("epoch", life.Epoch), slog.Int64("from", a.told.mark), slog.Int64("to", mark))
	return nil
}

// sign is short, and another one for other gaps.
func sign(gaps []event.Gap) string {
	h := fnv.New64a()
	for _, gap := range gaps {
		_, _ = fmt.Fprintln(h, gap.From, gap.To)
	}
	return strconv.FormatUint(h.Sum64(), 16)
}

func (b *Board) missing(ctx context.Context, upTo event.Watermarks) (event.Gaps, error) {
	ctx, cancel := context.WithTimeout(ctx, auditLimit)
	defer cancel()
	return b.numbers.Missing(ctx, upTo)
}

// list reads what this consumer has told, and what gateways have no more.
func (b *Board) list(ctx context.Context, kv jetstream.KeyValue) (accounts map[event.Life]account, err error) {
	ctx, cancel := context.WithTimeout(ctx, auditLimit)
	defer cancel()
	filters := []string{"*.*." + b.consumer, "*.*." + b.consumer + tokenLacks, "*.*." + tokenGone}
	watcher, err := kv.WatchFiltered(ctx, filters, jetstream.IgnoreDeletes())
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", BucketWatermark, err)
	}
	defer func() { err = errors.Join(err, watcher.Stop()) }()
	accounts = make(map[event.Life]account)
	for {
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("bucket %s: %w", BucketWatermark, ctx.Err())
		case entry, open := <-watcher.Updates():
			if !open {
				return nil, fmt.Errorf("bucket %s: the watch has ended", BucketWatermark)
			}
			if entry == nil {
				return accounts, nil
			}
			life, token, ok := parseKey(entry.Key())
			if !ok {
				continue
			}
			a := accounts[life]
			switch token {
			case b.consumer:
				a.told = told{number(entry.Value()), entry.Revision()}
			case tokenGone:
				a.gone = number(entry.Value())
			default:
				high, lacks, _ := strings.Cut(string(entry.Value()), " ")
				a.high, a.lacks, a.lacksFrom = number([]byte(high)), lacks, entry.Revision()
			}
			accounts[life] = a
		}
	}
}

// parseKey takes a key of the bucket apart.
func parseKey(key string) (life event.Life, token string, ok bool) {
	parts := strings.Split(key, ".")
	if len(parts) != 3 || !event.ValidProducer(parts[0]) {
		return life, "", false
	}
	epoch, err := strconv.ParseInt(parts[1], 10, 64)
	return event.Life{ProducerID: parts[0], Epoch: epoch}, parts[2], err == nil
}
