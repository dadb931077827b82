package directory

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func newTestCache(t *testing.T) *cache[string, int] {
	t.Helper()
	c, err := newCache[string, int](2, time.Second, NewMetrics(prometheus.NewRegistry()).of("key"), nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func wantState(t *testing.T, c *cache[string, int], key string, want state) {
	t.Helper()
	if _, got := c.get(key); got != want {
		t.Errorf("%s: got state %d, want %d", key, got, want)
	}
}

func TestRecordsGoStaleWhileNobodyWatches(t *testing.T) {
	t.Parallel()
	c := newTestCache(t)
	c.trust()
	wantState(t, c, "a", unknown)
	c.add("a", 1, c.generation())
	wantState(t, c, "a", fresh)
	c.outdate()
	wantState(t, c, "a", stale)
	c.trust()
	wantState(t, c, "a", stale)
	c.add("a", 2, c.generation())
	wantState(t, c, "a", fresh)
	c.remove("a")
	wantState(t, c, "a", unknown)
}

func TestAReadThatAChangeOvertookIsNotKept(t *testing.T) {
	t.Parallel()
	c := newTestCache(t)
	c.trust()
	before := c.generation()
	c.replace("a", 2) // nobody asked for it yet
	wantState(t, c, "a", unknown)
	c.add("a", 1, before)
	wantState(t, c, "a", unknown)
	c.addAbsent("a", before)
	wantState(t, c, "a", unknown)
}

func TestUnknownNamesDoNotPushGoodOnesOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newTestCache(t)
		c.trust()
		c.add("a", 1, c.generation())
		c.add("b", 1, c.generation())
		for _, name := range []string{"x", "y", "z"} {
			c.addAbsent(name, c.generation())
		}
		wantState(t, c, "a", fresh)
		wantState(t, c, "b", fresh)
		wantState(t, c, "z", absent)
		wantState(t, c, "x", unknown) // its own cache is bounded too
		timer := time.NewTimer(2 * time.Second)
		<-timer.C
		wantState(t, c, "z", unknown)
		c.add("c", 1, c.generation())
		wantState(t, c, "a", unknown)
		for name, got := range map[string]struct {
			counter prometheus.Counter
			want    float64
		}{
			"hits": {c.metrics.hits, 2}, "negative": {c.metrics.negative, 1}, "misses": {c.metrics.misses, 3}, "evictions": {c.metrics.evictions, 1},
		} {
			if n := testutil.ToFloat64(got.counter); n != got.want {
				t.Errorf("%s: got %v, want %v", name, n, got.want)
			}
		}
	})
}
