// Package pool lets any number of gateways keep their spools in one place, and empties
// those of gateways that have gone for good.
//
//	LOOM_GATEWAY_SPOOL_DIR/
//	  gw-000   a spool, held by a living gateway
//	  gw-001   another
//	  gw-002   nobody holds it ──▶ if there is something in it, one of the others sends it
//
// Who holds a spool is told by the lock on it, which ends with its process. Directories are
// not removed, only emptied: to remove one that somebody is about to lock would leave two
// owners. There are as many of them as gateways ever lived at once.
package pool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"loom.internal/services/gateway/internal/spool"
	"loom.internal/services/gateway/internal/spool/disk"
)

// maxSpools bounds how many directories there are in a place.
const maxSpools = 1000

var isName = regexp.MustCompile(`^gw-\d{3}$`)

func nameOf(n int) string { return fmt.Sprintf("gw-%03d", n) }

// Place is where spools are. A test has it on disks that fail.
type Place interface {
	// Names lists what is there.
	Names() ([]string, error)
	// Read calls do with the directory of a spool, whoever holds it, to look at it only.
	Read(name string, do func(disk.Dir) error) error
	// Held reports whether somebody holds a spool.
	Held(name string) (bool, error)
	// Open takes a spool, and makes its directory if it is not there. spool.ErrLocked says
	// that somebody holds it.
	Open(name string, o spool.Options) (*spool.Spool, error)
}

// Publish sends what is in a spool until ctx ends or the spool has.
type Publish func(ctx context.Context, s *spool.Spool) error

// Options of New.
type Options struct {
	Place   Place
	Every   time.Duration // how often it is looked for spools that nobody holds; default 10 s
	Log     *slog.Logger
	Metrics prometheus.Registerer
}

// Pool is a gateway's share in a place: one spool of its own, and now and then another's.
type Pool struct {
	opt     Options
	metrics metrics
	own     *spool.Spool  // set by Take
	opts    spool.Options // of own
}

// New makes a pool. It touches nothing.
func New(o Options) *Pool {
	if o.Every == 0 {
		o.Every = 10 * time.Second
	}
	return &Pool{opt: o, metrics: newMetrics(o.Metrics)}
}

// Take opens a spool that nobody holds for this gateway's own: one with something in it
// before an empty one, and a new one if there is none. A spool that this program cannot
// open is left to those who can.
func (p *Pool) Take(o spool.Options) (*spool.Spool, error) {
	names, err := p.names()
	if err != nil {
		return nil, err
	}
	there := map[string]bool{}
	var left, empty []string
	for _, name := range names {
		there[name] = true
		if l, err := p.left(name); err == nil && l.Any() {
			left = append(left, name)
		} else {
			empty = append(empty, name)
		}
	}
	for _, name := range slices.Concat(left, empty) {
		s, err := p.open(name, o)
		switch {
		case err == nil:
			return p.takes(name, s, o), nil
		case errors.Is(err, spool.ErrLocked):
		case isOfPlace(err):
			return nil, explain(err)
		default:
			p.opt.Log.Error("a spool cannot be opened: what is in it waits until that is mended, this gateway takes another",
				slog.String("spool", name), slog.Any("error", err))
		}
	}
	for n := range maxSpools {
		name := nameOf(n)
		if there[name] {
			continue
		}
		s, err := p.open(name, o)
		if errors.Is(err, spool.ErrLocked) {
			continue // another gateway was faster
		}
		if err != nil {
			return nil, explain(err)
		}
		return p.takes(name, s, o), nil
	}
	return nil, fmt.Errorf("all %d spools are in use: stop gateways, or give this one another place", maxSpools)
}

func (p *Pool) open(name string, o spool.Options) (*spool.Spool, error) {
	o.Log = p.opt.Log.With(slog.String("spool", name))
	return p.opt.Place.Open(name, o)
}

func (p *Pool) takes(name string, s *spool.Spool, o spool.Options) *spool.Spool {
	p.own, p.opts = s, o
	p.opt.Log.Info("spool is taken", slog.String("spool", name), slog.String("producer", s.Producer()))
	return s
}

// names lists the spools.
func (p *Pool) names() ([]string, error) {
	names, err := p.opt.Place.Names()
	if err != nil {
		return nil, explain(err)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !isName.MatchString(name) })
	slices.Sort(names)
	return names, nil
}

// left looks what is in a spool.
func (p *Pool) left(name string) (l spool.Left, err error) {
	err = p.opt.Place.Read(name, func(dir disk.Dir) (err error) {
		l, err = spool.LeftOn(dir)
		return err
	})
	return l, err
}
