package spool

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"loom.internal/services/gateway/internal/spool/disk/disktest"
)

// TestFailedWriteIsFinal: a write fails at run time, with some of it on the disk or with a
// file system that is read-only from there on. Nothing is acknowledged any more, the
// error says what the disk said, and the next process has all that was acknowledged.
func TestFailedWriteIsFinal(t *testing.T) {
	t.Parallel()
	for _, durability := range []Durability{Process, Power} {
		for _, why := range []syscall.Errno{syscall.EIO, syscall.EROFS} {
			for after := range 6 { // writes that go well: begin, end, begin …
				t.Run(fmt.Sprintf("%s %s after %d", durability, why, after), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) { failWrite(t, durability, why, after) })
				})
			}
		}
	}
}

func failWrite(t *testing.T, durability Durability, why syscall.Errno, after int) {
	t.Helper()
	disk := disktest.New(rand.New(rand.NewPCG(uint64(after), 1)))
	s, stop := started(t, disk, Options{Durability: durability})
	disk.FailWrite(after, why)
	appends := 0
	var err error
	for ; err == nil; appends++ {
		id := [16]byte{byte(appends/2 + 1)}
		if appends%2 == 0 {
			err = s.Begin(t.Context(), id, []byte("begin"), 100)
		} else {
			err = s.End(t.Context(), id, fmt.Appendf(nil, "end %d", id[0]))
		}
	}
	if appends != after+1 {
		t.Errorf("append %d failed, want %d", appends-1, after)
	}
	_, next := s.Next(t.Context(), Position{1, 99}, 1, 1)
	ran := stop()
	for what, err := range map[string]error{
		"the append": err, "begin": s.Begin(t.Context(), [16]byte{99}, nil, 0), "end": s.End(t.Context(), [16]byte{1}, nil), "next": next, "run": ran,
	} {
		if !errors.Is(err, ErrFailed) || !errors.Is(err, why) {
			t.Errorf("%s: got %v, want %v and %v", what, err, ErrFailed, why)
		}
	}
	if n := strings.Count(ran.Error(), ErrFailed.Error()); n != 1 {
		t.Errorf("the error says %d times that the spool failed: %v", n, ran)
	}
	if why == syscall.EROFS {
		if _, err := OpenOn(disk, Options{Durability: durability}); !errors.Is(err, syscall.EROFS) {
			t.Errorf("open while it is read-only: got %v", err)
		}
	}

	disk.Restart(durability == Power)
	again, stop := started(t, disk, Options{Durability: durability})
	synctest.Wait()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	var got []string
	interrupted := 0
	for at := (Position{}); ; {
		entries, err := again.Next(t.Context(), at, 100, 1<<20)
		if errors.Is(err, ErrClosed) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.Interrupted {
				interrupted++
			} else {
				got = append(got, string(e.Payload))
			}
			at = e.Position
		}
	}
	var want []string
	for i := range after / 2 {
		want = append(want, fmt.Sprintf("end %d", i+1))
	}
	if fmt.Sprint(got) != fmt.Sprint(want) || interrupted != after%2 {
		t.Errorf("after the restart: got %v and %d interrupted, want %v and %d", got, interrupted, want, after%2)
	}
}

// TestOldest: the age of the oldest event that Postgres is not known to have, as it is
// scraped, by the clock of the spool.
func TestOldest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		now, reg := time.Unix(1_800_000_000, 0), prometheus.NewRegistry()
		s, stop := started(t, disktest.New(rand.New(rand.NewPCG(1, 1))), Options{now: func() time.Time { return now }, Metrics: reg})
		ctx := t.Context()
		trace := func(id byte) {
			t.Helper()
			if err := errors.Join(s.Begin(ctx, [16]byte{id}, nil, 10), s.End(ctx, [16]byte{id}, nil)); err != nil {
				t.Fatal(err)
			}
		}
		oldest := func(what string, want float64) {
			t.Helper()
			families, err := reg.Gather()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range families {
				if got := f.GetMetric()[0].GetGauge().GetValue(); f.GetName() == "loom_gateway_spool_oldest_seconds" && got != want {
					t.Errorf("%s: got %v s, want %v", what, got, want)
				}
			}
		}
		oldest("of nothing", 0)
		if err := s.Begin(ctx, [16]byte{99}, nil, 10); err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Hour)
		oldest("of a request that goes on", 0)
		trace(1)
		now = now.Add(40 * time.Second)
		trace(2)
		now = now.Add(20 * time.Second)
		oldest("of two", 60)
		s.Confirm(1, 1)
		oldest("of the second", 20)
		now = now.Add(-time.Minute)
		oldest("by a clock that was put back", 0)
		now = now.Add(2 * time.Minute)
		oldest("by a clock that was put forward", 80)
		s.Confirm(1, 2)
		oldest("of none", 0)
		if err := errors.Join(stop(), s.Close()); err != nil {
			t.Error(err)
		}
	})
}
