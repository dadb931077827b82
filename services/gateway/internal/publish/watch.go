package publish

import (
	"context"
	"log/slog"
	"time"

	"loom.internal/pkg/event"
)

const (
	askLimit  = 5 * time.Second
	madeEvery = 5 * time.Second
)

// watch asks how far consumers have come, until ctx ends. It does so beside publishing:
// a broker that takes nothing may well tell this.
func (p *Publisher) watch(ctx context.Context, sent *sent) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	var made, asked time.Time // when the stream was made, and when that was asked
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if p.confirm(ctx, sent); time.Since(asked) < madeEvery {
			continue
		}
		asked = time.Now()
		limited, cancel := context.WithTimeout(ctx, askLimit)
		now, err := p.opt.Broker.Made(limited)
		cancel()
		if err != nil {
			continue // it will be asked again
		}
		if !made.IsZero() && !now.Equal(made) {
			sent.anew(time.Now())
		}
		made = now
	}
}

// confirm asks for watermarks. A broker that cannot say them now will be asked again.
func (p *Publisher) confirm(ctx context.Context, sent *sent) {
	lives := sent.lives(time.Now())
	if len(lives) == 0 {
		return
	}
	limited, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	marks, err := p.opt.Broker.Watermarks(limited, lives)
	if err != nil && ctx.Err() == nil {
		p.unread.Do(func() {
			p.opt.Log.LogAttrs(ctx, slog.LevelWarn, "watermarks not read, trying again", slog.Any("error", err))
		})
	}
	for life, mark := range marks {
		p.judge(limited, life, mark, sent.confirm(uint64(life.Epoch), uint64(mark), time.Now())) //nolint:gosec // neither is negative
	}
}

// judge tells of a watermark that is not as it should be.
func (p *Publisher) judge(ctx context.Context, life event.Life, mark int64, v verdict) {
	at := []slog.Attr{slog.Int64("epoch", life.Epoch), slog.Int64("watermark", mark)}
	if v.foreign {
		p.metrics.foreign.Inc()
		p.unread.Do(func() {
			p.opt.Log.LogAttrs(ctx, slog.LevelError, "a watermark is over all that this epoch has given: is there another gateway with a copy of this spool? It is not believed, and nothing is let go of; set the clock right and start the gateway again", at...)
		})
	}
	if v.lost {
		p.metrics.takenBack.Inc()
		p.opt.Log.LogAttrs(ctx, slog.LevelError, "Postgres has lost traces that it had: sending again what the spool still has of them", at...)
	}
	if v.gone > 0 {
		p.metrics.takenBack.Inc()
		p.opt.Log.LogAttrs(ctx, slog.LevelError, "Postgres lacks traces that the spool has no more: unless the stream has them, they are lost; see `loom verify`",
			append(at, slog.Uint64("gone_to", v.gone))...)
		if err := p.opt.Broker.Gone(ctx, life, int64(v.gone)); err != nil { //nolint:gosec // at most what was published
			p.opt.Log.LogAttrs(ctx, slog.LevelWarn, "consumers are not told so yet", slog.Any("error", err))
		}
	}
}
