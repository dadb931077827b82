package spool_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"loom.internal/services/gateway/internal/spool"
)

// BenchmarkAppend is one begin and one end of 2 KiB a request; the quantiles are of a
// single append.
func BenchmarkAppend(b *testing.B) {
	for _, durability := range []spool.Durability{spool.Process, spool.Power} {
		for _, callers := range []int{1, 32, 256} {
			b.Run(fmt.Sprintf("%s/callers=%d", durability, callers), func(b *testing.B) {
				s, stop := run(b, b.TempDir(), spool.Options{Durability: durability, MaxBytes: 64 << 30})
				defer stop()
				work := make(chan uint64)
				took := make([][]time.Duration, callers)
				var wg sync.WaitGroup
				var failed atomic.Bool
				for c := range callers {
					wg.Go(func() {
						payload := make([]byte, 2048)
						for n := range work {
							start := time.Now()
							err := s.Begin(context.Background(), newID(n), payload[:200], 2048)
							middle := time.Now()
							if err != nil || s.End(context.Background(), newID(n), payload) != nil {
								failed.Store(true)
							}
							took[c] = append(took[c], middle.Sub(start), time.Since(middle))
						}
					})
				}
				n := uint64(0)
				for b.Loop() {
					n++
					work <- n
				}
				close(work)
				wg.Wait()
				if failed.Load() {
					b.Fatal("an append failed")
				}
				all := slices.Concat(took...)
				slices.Sort(all)
				b.ReportMetric(float64(len(all))/b.Elapsed().Seconds(), "appends/s")
				b.ReportMetric(float64(all[len(all)/2].Microseconds()), "p50-µs")
				b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "p99-µs")
			})
		}
	}
}

// BenchmarkReplay opens a spool of 100,000 events of 2 KiB that nobody has confirmed.
func BenchmarkReplay(b *testing.B) {
	dir := b.TempDir()
	s, stop := run(b, dir, spool.Options{})
	var wg sync.WaitGroup
	for c := range uint64(64) {
		wg.Go(func() {
			for n := c; n < 100_000; n += 64 {
				if s.Begin(context.Background(), newID(n), nil, 2048) != nil || s.End(context.Background(), newID(n), make([]byte, 2048)) != nil {
					b.Error("an append failed")
				}
			}
		})
	}
	wg.Wait()
	stop()
	for b.Loop() {
		s, err := spool.Open(dir, spool.Options{})
		if err != nil {
			b.Fatal(err)
		}
		if got := s.Stats().Events; got != 100_000 {
			b.Fatalf("%d events", got)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
