package spool

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"loom.internal/services/gateway/internal/spool/disk"
)

var (
	// ErrLocked is returned by Open when another process owns the directory.
	ErrLocked = errors.New("spool is in use")
	// ErrVersion is returned by Open for a directory a newer program wrote. It is left as it was.
	ErrVersion = errors.New("spool is of a newer version")
	// ErrForeign is returned by Open for a directory with a segment of another one: what is
	// in it would go out under the wrong name. The directory is left as it was.
	ErrForeign = errors.New("spool holds a segment of another spool")
	// ErrFull is returned when MaxBytes or the disk leave no room. Nothing was written;
	// it passes when segments are confirmed or the disk has space again.
	ErrFull = errors.New("spool is full")
	// ErrFailed is returned by everything after a failed write or sync: what the disk
	// holds is no longer known. Close and Open again.
	ErrFailed = errors.New("spool failed")
	// ErrClosed is returned after Run has returned.
	ErrClosed = errors.New("spool is closed")
	// ErrTooLarge is returned for a payload over MaxPayload.
	ErrTooLarge = errors.New("payload too large for the spool")
	// ErrBegun is returned by Begin for an id that is begun and not ended.
	ErrBegun = errors.New("already begun")
	// ErrNotBegun is returned by End for an id that is not begun, or ended already.
	ErrNotBegun = errors.New("not begun")
)

// isFull reports an error that goes away when there is space again. A sync that failed
// for lack of space is not one: what it lost stays lost.
func isFull(err error) bool {
	return !errors.Is(err, ErrFailed) &&
		(errors.Is(err, ErrFull) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT))
}

// Durability is what an append survives when it has returned nil.
type Durability string

// The durabilities.
const (
	Process Durability = "process" // the death of the process
	Power   Durability = "power"   // the loss of power: one fdatasync a group
)

// Options of a spool. Zero values stand for the defaults.
type Options struct {
	Durability   Durability // default Process
	MaxBytes     int64      // of all segments with what is reserved, bar what Run writes itself; default 2 GiB
	SegmentBytes int64      // a segment is closed at this size; default 16 MiB, at most MaxBytes/4

	// Interrupted makes the end of a request that an earlier process began and did not
	// end. An error sets the begin aside in quarantine. Without it the end has the
	// payload of the begin. It is called by Run.
	Interrupted func(id [16]byte, begin []byte) (end []byte, err error)

	Log     *slog.Logger          // default discards
	Metrics prometheus.Registerer // default none
	Beside  *Spool                // its metrics count what this one does too; it stays open for longer

	now func() time.Time
}

func (o *Options) defaults() error {
	if o.Durability == "" {
		o.Durability = Process
	}
	if o.Durability != Process && o.Durability != Power {
		return fmt.Errorf("spool durability %q: use %q or %q", o.Durability, Process, Power)
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 2 << 30
	}
	if o.SegmentBytes == 0 {
		o.SegmentBytes = 16 << 20
	}
	if o.MaxBytes < 0 || o.SegmentBytes < 0 {
		return errors.New("spool sizes must be positive")
	}
	o.SegmentBytes = min(o.SegmentBytes, o.MaxBytes/4)
	if o.Interrupted == nil {
		o.Interrupted = func(_ [16]byte, begin []byte) ([]byte, error) { return begin, nil }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.now == nil {
		o.now = time.Now
	}
	return nil
}

// Spool is an open spool. Begin, End, Next, Confirm and Stats may be called by many
// goroutines, while one runs Run.
type Spool struct {
	disk    disk.Dir
	opt     Options
	st      state
	release func() error // of the directory
	counts  *counters

	wake chan struct{} // capacity 1: there is work for Run

	// Of Run's goroutine alone (and of Open before it).
	current   disk.File
	allocated int64 // disk space taken for current
	opens     map[[16]byte]*open
	orphans   []*open
	reserved  int64 // bytes kept for the ends of opens
	nextSeq   uint64
	pressed   bool // an append was refused since the last reclaim
	buf       []byte
	aside     int64 // bytes copied to quarantine
	unread    rate.Sometimes

	mu        sync.Mutex
	queue     []*op
	err       error // why appends are refused; nil while open
	changed   chan struct{}
	segments  []*segment // the last is the current one
	used      int64
	confirmed map[uint64]uint64 // by epoch
	gauge     gauges
}

// Open takes the directory, creating it if needed, reads what earlier processes left,
// and starts a new epoch. Bytes that are no intact record are copied to quarantine,
// with an error in the log.
func Open(dir string, opt Options) (*Spool, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	held, err := lock(root)
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	release := func() error { return errors.Join(held.Close(), root.Close()) }
	s, err := OpenOn(disk.OS(root), opt)
	if err != nil {
		return nil, errors.Join(err, release())
	}
	s.release = release
	if err := sign(held); err != nil {
		return nil, errors.Join(fmt.Errorf("open spool: %w", err), s.Close())
	}
	return s, nil
}

// OpenOn is Open on a directory that nobody else uses. If dir is an io.Closer it is closed
// with the spool.
func OpenOn(dir disk.Dir, opt Options) (*Spool, error) {
	if err := opt.defaults(); err != nil {
		return nil, err
	}
	s := &Spool{
		disk: dir, opt: opt,
		release:   func() error { return nil },
		counts:    newCounters(),
		wake:      make(chan struct{}, 1),
		opens:     map[[16]byte]*open{},
		nextSeq:   1,
		changed:   make(chan struct{}),
		confirmed: map[uint64]uint64{},
		unread:    rate.Sometimes{Interval: time.Minute},
	}
	if c, ok := dir.(io.Closer); ok {
		s.release = c.Close
	}
	if opt.Beside != nil {
		s.counts = opt.Beside.counts
	}
	if err := s.boot(); err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	if opt.Metrics != nil {
		if err := opt.Metrics.Register(collector{s}); err != nil {
			return nil, errors.Join(fmt.Errorf("open spool: %w", err), s.current.Close())
		}
	}
	return s, nil
}

// Producer is the directory's id: 32 hex digits, made when it was created.
func (s *Spool) Producer() string { return hex.EncodeToString(s.st.producer[:]) }

// Epoch is that of this Open.
func (s *Spool) Epoch() uint64 { return s.st.epoch }

// Begin stores that a request begins. It returns nil when that is durable; ErrFull,
// and then nothing is written, unless there is room for it and for an end of reserve
// payload bytes, which it sets aside; ErrFailed when it may or may not be on disk.
//
// ctx is looked at before the record is queued, never after: what Begin returns is what
// happened. The wait is for one write (and sync) of the disk at most, and for the one before.
func (s *Spool) Begin(ctx context.Context, id [16]byte, payload []byte, reserve int) error {
	if reserve < 0 || reserve > MaxPayload {
		return fmt.Errorf("%w: end of %d bytes, at most %d", ErrTooLarge, reserve, MaxPayload)
	}
	return s.append(ctx, &op{kind: kindBegin, id: id, payload: payload, reserve: int64(reserve)})
}

// End stores how a request ended and gives it the next sequence number. It returns nil
// when that is durable. With a payload within the reserve of its Begin it does not fail
// for lack of room. With a longer one it may: ErrFull, and a shorter one can be tried.
// ctx is as in Begin.
func (s *Spool) End(ctx context.Context, id [16]byte, payload []byte) error {
	return s.append(ctx, &op{kind: kindEnd, id: id, payload: payload})
}

// append queues the op and waits. The queue holds one op a caller: whoever bounds the
// requests bounds it.
func (s *Spool) append(ctx context.Context, o *op) error {
	if len(o.payload) > MaxPayload {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(o.payload), MaxPayload)
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	o.sum = checksum(o.payload)
	o.done = make(chan error, 1)
	if err := s.enqueue(o); err != nil {
		return err
	}
	return <-o.done
}

func (s *Spool) enqueue(ops ...*op) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	s.queue = append(s.queue, ops...)
	s.signal()
	return nil
}

func (s *Spool) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Confirm says that every event of the epoch up to seq is in Postgres. Segments that
// hold nothing else are removed. What is confirmed is remembered as far as its segments
// are gone: after a restart Next may deliver some of it again. A lower seq than before
// says that Postgres has lost some: what is left of it is kept until it is confirmed anew.
func (s *Spool) Confirm(epoch, seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.segments {
		if g.epoch == epoch && seq != s.confirmed[epoch] {
			s.confirmed[epoch] = seq
			s.signal()
			return
		}
	}
}

// Gone is the number up to which an epoch has no event here any more; all of them for an
// epoch without a segment.
func (s *Spool) Gone(epoch uint64) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.segments {
		if g.epoch == epoch {
			return g.first - 1
		}
	}
	return math.MaxInt64
}

// Given is how many numbers this epoch has given.
func (s *Spool) Given() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.segments[len(s.segments)-1].last
}

// Last is the place of the latest event that is here, and the zero Position without one.
func (s *Spool) Last() (last Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.segments {
		if g.ends() > 0 && g.epoch >= last.Epoch {
			last = Position{g.epoch, g.last}
		}
	}
	return last
}

// Close gives the directory free. Run must have returned, or never been called; Next must
// not be called any more.
func (s *Spool) Close() error {
	s.stop(ErrClosed)
	if s.opt.Metrics != nil {
		s.opt.Metrics.Unregister(collector{s})
	}
	return errors.Join(s.current.Close(), s.release())
}

// stop refuses appends from now on and lets readers see it.
func (s *Spool) stop(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
		s.broadcast()
	}
}

// broadcast wakes all readers; mu is held.
func (s *Spool) broadcast() {
	close(s.changed)
	s.changed = make(chan struct{})
}
