package traces

import (
	"crypto/rand"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/event"
	"loom.internal/pkg/store"
	"loom.internal/pkg/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

// BenchmarkWrite stores batches of 200 events with 2 KB of bodies each, beside the
// plain ways to insert the same rows. The unit to compare is events/s.
func BenchmarkWrite(b *testing.B) {
	plainTrace, plainBody := plain(traceRows, "traces"), plain(bodyRows, "trace_bodies")
	for name, write := range map[string]func(*pgxpool.Pool, []*event.TraceEvent) error{
		"recorder": func(db *pgxpool.Pool, events []*event.TraceEvent) error {
			_, err := Writer{DB: db, Consumer: "recorder"}.Write(b.Context(), events, nil)
			return err
		},
		"row-by-row": func(db *pgxpool.Pool, events []*event.TraceEvent) error {
			for _, e := range events {
				err := store.InTx(b.Context(), db, func(tx pgx.Tx) error {
					if _, err := tx.Exec(b.Context(), plainTrace, values(traceRows, e)...); err != nil {
						return err
					}
					_, err := tx.Exec(b.Context(), plainBody, values(bodyRows, e)...)
					return err
				})
				if err != nil {
					return err
				}
			}
			return nil
		},
		"pipelined-rows": func(db *pgxpool.Pool, events []*event.TraceEvent) error {
			var batch pgx.Batch
			for _, e := range events {
				batch.Queue(plainTrace, values(traceRows, e)...)
				batch.Queue(plainBody, values(bodyRows, e)...)
			}
			return db.SendBatch(b.Context(), &batch).Close()
		},
	} {
		b.Run(name, func(b *testing.B) {
			db := testkit.Postgres(b).Pool("loom_recorder")
			if err := store.EnsurePartitions(b.Context(), db, time.Now()); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				events := make([]*event.TraceEvent, bus.BatchSize)
				for i := range events {
					events[i] = testkit.Event("acme", time.Now(), func(e *event.TraceEvent) {
						e.RequestBody.Ciphertext, e.ResponseBody.Ciphertext = noise(1200), noise(800)
					})
				}
				b.StartTimer()
				if err := write(db, events); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*bus.BatchSize)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// noise is like ciphertext: it does not compress.
func noise(n int) []byte {
	text := make([]byte, n)
	_, _ = rand.Read(text)
	return text
}

// plain is the statement everybody would write for one row.
func plain(rows store.Rows[trace], table string) string {
	names := rows.Names()
	params := make([]string, strings.Count(names, ",")+1)
	for i := range params {
		params[i] = fmt.Sprintf("$%d", i+1)
	}
	return "INSERT INTO " + table + " (" + names + ") VALUES (" + strings.Join(params, ", ") + ")"
}

func values(rows store.Rows[trace], e trace) []any {
	args := rows.Args([]trace{e})
	for i := range args {
		args[i] = reflect.ValueOf(args[i]).Index(0).Interface()
	}
	return args
}
