package record_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"loom.internal/pkg/event"
	"loom.internal/pkg/testkit"
	"loom.internal/services/gateway/internal/record"
	"loom.internal/services/gateway/internal/spool"
	"loom.internal/services/gateway/internal/spool/disk/disktest"
)

// A disk fails to write, or becomes read-only, while requests are served: what follows is
// refused or served untraced, as the policy says, and counted; no end of a request that
// was begun is said to be safe.
func TestPolicyOnAFailedWrite(t *testing.T) {
	t.Parallel()
	for _, why := range []syscall.Errno{syscall.EIO, syscall.EROFS} {
		for _, policy := range []record.Policy{record.Required, record.BestEffort} {
			t.Run(string(policy)+" "+why.Error(), func(t *testing.T) {
				t.Parallel()
				disk, metrics := disktest.New(rand.New(rand.NewPCG(1, 1))), prometheus.NewRegistry()
				r := record.New(record.Options{
					Durability: spool.Power, MaxBytes: 16 << 20, Policy: policy, Log: testkit.Log(t), Metrics: metrics,
					OpenSpool: func(o spool.Options) (*spool.Spool, error) { return spool.OpenOn(disk, o) },
				})
				s, err := r.Open()
				if err != nil {
					t.Fatal(err)
				}
				ran := make(chan error, 1)
				go func() { ran <- s.Run(context.Background()) }()
				before, during := begun(), begun()
				whole := testkit.Event("acme", before.StartedAt(), func(e *event.TraceEvent) { e.TraceId, e.Producer = before.GetTraceId(), nil })
				if err := r.Begin(t.Context(), before); err != nil {
					t.Fatal(err)
				}
				disk.FailWrite(0, why)
				if err := r.End(t.Context(), whole); !errors.Is(err, spool.ErrFailed) || !errors.Is(err, why) {
					t.Errorf("the end of what was begun: got %v, want failed: %v", err, why)
				}
				err = r.Begin(t.Context(), during)
				untraced := counter(t, metrics, "loom_untraced_total")
				switch policy {
				case record.Required:
					if !errors.Is(err, spool.ErrFailed) || untraced != 0 {
						t.Errorf("required: got %v, %v untraced, want it refused", err, untraced)
					}
				case record.BestEffort:
					if err != nil || untraced != 1 {
						t.Errorf("best effort: got %v, %v untraced, want it served and counted", err, untraced)
					}
					if err := r.End(t.Context(), during); err != nil {
						t.Errorf("the end of what is not traced: %v", err)
					}
				}
				if err := <-ran; !errors.Is(err, spool.ErrFailed) || !errors.Is(err, why) {
					t.Errorf("run: got %v, want failed: %v", err, why)
				}
			})
		}
	}
}

func counter(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}
