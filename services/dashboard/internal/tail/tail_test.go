package tail_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"loom.internal/pkg/tenant"
	"loom.internal/services/dashboard/internal/query"
	"loom.internal/services/dashboard/internal/tail"
	"loom.internal/services/dashboard/internal/traces"
)

// table is where traces are recorded, as Postgres shows it: in the order of recording, and
// not before they are committed.
type table struct {
	mu   sync.Mutex
	rows []traces.Recorded

	down  atomic.Bool
	polls atomic.Int64
}

var errDown = errors.New("the database is away")

// record commits n traces that began to be recorded so long ago.
func (s *table) record(n int, ago time.Duration, edit ...func(*traces.Recorded)) (ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range n {
		r := traces.Recorded{RecordedAt: time.Now().Add(-ago)}
		r.ID, r.CostStatus = uuid.Must(uuid.NewV7()).String(), "pending"
		for _, f := range edit {
			f(&r)
		}
		s.rows, ids = append(s.rows, r), append(ids, r.ID)
	}
	return ids
}

func (s *table) read(keep func(traces.Recorded) bool) ([]traces.Recorded, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down.Load() {
		return nil, errDown
	}
	var all []traces.Recorded
	for _, r := range s.rows {
		if keep(r) {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b traces.Recorded) int {
		if c := a.RecordedAt.Compare(b.RecordedAt); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return all, nil
}

func (s *table) Now(context.Context) (time.Time, error) {
	_, err := s.read(func(traces.Recorded) bool { return false })
	return time.Now(), err
}

func (s *table) Latest(_ context.Context, _ string, from time.Time, limit int) ([]traces.Recorded, time.Time, error) {
	all, err := s.read(func(r traces.Recorded) bool { return !r.RecordedAt.Before(from) })
	s.polls.Add(1)
	return all[max(0, len(all)-limit):], time.Now(), err
}

func (s *table) After(_ context.Context, _ string, place traces.Place, until time.Time, limit int) ([]traces.Recorded, error) {
	all, err := s.read(func(r traces.Recorded) bool {
		c := r.RecordedAt.Compare(place.At)
		return (c > 0 || c == 0 && r.ID > place.ID.String()) && r.RecordedAt.Before(until)
	})
	return all[:min(len(all), limit)], err
}

// client is a stream and what came of it.
type client struct {
	mu     sync.Mutex
	events []string
	revoke atomic.Bool
	block  chan struct{} // it takes nothing until this is closed
	pause  time.Duration // that an event takes
	done   chan error
}

func (c *client) Write(event []byte) error {
	if c.block != nil {
		<-c.block
	}
	time.Sleep(c.pause) //nolint:forbidigo // the clock of the bubble
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events = append(c.events, string(event))
	return nil
}

func (c *client) check(context.Context) error {
	if c.revoke.Load() {
		return tenant.ErrUnauthorized
	}
	return nil
}

// got are the ids of the traces it has had.
func (c *client) got() (ids []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.events {
		if strings.HasPrefix(e, "event: trace\n") {
			id, _, _ := strings.Cut(e, "\ndata")
			_, id, _ = strings.Cut(id, "id: ")
			_, id, _ = strings.Cut(id, ".")
			ids = append(ids, id)
		}
	}
	return ids
}

// count is how many events of it are this one.
func (c *client) count(event string) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.events {
		if e == event {
			n++
		}
	}
	return n
}

func dropped(n any) string { return fmt.Sprintf("event: dropped\ndata: {\"n\":%v}\n\n", n) }

type bench struct {
	*table
	hub *tail.Hub
	ctx context.Context //nolint:containedctx // of the test, for all that it starts
}

// inBubble runs a test with a hub, whose clock waits for nobody.
func inBubble(t *testing.T, test func(t *testing.T, b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{table: &table{}}
		var stop context.CancelFunc
		b.ctx, stop = context.WithCancel(t.Context())
		b.hub = tail.NewHub(b.table, slog.New(slog.DiscardHandler))
		done := make(chan struct{})
		go func() { b.hub.Run(b.ctx); close(done) }()
		defer func() { stop(); <-done }()
		test(t, b)
	})
}

func (b *bench) open(t *testing.T, s *tail.Stream, c *client) *client {
	t.Helper()
	if s.TenantID == "" {
		s.TenantID = "acme"
	}
	if err := b.hub.Open(b.ctx, s); err != nil {
		t.Fatal(err)
	}
	c.done = make(chan error, 1)
	go func() {
		defer s.Close()
		c.done <- s.Run(b.ctx, tail.Client{Write: c.Write, Check: c.check})
	}()
	synctest.Wait()
	return c
}

func wait(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // the clock of the bubble
	synctest.Wait()
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %d traces %v, want %d %v", what, len(got), got, len(want), want)
	}
}

// What is recorded while somebody watches comes once, however late it is committed.
func TestEachTraceComesOnce(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bench) { //nolint:thelper // the test itself
		b.record(3, time.Second) // before anybody watched
		c := b.open(t, &tail.Stream{}, &client{})
		var want []string
		for i := range 30 {
			want = append(want, b.record(2, 0)...)
			want = append(want, b.record(1, min(time.Duration(i)*time.Second, 4*time.Second))...)
			wait(time.Second)
		}
		wait(time.Minute)
		same(t, "watched", c.got(), want)
		if n := c.count(":\n\n"); n < 5 || n > 7 {
			t.Errorf("%d comments in a minute and a half", n)
		}
	})
}

// Nor does one get lost of a transaction that took as long as it may.
func TestLateCommits(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bench) { //nolint:thelper // the test itself
		b.record(1, 0)
		place := b.rows[0].Place()
		wait(time.Minute)
		c, want := b.open(t, &tail.Stream{}, &client{}), []string(nil)
		wait(time.Minute)
		for ago := range 30 {
			want = append(want, b.record(1, time.Duration(ago)*time.Second)...)
			wait(time.Second)
		}
		late := b.record(1, 0, func(r *traces.Recorded) { r.RecordedAt = place.At.Add(-29 * time.Second) })
		wait(10 * time.Second)
		same(t, "watched", c.got(), want)
		resumed := b.open(t, &tail.Stream{After: &place}, &client{})
		wait(time.Second)
		if got := resumed.got(); !slices.Contains(got, late[0]) || len(got) != len(want)+2 {
			t.Errorf("resumed: got %d traces, want %d", len(got), len(want)+2)
		}
	})
}

func TestFiltersAndLateCosts(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bench) { //nolint:thelper // the test itself
		c := b.open(t, &tail.Stream{Filter: query.Filter{Models: []string{"a"}, CostStatuses: []string{"priced"}}}, &client{})
		b.record(1, 0, func(r *traces.Recorded) { r.Model, r.CostStatus = "b", "priced" })
		want := b.record(1, 0, func(r *traces.Recorded) { r.Model = "a" })
		wait(2 * time.Second)
		same(t, "not accounted yet", c.got(), nil)
		b.mu.Lock()
		b.rows[1].CostStatus = "priced"
		b.mu.Unlock()
		wait(2 * time.Second)
		same(t, "accounted", c.got(), want)
	})
}

func TestMoreThanItMayHave(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bench) { //nolint:thelper // the test itself
		c := b.open(t, &tail.Stream{}, &client{})
		wait(time.Second)
		ids := b.record(32, 0)
		wait(time.Second)
		if got := c.got(); len(got) != 20 || c.count(dropped(12)) != 1 {
			t.Errorf("got %d of %d traces: %v", len(got), len(ids), c.events)
		}
		b.record(3000, 0) // more than is read
		wait(time.Second)
		if got := c.got(); len(got) != 40 || c.count(dropped("null")) != 1 {
			t.Errorf("got %d traces, and %d times that nobody knows how many were dropped", len(got), c.count(dropped("null")))
		}
	})
}

// A client that takes nothing holds up nobody, and is told.
func TestSlowClient(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bench) { //nolint:thelper // the test itself
		quick := b.open(t, &tail.Stream{}, &client{})
		slow := b.open(t, &tail.Stream{}, &client{block: make(chan struct{})})
		var ids []string
		for range 80 {
			ids = append(ids, b.record(1, 0)...)
			wait(time.Second)
		}
		same(t, "quick", quick.got(), ids)
		close(slow.block)
		wait(5 * time.Second)
		if len(slow.got()) >= 80 || slow.count(dropped("null")) == 0 {
			t.Errorf("the slow one got %d traces of 80: %v", len(slow.got()), slow.events)
		}
	})
}

func TestResume(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bench) { //nolint:thelper // the test itself
		first := b.record(1, 0)
		place := b.rows[0].Place()
		var missed []string
		for range 30 {
			missed = append(missed, b.record(25, 0)...)
			wait(time.Minute)
		}
		missed = append(missed, b.record(700, 0)...) // more than a page in one instant
		wait(time.Second)
		c := b.open(t, &tail.Stream{After: &place}, &client{})
		wait(time.Second)
		same(t, "after half an hour", c.got(), append(missed, first...)) // what lies so close may come again
		if c.count(dropped("null")) != 0 {
			t.Error("some are said to be dropped")
		}
		live := b.record(2, 0)
		wait(2 * time.Second)
		same(t, "and on", c.got()[len(c.got())-2:], live)

		wait(time.Hour)
		late := b.open(t, &tail.Stream{After: &place}, &client{})
		wait(time.Second)
		if late.count(dropped("null")) != 1 || slices.Contains(late.got(), missed[0]) {
			t.Errorf("after more than an hour: got %d traces", len(late.got()))
		}
	})
}

// Nothing is lost while the database is away, and a stream cannot begin then.
func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bench) { //nolint:thelper // the test itself
		c := b.open(t, &tail.Stream{}, &client{})
		wait(time.Second)
		b.down.Store(true)
		ids := b.record(5, 0)
		wait(time.Minute)
		if err := b.hub.Open(b.ctx, &tail.Stream{TenantID: "acme"}); !errors.Is(err, errDown) {
			t.Errorf("open: got %v", err)
		}
		place := b.rows[0].Place()
		b.down.Store(false)
		resumed := &tail.Stream{TenantID: "acme", After: &place}
		if err := b.hub.Open(b.ctx, resumed); err != nil {
			t.Fatal(err)
		}
		defer resumed.Close()
		b.down.Store(true)
		if err := resumed.Run(b.ctx, tail.Client{Write: c.Write}); !errors.Is(err, errDown) {
			t.Errorf("resume: got %v", err)
		}
		b.down.Store(false)
		wait(2 * time.Second)
		same(t, "back again", c.got(), ids)
	})
}

func TestEnds(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bench) { //nolint:thelper // the test itself
		revoked := b.open(t, &tail.Stream{}, &client{})
		wait(time.Second)
		revoked.revoke.Store(true)
		wait(5 * time.Second)
		if err := <-revoked.done; !errors.Is(err, tenant.ErrUnauthorized) {
			t.Errorf("revoked: got %v", err)
		}
		gone := &tail.Stream{TenantID: "acme"}
		if err := b.hub.Open(b.ctx, gone); err != nil {
			t.Fatal(err)
		}
		if err := gone.Run(b.ctx, tail.Client{Write: func([]byte) error { return errDown }}); !errors.Is(err, errDown) {
			t.Errorf("gone: got %v", err)
		}
		gone.Close()
		polls := b.polls.Load()
		wait(time.Minute)
		if b.polls.Load() > polls+1 {
			t.Errorf("%d polls while nobody watched", b.polls.Load()-polls)
		}
		again := b.open(t, &tail.Stream{}, &client{})
		ids := b.record(1, 0)
		wait(2 * time.Second)
		same(t, "again", again.got(), ids)
	})
}

// Who catches up slowly does not get what was recorded after he lost the right to it.
func TestEndsWhileItCatchesUp(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bench) { //nolint:thelper // the test itself
		b.record(1, 30*time.Minute)
		place := b.rows[0].Place()
		b.record(1000, 20*time.Minute)
		c := b.open(t, &tail.Stream{After: &place}, &client{pause: time.Second})
		wait(10*time.Second + time.Millisecond)
		c.revoke.Store(true)
		wait(7 * time.Second)
		select {
		case err := <-c.done:
			if !errors.Is(err, tenant.ErrUnauthorized) {
				t.Errorf("got %v", err)
			}
		default:
			t.Errorf("got %d traces, and more to come", len(c.got()))
		}
	})
}

func TestBounds(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bench) { //nolint:thelper // the test itself
		for range tail.MaxStreams {
			b.open(t, &tail.Stream{}, &client{})
		}
		if err := b.hub.Open(b.ctx, &tail.Stream{TenantID: "acme"}); !errors.Is(err, tail.ErrFull) {
			t.Errorf("one too many: got %v", err)
		}
		b.open(t, &tail.Stream{TenantID: "other"}, &client{})
		polls := b.polls.Load()
		wait(10 * time.Second)
		if n := b.polls.Load() - polls; n != 20 {
			t.Errorf("%d polls for two tenants in 10 s", n)
		}
	})
}

// Streams end when the service does, also those that catch up, and there are no others.
func TestStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{table: &table{}, ctx: t.Context()}
		ctx, stop := context.WithCancel(t.Context())
		b.hub = tail.NewHub(b.table, slog.New(slog.DiscardHandler))
		done := make(chan struct{})
		go func() { b.hub.Run(ctx); close(done) }()
		c := b.open(t, &tail.Stream{}, &client{})
		b.record(1, time.Minute)
		place := b.rows[0].Place()
		behind := b.open(t, &tail.Stream{After: &place}, &client{block: make(chan struct{})})
		stop()
		<-done
		close(behind.block)
		for _, c := range []*client{c, behind} {
			if err := <-c.done; !errors.Is(err, tail.ErrStopped) {
				t.Errorf("got %v, want that the service stops", err)
			}
		}
		if err := b.hub.Open(t.Context(), &tail.Stream{TenantID: "acme"}); !errors.Is(err, tail.ErrStopped) {
			t.Errorf("open: got %v", err)
		}
	})
}
