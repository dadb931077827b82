package dashboard_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/event"
	"loom.internal/pkg/histogram"
	"loom.internal/pkg/store"
	"loom.internal/pkg/testkit"
)

type report struct {
	State     string
	Consumers []struct {
		Name      string
		Unsettled int
	}
	Producers []struct {
		Acknowledged                                 int64
		ProducerID                                   string `json:"producer_id"`
		Epoch, Recorded, Highest, Watermark, Missing int64
		Sent, Held                                   int64
		State                                        string
		Gaps                                         []struct{ From, To int64 }
	}
	Days []struct {
		Day, State    string
		Dropped       bool
		Traces, Facts int64
		MissingFacts  int64 `json:"missing_facts"`
		MissingTraces int64 `json:"missing_traces"`
		Pending       int64
		Rollups       int64
		WrongRollups  int64 `json:"wrong_rollups"`
		Differences   []struct{ Grain, Tag string }
	}
	Dead     int64
	Findings []struct{ Check, Message, Advice string }
}

func (r *rig) verify(t *testing.T) (out report) {
	t.Helper()
	r.get(t, r.admin, "/api/v1/admin/verify?days=2", &out)
	return out
}

// checks are the findings' checks, joined.
func (r report) checks() string {
	var all []string
	for _, f := range r.Findings {
		all = append(all, f.Check)
		if f.Message == "" || f.Advice == "" {
			all = append(all, "and says nothing")
		}
	}
	return strings.Join(all, " ")
}

func (r *rig) produced(t *testing.T, id, ranges string, watermarkAt time.Time) {
	t.Helper()
	r.exec(t, `INSERT INTO producers (producer_id, epoch, recorded, watermark_at) VALUES ($1, 1, $2::text::int8multirange, $3)`, id, ranges, watermarkAt)
}

// died sets an event aside, as a consumer does.
func (r *rig) died(t *testing.T, consumer string, e *event.TraceEvent) (id int64) {
	t.Helper()
	data, err := event.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return r.diedAs(t, consumer, event.Dead{
		StreamSeq: rand.Int64(), Subject: event.Subject(e), MsgID: e.GetTraceId(), Data: data, Reason: "of a test", Place: e.Place(),
	})
}

func (r *rig) diedAs(t *testing.T, consumer string, dead event.Dead) (id int64) {
	t.Helper()
	var batch pgx.Batch
	store.QueueDead(&batch, consumer, []event.Dead{dead})
	if err := r.db.Pool("loom_"+consumer).SendBatch(t.Context(), &batch).Close(); err != nil {
		t.Fatal(err)
	}
	return r.count(t, `SELECT max(id) FROM dead_events`)
}

func TestVerifyComplete(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if got := r.verify(t); got.State != "complete" || len(got.Days) != 2 || len(got.Findings) != 0 {
		t.Errorf("of nothing: got %+v", got)
	}
	r.clock.forward(time.Hour) // maybe into the next day
	noon := r.clock.now().UTC().Truncate(24 * time.Hour).Add(-12 * time.Hour)
	for i := range 40 {
		r.insert(t, r.trace(noon.Add(time.Duration(i)*17*time.Second), func(s *seeded) {
			s.latency, s.ttft = rand.Int64N(1<<rand.IntN(40)+1), rand.Int64N(1<<rand.IntN(20)+1)
			s.costStatus = []string{"priced", "priced", "unpriced", "no_usage"}[i%4]
			s.unpricedWhy = map[string]string{"unpriced": "no_price"}[s.costStatus]
			s.tenant = []string{"acme", "other"}[i%2]
			if i%5 == 0 {
				s.ttft, s.outcome = 0, "failed"
			}
		}))
	}
	r.produced(t, "gw-whole", "{[1,41)}", time.Now())
	got := r.verify(t)
	if got.State != "complete" || got.Days[1].Traces != 40 || got.Days[1].Facts != 40 || got.Days[1].Rollups == 0 {
		t.Errorf("got %+v", got)
	}
	if p := got.Producers; len(p) != 1 || p[0].Recorded != 40 || p[0].Highest != 40 || p[0].Watermark != 40 || p[0].State != "complete" || p[0].Gaps == nil {
		t.Errorf("producers: got %+v", p)
	}
}

// What nobody has any more is missing at once, and said to be gone until it comes after all.
func TestVerifyGivenUp(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.exec(t, `INSERT INTO producers (producer_id, epoch, recorded, given_up) VALUES ('gw-gone', 1, '{[1,3),[6,9)}', '{[3,6)}')`)
	got := r.verify(t)
	if got.State != "missing" || got.checks() != "producers" || !strings.Contains(got.Findings[0].Message, "3 events are lost for good") {
		t.Errorf("given up: got %+v", got)
	}
	if fmt.Sprint(got.Producers[0].Gaps) != "[{3 5}]" {
		t.Errorf("gaps: got %+v", got.Producers[0])
	}
	r.exec(t, `UPDATE producers SET recorded = '{[1,9)}'`)
	if got := r.verify(t); got.State != "complete" || len(got.Producers) != 1 {
		t.Errorf("it has come: got %+v", got)
	}
}

// What is missing is pending at first, and missing once it is old enough.
func TestVerifyMissing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		seed func(*testing.T, *rig)
		want string // the finding
		age  time.Duration
	}{
		"fact": {func(t *testing.T, r *rig) {
			t.Helper()
			r.insert(t, r.trace(time.Now(), func(s *seeded) { s.pending = true }))
		}, "facts", 2 * time.Minute},
		"trace": {func(t *testing.T, r *rig) {
			t.Helper()
			r.insert(t, r.trace(time.Now()))
			r.exec(t, `DELETE FROM traces`)
		}, "traces", 2 * time.Minute},
		"number": {func(t *testing.T, r *rig) {
			t.Helper()
			r.produced(t, "gw-gap", "{[1,3),[5,7),[9,10)}", time.Now())
		}, "producers", 6 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			c.seed(t, r)
			if got := r.verify(t); got.State != "pending" || got.checks() != "" {
				t.Errorf("at once: got %+v, want pending", got)
			}
			r.clock.forward(c.age)
			got := r.verify(t)
			if got.State != "missing" || got.checks() != c.want {
				t.Errorf("later: got %+v, want %s missing", got, c.want)
			}
			if c.want == "producers" && fmt.Sprint(got.Producers[0].Gaps) != "[{3 4} {7 8}]" {
				t.Errorf("gaps: got %+v", got.Producers[0])
			}
		})
	}
}

// Whichever column of whichever rollup is off, by however little, is found.
func TestVerifyRollups(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.insert(t, r.trace(time.Now()), r.trace(time.Now(), func(s *seeded) { s.model = "other" }))
	for column, change := range map[string]string{
		"requests": "requests + 1", "unpriced": "unpriced + 1", "no_usage": "no_usage + 1", "input_uncached": "input_uncached - 1",
		"cache_read": "cache_read + 1", "cache_write": "cache_write + 1", "output": "output - 1", "reasoning": "reasoning + 1",
		"cost": "cost + 1", "duration_us": "duration_us + 1",
		"duration_hist": "hist_add(duration_hist, '{3,1}')", "ttft_hist": "ARRAY[ttft_hist[1] + 1, ttft_hist[2]]",
		"model": "'nobody'", "bucket": "bucket + interval '1 minute'",
	} {
		grain := []string{"minute", "hour", "day"}[rand.IntN(3)]
		if column == "bucket" {
			grain = "minute"
		}
		r.exec(t, `CREATE TABLE kept AS SELECT * FROM rollups`)
		r.exec(t, `UPDATE rollups SET `+column+` = `+change+` WHERE model = 'other' AND grain = '`+grain+`'`)
		got := r.verify(t)
		day := got.Days[0]
		if day.WrongRollups == 0 {
			day = got.Days[1] // over midnight
		}
		if got.State != "missing" || got.checks() != "rollups" || day.WrongRollups == 0 || day.Differences[0].Grain != grain {
			t.Errorf("%s of a %s off: got %+v", column, grain, got)
		}
		r.exec(t, `DELETE FROM rollups`)
		r.exec(t, `INSERT INTO rollups SELECT * FROM kept`)
		r.exec(t, `DROP TABLE kept`)
	}
	if got := r.verify(t); got.checks() != "" {
		t.Errorf("put right again: got %+v", got)
	}
}

// Likewise of a tag's.
func TestVerifyTagRollups(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	tagged := func(model string) func(*seeded) {
		return func(s *seeded) { s.model, s.tags = model, map[string]string{"team": "größe \"x\"", "env": ""} }
	}
	r.insert(t, r.trace(time.Now(), tagged("one")), r.trace(time.Now(), tagged("other")))
	right := r.verify(t)
	if right.checks() != "" || right.Days[0].Rollups+right.Days[1].Rollups != 14 {
		t.Errorf("as accounted: got %+v", right)
	}
	r.exec(t, `CREATE TABLE kept AS SELECT * FROM tag_rollups`)
	for column, change := range map[string]string{
		"requests": "requests + 1", "cost": "cost - 1", "cache_write": "cache_write + 1", "ttft_hist": "hist_add(ttft_hist, '{3,1}')",
		"value": "value || 'x'", "tag": "tag || 'x'", "bucket": "bucket + interval '1 minute'",
	} {
		r.exec(t, `UPDATE tag_rollups SET `+column+` = `+change+` WHERE model = 'other' AND tag = 'team' AND grain = 'hour'`)
		got := r.verify(t)
		day := got.Days[0]
		if day.WrongRollups == 0 {
			day = got.Days[1] // over midnight
		}
		if got.State != "missing" || got.checks() != "rollups" || day.WrongRollups == 0 || !strings.HasPrefix(day.Differences[0].Tag, "team") {
			t.Errorf("%s of a tag's hour off: got %+v", column, got)
		}
		r.exec(t, `DELETE FROM tag_rollups`)
		r.exec(t, `INSERT INTO tag_rollups SELECT * FROM kept`)
	}
	r.exec(t, `DELETE FROM tag_rollups`)
	if got := r.verify(t); got.checks() != "rollups" || got.Days[0].WrongRollups+got.Days[1].WrongRollups != 8 {
		t.Errorf("no sums of tags: got %+v", got)
	}
}

// A projection that is behind owes nothing yet, however long it takes.
func TestVerifyBehind(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	testkit.Publish(t, r.js, testkit.Event("acme", time.Now()))
	r.insert(t, r.trace(time.Now(), func(s *seeded) { s.pending = true }))
	r.clock.forward(time.Hour)
	got := r.verify(t)
	if got.State != "pending" || got.checks() != "" || len(got.Consumers) != 2 || got.Consumers[0].Unsettled != 1 {
		t.Errorf("with an event on the stream: got %+v, want pending", got)
	}
	for _, name := range []string{bus.ConsumerRecorder, bus.ConsumerAnalytics} {
		consumer, err := r.js.Consumer(t.Context(), bus.StreamTrace, name)
		if err != nil {
			t.Fatal(err)
		}
		msg, err := consumer.Next(jetstream.FetchMaxWait(10 * time.Second))
		if err != nil {
			t.Fatal(err)
		}
		if err := msg.DoubleAck(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.verify(t); got.State != "missing" || got.checks() != "facts" {
		t.Errorf("when it is settled: got %+v, want the fact missing", got)
	}
}

// Retention drops traces and keeps the ledger: that is no loss.
func TestVerifyAfterRetention(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	old := time.Now().Add(-48 * time.Hour)
	r.insert(t, r.trace(old), r.trace(time.Now()))
	if _, err := store.DropPartitions(t.Context(), r.db.Pool("loom_recorder"), time.Now().Add(-24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	r.clock.forward(time.Hour)
	var got report
	r.get(t, r.admin, "/api/v1/admin/verify?days=4", &got)
	var dropped, facts int64
	for _, d := range got.Days {
		if d.Dropped {
			dropped, facts = dropped+1, facts+d.Facts
		}
	}
	if got.State != "complete" || dropped == 0 || facts != 1 {
		t.Errorf("got %+v", got)
	}
}

func TestVerifyDeadAndBus(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.died(t, "analytics", testkit.Event("acme", time.Now()))
	if got := r.verify(t); got.State != "missing" || got.Dead != 1 || got.checks() != "dead" {
		t.Errorf("with a dead event: got %+v", got)
	}
	for _, query := range []string{"?days=0", "?days=32", "?days=x", "?day=1"} {
		r.fails(t, call{method: http.MethodGet, path: "/api/v1/admin/verify" + query, key: r.admin}, http.StatusBadRequest, "invalid_parameter")
	}
	r.broker.Stop()
	testkit.Await(t, "the connection lost", func(context.Context) bool { return bus.Ready(r.nats) != nil })
	r.fails(t, call{method: http.MethodGet, path: "/api/v1/admin/verify", key: r.admin}, http.StatusServiceUnavailable, "unavailable")
}

// The check computes buckets in SQL: they must be those of the histograms.
func TestBucketsInSQL(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	values := []int64{-1 << 63, -1, 0, 1, 63, 64, 65, 127, 128, 1<<62 - 1, 1 << 62, 1<<63 - 1}
	for range 2000 {
		values = append(values, rand.Int64()>>rand.IntN(63))
	}
	for shift := range 63 {
		values = append(values, 1<<shift-1, 1<<shift, 1<<shift+1)
	}
	rows, err := r.db.Pool("").Query(t.Context(), `SELECT hist_bucket(v) FROM unnest($1::bigint[]) WITH ORDINALITY AS all_values (v, n) ORDER BY n`, values)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range values {
		if want := int64(histogram.Bucket(v)); got[i] != want {
			t.Errorf("bucket of %d: got %d, want %d", v, got[i], want)
		}
	}
}
