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
	given map[event.Life]numbers // given up
	log   []change
}

// change is what a transaction did, so that it can be undone.
type change struct {
	places []event.Place
	rows   []string
	dead   []event.Place
	lives  map[event.Life][2]numbers // recorded and given up, before
}

func newStore(w *world, name string) *store {
	return &store{w: w, name: name, rows: map[string]*event.TraceEvent{}, dead: map[event.Place]string{}, lives: map[event.Life]numbers{}, given: map[event.Life]numbers{}}
}

// numbers are ranges of numbers, both ends included, in order and apart: the column
// recorded of the table producers.
type numbers [][2]int64

func (n numbers) has(seq int64) bool {
	return slices.ContainsFunc(n, func(r [2]int64) bool { return r[0] <= seq && seq <= r[1] })
}

func (n numbers) with(seq int64) numbers { return n.or(numbers{{seq, seq}}) }

func (n numbers) or(more numbers) numbers {
	n = append(slices.Clone(n), more...)
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

// without is what is not in n, from 1 to upTo.
func (n numbers) without(upTo int64) (gaps []event.Gap) {
	next := int64(1)
	for _, r := range n {
		if from, to := next, min(r[0]-1, upTo); from <= to {
			gaps = append(gaps, event.Gap{From: from, To: to})
		}
		next = r[1] + 1
	}
	if next <= upTo {
		gaps = append(gaps, event.Gap{From: next, To: upTo})
	}
	return gaps
}

// highest is 0 of none.
func (n numbers) highest() int64 {
	if len(n) == 0 {
		return 0
	}
	return n[len(n)-1][1]
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
	c := change{lives: map[event.Life][2]numbers{}}
	count := func(p event.Place) {
		s.before(&c, p.Life())
		c.places = append(c.places, p)
		s.lives[p.Life()] = s.lives[p.Life()].with(p.Seq)
		marks[p.Life()] = s.mark(p.Life())
	}
	for _, e := range events {
		if was, ok := s.rows[e.GetTraceId()]; !ok {
			s.rows[e.GetTraceId()] = e
			c.rows = append(c.rows, e.GetTraceId())
			fresh++
		} else if !proto.Equal(was, e) && !s.w.losses.isDouble(e.GetTraceId()) {
			s.w.fail("%s: trace %s came as\n%v\nand as\n%v", s.name, e.GetTraceId(), was, e)
		}
		count(e.Place())
	}
	for _, d := range dead {
		if d.Place == (event.Place{}) || !s.w.power {
			s.w.fail("%s: dead event %q: %s", s.name, d.Data, d.Reason)
		}
		if _, ok := s.dead[d.Place]; !ok {
			s.dead[d.Place] = d.Reason
			c.dead = append(c.dead, d.Place)
		}
		count(d.Place)
	}
	s.log = append(s.log, c)
	s.w.losses.back(s.name, c.places, events)
	s.w.note("%s has %d events, %d new, and %d dead", s.name, len(events), fresh, len(dead))
	return fresh, marks
}

func (s *store) before(c *change, life event.Life) {
	if _, ok := c.lives[life]; !ok {
		c.lives[life] = [2]numbers{s.lives[life], s.given[life]}
	}
}

func (s *store) mark(life event.Life) int64 { return s.lives[life].or(s.given[life]).watermark() }

// forget undoes the last n transactions, as a failover to a replica that lagged does. It
// says which numbers are not there any more.
func (s *store) forget(n int) (lost []event.Place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n = min(n, len(s.log))
	var places []event.Place
	for _, c := range slices.Backward(s.log[len(s.log)-n:]) {
		for _, id := range c.rows {
			delete(s.rows, id)
		}
		for _, p := range c.dead {
			delete(s.dead, p)
		}
		for life, was := range c.lives {
			if s.lives[life], s.given[life] = was[0], was[1]; len(was[0])+len(was[1]) == 0 {
				delete(s.lives, life)
				delete(s.given, life)
			}
		}
		places = append(places, c.places...)
	}
	s.log = s.log[:len(s.log)-n]
	for _, p := range places {
		if !s.lives[p.Life()].has(p.Seq) {
			lost = append(lost, p)
		}
	}
	s.w.note("%s forgets %d transactions and %d events", s.name, n, len(lost))
	return lost
}

// counted is a store's numbers as a replica sees them.
type counted struct {
	*line
	store *store
}

// ask has f look at the store.
func (c counted) ask(ctx context.Context, f func(s *store)) error {
	if err := c.pause(ctx, c.latency()); err != nil {
		return err
	}
	c.store.mu.Lock()
	defer c.store.mu.Unlock()
	if c.store.away {
		return errAway
	}
	f(c.store)
	return nil
}

func (c counted) Watermarks(ctx context.Context, _ time.Time) (event.Watermarks, error) {
	marks := make(event.Watermarks)
	return marks, c.ask(ctx, func(s *store) {
		for life := range s.lives {
			marks[life] = s.mark(life)
		}
	})
}

func (c counted) Missing(ctx context.Context, upTo event.Watermarks) (event.Gaps, error) {
	gaps := make(event.Gaps)
	return gaps, c.ask(ctx, func(s *store) {
		for life, to := range upTo {
			if missing := s.lives[life].or(s.given[life]).without(to); len(missing) > 0 {
				gaps[life] = missing
			}
		}
	})
}

func (c counted) GiveUp(ctx context.Context, gaps event.Gaps) error {
	return c.ask(ctx, func(s *store) {
		made := change{lives: map[event.Life][2]numbers{}}
		for life, of := range gaps {
			s.before(&made, life)
			for _, gap := range of {
				s.given[life] = s.given[life].or(numbers{{gap.From, gap.To}})
				c.w.note("%s gives up %d to %d of epoch %d", s.name, gap.From, gap.To, life.Epoch)
			}
			s.lives[life] = s.lives[life].or(nil)
		}
		s.log = append(s.log, made)
	})
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
		board := bus.NewBoard(stream{line: p.line("board")}, name, log, counted{p.line("numbers"), w.stores[name]})
		metrics, err := bus.NewProjectionMetrics(prometheus.NewRegistry(), name)
		if err != nil {
			w.fail("metrics: %v", err)
			return
		}
		projection := bus.Projection{
			Durable: name, Metrics: metrics, Log: log, Stream: stream{line: p.line("board")},
			Store:   (&client{line: p.line("store"), store: w.stores[name], marked: board.Mark}).write,
			BadData: func(error) bool { return false },
		}
		ctx, cancel := context.WithCancel(p.ctx)
		var parts sync.WaitGroup
		parts.Go(func() { board.Run(ctx, &projection) })
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
