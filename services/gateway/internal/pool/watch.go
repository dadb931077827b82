package pool

import (
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"loom.internal/services/gateway/internal/spool"
	"loom.internal/services/gateway/internal/spool/disk"
)

// retryAfter is how long a spool that could not be emptied is left alone.
const retryAfter = time.Minute

// watch is what a gateway knows of the spools of others. It is for one goroutine, but for
// others.
type watch struct {
	p       *Pool
	orphans map[string]*orphan
	waiting atomic.Int64 // orphans at the last look
	unread  rate.Sometimes
}

// orphan is a spool with something in it that nobody holds.
type orphan struct {
	since  time.Time // when that was first seen
	tried  time.Time // when it was last adopted; zero: never
	failed bool      // the last time
	left   spool.Left
	events uint64
}

func newWatch(p *Pool) *watch {
	return &watch{p: p, orphans: map[string]*orphan{}, unread: rate.Sometimes{Interval: time.Minute}}
}

// others reports whether any orphan waits.
func (w *watch) others() bool { return w.waiting.Load() > 0 }

// look sees which spools nobody holds, bar the one that this gateway is emptying.
func (w *watch) look(now time.Time, busy string) {
	names, err := w.p.names()
	if err != nil {
		w.complain("", err)
		return // as far as is known, all is as it was
	}
	there := map[string]bool{busy: true}
	for _, name := range names {
		if name == busy {
			continue
		}
		if err := w.see(now, name); err == nil {
			there[name] = true
		} else if !errors.Is(err, errNotOrphaned) && !errors.Is(err, fs.ErrNotExist) {
			there[name] = true
			w.complain(name, err)
		}
	}
	maps.DeleteFunc(w.orphans, func(name string, _ *orphan) bool { return !there[name] })
	var waiting, bad int64
	var events uint64
	for name, o := range w.orphans {
		if name == busy {
			continue
		}
		waiting++
		events += o.events
		if o.failed {
			bad++
		}
	}
	w.waiting.Store(waiting)
	w.p.metrics.orphaned.Set(float64(waiting))
	w.p.metrics.waiting.Set(float64(events))
	w.p.metrics.bad.Set(float64(bad))
}

func (w *watch) complain(name string, err error) {
	w.unread.Do(func() {
		w.p.opt.Log.Warn("spools of others cannot be looked at, trying again", slog.String("spool", name), slog.Any("error", err))
	})
}

var errNotOrphaned = errors.New("it is empty, or somebody holds it")

// see looks at one spool.
func (w *watch) see(now time.Time, name string) error {
	left, err := w.p.left(name)
	if err != nil {
		return err
	}
	if !left.Any() {
		return errNotOrphaned
	}
	held, err := w.p.opt.Place.Held(name)
	if err != nil {
		return err
	}
	if held {
		return errNotOrphaned
	}
	o := w.orphans[name]
	if o == nil {
		o = &orphan{since: now}
		w.orphans[name] = o
	}
	if o.left == left {
		return nil // and so are its events, while nobody has written
	}
	err = w.p.opt.Place.Read(name, func(dir disk.Dir) (err error) {
		o.events, err = spool.CountOn(dir)
		return err
	})
	if err == nil {
		o.left = left
	}
	return err
}

// next is the orphan whose turn it is: one that has been one for a whole round of looking,
// since a gateway that is only restarted is soon back; those not tried yet come first.
// "" is none.
func (w *watch) next(now time.Time) (turn string) {
	for name, o := range w.orphans {
		if now.Sub(o.since) < w.p.opt.Every || o.failed && now.Sub(o.tried) < retryAfter {
			continue
		}
		was := w.orphans[turn]
		if was == nil || o.tried.Before(was.tried) || o.tried.Equal(was.tried) && name < turn {
			turn = name
		}
	}
	return turn
}

// tried takes note of how an adoption went.
func (w *watch) tried(name string, err error, now time.Time) {
	if o := w.orphans[name]; o != nil {
		o.tried, o.failed = now, err != nil
	}
}
