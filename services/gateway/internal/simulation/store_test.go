package simulation

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/event"
)

// store is what one consumer has committed. Its replicas share it.
type store struct {
	w    *world
	name string

	mu    sync.Mutex
	away  bool
	rows  map[string]*event.TraceEvent // by trace id
	dead  map[event.Place]string
	lives map[event.Life]numbers
}

func newStore(w *world, name string) *store {
	return &store{w: w, name: name, rows: map[string]*event.TraceEvent{}, dead: map[event.Place]string{}, lives: map[event.Life]numbers{}}
}

// numbers are ranges of numbers, both ends included, in order and apart: the column
// recorded of the table producers.
type numbers [][2]int64

func (n numbers) has(seq int64) bool {
	return slices.ContainsFunc(n, func(r [2]int64) bool { return r[0] <= seq && seq <= r[1] })
}

func (n numbers) with(seq int64) numbers {
	n = append(slices.Clone(n), [2]int64{seq, seq})
	slices.SortFunc(n, func(a, b [2]int64) int { return cmp.Compare(a[0], b[0]) })
	var merged numbers
	for _, r := range n {
		if last := len(merged) - 1; last >= 0 && r[0] <= merged[last][1]+1 {
			merged[last][1] = max(merged[last][1], r[1])
		} else {
			merged = append(merged, r)
		}
	}
	return merged
}

// watermark is the function loom_watermark of the database.
func (n numbers) watermark() int64 {
	if len(n) > 0 && n[0][0] == 1 {
		return n[0][1]
	}
	return 0
}

func (s *store) setAway(away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = away
}

func (s *store) isAway() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.away
}

// commit is one transaction. A trace that is there already stays as it is, and had
// better be the same.
func (s *store) commit(events []*event.TraceEvent, dead []event.Dead) (fresh int, marks event.Watermarks) {
	s.mu.Lock()
	defer s.mu.Unlock()
	marks = make(event.Watermarks)
	count := func(p event.Place) {
		s.lives[p.Life()] = s.lives[p.Life()].with(p.Seq)
		marks[p.Life()] = s.lives[p.Life()].watermark()
	}
	for _, e := range events {
		if was, ok := s.rows[e.GetTraceId()]; !ok {
			s.rows[e.GetTraceId()] = e
			fresh++
		} else if !proto.Equal(was, e) {
			s.w.fail("%s: trace %s came as\n%v\nand as\n%v", s.name, e.GetTraceId(), was, e)
		}
		count(e.Place())
	}
	for _, d := range dead {
		if d.Place == (event.Place{}) || !s.w.power {
			s.w.fail("%s: dead event %q: %s", s.name, d.Data, d.Reason)
		}
		s.dead[d.Place] = d.Reason
		count(d.Place)
	}
	s.w.note("%s has %d events, %d new, and %d dead", s.name, len(events), fresh, len(dead))
	return fresh, marks
}

// watermarks is what a board reads.
func (s *store) watermarks(context.Context, time.Time) (event.Watermarks, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return nil, errAway
	}
	marks := make(event.Watermarks)
	for life, n := range s.lives {
		marks[life] = n.watermark()
	}
	return marks, nil
}

// client is a store as a replica sees it.
type client struct {
	*line
	store  *store
	marked func(event.Watermarks)
}

func (c *client) write(ctx context.Context, events []*event.TraceEvent, dead []event.Dead) (int, error) {
	if err := c.pause(ctx, c.latency()); err != nil {
		if c.rng.IntN(2) == 0 {
			c.store.commit(events, dead) // the COMMIT was out already
		}
		return 0, err
	}
	if c.store.isAway() || c.chance(40) {
		return 0, errAway
	}
	fresh, marks := c.store.commit(events, dead)
	switch {
	case c.chance(25):
		c.w.note("%s does not hear of its commit", c.name)
		return 0, errAway
	case c.chance(25):
		c.dead()
	}
	if c.killed() {
		return 0, errKilled
	}
	c.marked(marks)
	return fresh, nil
}

// consume is a replica of a consumer, life after life.
func (w *world) consume(name string, replica int) {
	for life := 1; !w.isOver(); life++ {
		p := w.spawn(fmt.Sprintf("%s-%d.%d", name, replica, life))
		w.running(name, replica, p)
		log := w.log(p.name)
		board := bus.NewBoard(stream{line: p.line("board")}, name, log, w.stores[name].watermarks)
		metrics, err := bus.NewProjectionMetrics(prometheus.NewRegistry(), name)
		if err != nil {
			w.fail("metrics: %v", err)
			return
		}
		projection := bus.Projection{
			Durable: name, Metrics: metrics, Log: log,
			Store:   (&client{line: p.line("store"), store: w.stores[name], marked: board.Mark}).write,
			BadData: func(error) bool { return false },
		}
		ctx, cancel := context.WithCancel(p.ctx)
		var parts sync.WaitGroup
		parts.Go(func() { board.Run(ctx) })
		parts.Go(func() {
			if err := projection.Run(ctx, stream{line: p.line("broker")}); err != nil {
				w.fail("%s: %v", p.name, err)
			}
		})
		p.lives()
		cancel()
		parts.Wait()
		w.rest(p.rng, 15*time.Second)
	}
}

// log is where a process logs to.
func (w *world) log(name string) *slog.Logger {
	if !w.loud {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(noted{w, name}, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
}

type noted struct {
	w    *world
	name string
}

func (n noted) Write(b []byte) (int, error) {
	n.w.note("%s: %s", n.name, b)
	return len(b), nil
}
