package ledger_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/event"
	"loom.internal/pkg/store"
	"loom.internal/pkg/testkit"
	"loom.internal/services/analytics/internal/ledger"
)

// BenchmarkWrite accounts for batches of 200 events of 8 keys and 2 models, with no tag, two
// or five of up to ten values, beside inserting rows of the ledger alone, without price, sums
// or care for repeats. The unit to compare is events/s.
func BenchmarkWrite(b *testing.B) {
	prices := builtin(b)
	const insert = `INSERT INTO usage_facts VALUES ($1, $2, $3, $4, '', '', 'demo', 'demo', 'loom-demo', 'completed', 200, true, $5, NULL, 'provider', 12, 0, 0, 0, 7, 0, 6000000, 'priced', '', 'x')`
	analytics := func(db *pgxpool.Pool, events []*event.TraceEvent) error {
		_, err := ledger.Writer{DB: db, Consumer: "analytics", Prices: prices}.Write(b.Context(), events, nil)
		return err
	}
	for _, c := range []struct {
		name  string
		tags  int
		write func(*pgxpool.Pool, []*event.TraceEvent) error
	}{
		{"analytics/tags=0", 0, analytics},
		{"analytics/tags=2", 2, analytics},
		{"analytics/tags=5", 5, analytics},
		{"row-by-row", 0, func(db *pgxpool.Pool, events []*event.TraceEvent) error {
			for _, e := range events {
				if _, err := db.Exec(b.Context(), insert, e.GetTenantId(), e.StartedAt(), e.GetTraceId(), e.GetKeyId(), e.GetDurationUs()); err != nil {
					return err
				}
			}
			return nil
		}},
		{"pipelined-rows", 0, func(db *pgxpool.Pool, events []*event.TraceEvent) error {
			var batch pgx.Batch
			for _, e := range events {
				batch.Queue(insert, e.GetTenantId(), e.StartedAt(), e.GetTraceId(), e.GetKeyId(), e.GetDurationUs())
			}
			return db.SendBatch(b.Context(), &batch).Close()
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			db := testkit.Postgres(b).Pool("loom_analytics")
			if err := store.EnsurePartitions(b.Context(), db, time.Now()); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				events := make([]*event.TraceEvent, bus.BatchSize)
				for i := range events {
					events[i] = testkit.Event("acme", time.Now(), func(e *event.TraceEvent) {
						e.KeyId, e.ModelAnswered = fmt.Sprint("key", i%8), []string{"loom-demo", "loom-demo-large"}[i%2]
						e.Tags = map[string]string{}
						for tag := range c.tags {
							e.Tags[fmt.Sprint("tag", tag)] = fmt.Sprint("value", i*i%(2+2*tag))
						}
						e.DurationUs, e.TtftUs = int64(1000+i*i*37), new(int64(500+i*11))
					})
				}
				b.StartTimer()
				if err := c.write(db, events); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*bus.BatchSize)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
