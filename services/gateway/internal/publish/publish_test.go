package publish_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/event"
	"loom.internal/services/gateway/internal/publish"
	"loom.internal/services/gateway/internal/spool"
	"loom.internal/services/gateway/internal/spool/disk/disktest"
)

// broker takes everything, in its own time.
type broker struct {
	publish.Broker

	mu    sync.Mutex
	takes time.Duration // a batch
	err   error
	sent  []int64 // numbers, in the order in which they came
	at    map[int64][]time.Time
	mark  int64 // of the one life; negative: none is put
	gone  int64
	made  time.Time
}

func (b *broker) MaxPayload() int64 { return 0 }

func (b *broker) Number(context.Context, map[event.Life]bus.Numbered) error { return nil }

func (b *broker) Publish(ctx context.Context, msgs []*nats.Msg) ([]*nats.Msg, error) {
	b.mu.Lock()
	takes, err := b.takes, b.err
	b.mu.Unlock()
	if err != nil {
		return msgs, err
	}
	<-time.After(takes)
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range msgs {
		n, _ := strconv.ParseInt(m.Header.Get(event.HeaderSeq), 10, 64)
		b.sent = append(b.sent, n)
		b.at[n] = append(b.at[n], time.Now())
	}
	return nil, nil
}

func (b *broker) PublishBatch(ctx context.Context, msgs []*nats.Msg) error {
	_, err := b.Publish(ctx, msgs)
	return err
}

func (b *broker) Watermarks(_ context.Context, lives []event.Life) (event.Watermarks, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	marks := event.Watermarks{}
	if b.mark >= 0 {
		marks[lives[0]] = b.mark
	}
	return marks, nil
}

func (b *broker) Gone(_ context.Context, _ event.Life, upTo int64) error {
	b.set(func() { b.gone = upTo })
	return nil
}

func (b *broker) Made(context.Context) (time.Time, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.made, nil
}

func (b *broker) set(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
}

func (b *broker) count(n int64) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.at[n])
}

// rig is a publisher at work, in a bubble.
type rig struct {
	*broker
	spool *spool.Spool
	log   *safe
	reg   *prometheus.Registry
	ids   byte
	puts  atomic.Int64 // of bodies too large for an event
}

// Put counts.
func (r *rig) Put(context.Context, event.Body) error { r.puts.Add(1); return nil }

func start(t *testing.T, b *broker, segment int64) *rig {
	t.Helper()
	r := &rig{broker: b, log: &safe{}, reg: prometheus.NewRegistry()}
	b.at, b.made = map[int64][]time.Time{}, time.Now()
	log := slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelInfo}))
	var err error
	if r.spool, err = spool.OpenOn(disktest.New(rand.New(rand.NewPCG(1, 1))), spool.Options{SegmentBytes: segment}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	parts.Go(func() { _ = r.spool.Run(ctx) })
	p := publish.New(publish.Options{Broker: b, Bodies: r, Log: log, Metrics: r.reg, Resend: 2 * time.Minute})
	parts.Go(func() {
		if err := p.Run(ctx, r.spool); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); parts.Wait() })
	return r
}

// end ends n requests. What is in them does not decode: their places are published.
func (r *rig) end(t *testing.T, n, size int) {
	t.Helper()
	for range n {
		r.ids++
		id := [16]byte{r.ids}
		if err := errors.Join(r.spool.Begin(t.Context(), id, nil, size), r.spool.End(t.Context(), id, slices.Repeat([]byte{0xff}, size))); err != nil {
			t.Fatal(err)
		}
	}
}

func wait(d time.Duration) { <-time.After(d); synctest.Wait() }

type safe struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safe) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *safe) count(text string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Count(s.b.String(), text)
}

// A watermark that goes back, and stays there, has what is left sent again; of what is not
// left consumers are told, and the next ones are let go of all the same.
func TestWatermarkGoesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, &broker{mark: -1}, 4096)
		r.end(t, 8, 1500) // two to a segment
		wait(time.Second)
		r.set(func() { r.mark = 5 })
		wait(10 * time.Second)
		if got := r.spool.Gone(r.spool.Epoch()); got != 4 {
			t.Fatalf("gone up to %d, want 4", got)
		}
		r.set(func() { r.mark = 2 })
		wait(time.Minute)
		if got := r.count(5); got != 1 {
			t.Errorf("number 5 is sent %d times before the watermark has stayed", got)
		}
		wait(2 * time.Minute)
		if r.count(5) < 2 || r.count(3) != 1 {
			t.Errorf("number 5 is sent %d times, number 3 %d times", r.count(5), r.count(3))
		}
		if r.gone != 4 {
			t.Errorf("gone up to %d is told, want 4", r.gone)
		}
		if r.log.count("Postgres has lost traces") != 1 || r.log.count("the spool has no more") == 0 {
			t.Error("nothing is said of it")
		}
		r.set(func() { r.mark = 8 })
		wait(10 * time.Second)
		if got := r.spool.Stats().Events; got != 0 {
			t.Errorf("%d events are kept", got)
		}
	})
}

// A watermark over all that was given is of another epoch of the same name.
func TestWatermarkOfAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, &broker{mark: 100}, 4096)
		r.end(t, 8, 1500)
		wait(time.Minute)
		if got := r.spool.Stats().Events; got != 8 || r.count(8) != 1 {
			t.Errorf("%d events are kept, want 8; the last is sent %d times", got, r.count(8))
		}
		if r.log.count("over all that this epoch has given") == 0 {
			t.Error("nothing is said of it")
		}
	})
}

// What is not confirmed is sent again ever more seldom, until the broker has another disk.
func TestResendsBackOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, &broker{mark: -1}, 1<<20)
		r.end(t, 1, 9)
		wait(10 * time.Hour)
		if got := r.count(1); got < 10 || got > 17 { // 2, 6, 14, 30, 62 min and every hour
			t.Errorf("sent %d times in 10 hours", got)
		}
		before := r.count(1)
		r.set(func() { r.made = time.Now() })
		wait(3 * time.Minute)
		if got := r.count(1); got != before+1 {
			t.Errorf("a new disk gets it %d times in 3 minutes", got-before)
		}
	})
}

// A pass that takes longer than the time after which all is sent again comes to its end.
func TestSlowPassReachesTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, &broker{mark: 0, takes: time.Minute}, 1<<20)
		r.end(t, 100, 100<<10) // 20 at a time
		wait(20 * time.Minute)
		r.end(t, 1, 9)
		wait(30 * time.Minute)
		if r.count(100) == 0 || r.count(101) == 0 {
			t.Errorf("the last are sent %d and %d times", r.count(100), r.count(101))
		}
	})
}

// Publishing that fails for long is said once, and that it works again.
func TestStuckPublishingIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, &broker{mark: 0, err: errors.New("maximum payload exceeded")}, 1<<20)
		r.end(t, 1, 9)
		wait(time.Minute)
		r.set(func() { r.err = nil })
		wait(time.Minute)
		if warned, over := r.log.count("traces not published"), r.log.count("published again"); warned != 1 || over != 1 {
			t.Errorf("told %d times, and %d times that it is over", warned, over)
		}
		if n, err := testutil.GatherAndCount(r.reg, "loom_gateway_publish_retries_total"); n != 1 || err != nil {
			t.Errorf("retries: %d, %v", n, err)
		}
	})
}
