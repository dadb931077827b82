package analytics

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A process that lives for less than a day compares, one whose Postgres was away does so
// soon, and one that lives long goes on at its pace.
func TestAuditTimes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		every, lives time.Duration
		fails        int // so many times first
		want         int
	}{
		"daily, started again after an hour":           {24 * time.Hour, time.Hour, 0, 1},
		"daily, with a Postgres that is away at first": {24 * time.Hour, time.Hour, 5, 6},
		"daily, for a week and an hour":                {24 * time.Hour, 7*24*time.Hour + time.Hour, 0, 8},
		"more often than the first one would come":     {10 * time.Second, 105 * time.Second, 0, 10},
		"never":       {0, 1000 * time.Hour, 0, 0},
		"not at once": {24 * time.Hour, auditSoonest - 1, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				a, err := newAudit(c.every, Deps{Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry()})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), c.lives)
				defer cancel()
				got, fails := 0, c.fails
				a.once = func(context.Context) error {
					got++
					if fails--; fails >= 0 {
						return errors.New("away")
					}
					return nil
				}
				a.run(ctx)
				if got != c.want {
					t.Errorf("compared %d times, want %d", got, c.want)
				}
			})
		})
	}
}

// Replicas that start together do not compare together.
func TestAuditIsSpread(t *testing.T) {
	t.Parallel()
	a := audit{every: 24 * time.Hour}
	var times []time.Duration
	for range 100 {
		times = append(times, a.soon())
	}
	slices.Sort(times)
	if times[0] < auditSoonest || times[99] >= auditSoonest+auditSpread || times[99]-times[0] < auditSpread/2 {
		t.Errorf("got %s to %s, want them spread over %s after %s", times[0], times[99], auditSpread, auditSoonest)
	}
}
