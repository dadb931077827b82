package replay_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"loom.internal/cmd/loom/internal/replay"
	"loom.internal/pkg/bus"
	"loom.internal/pkg/event"
	"loom.internal/pkg/store"
	"loom.internal/pkg/testkit"
)

// What is in scope is made as the stream says, what is not stays as it is.
func TestScope(t *testing.T) {
	t.Parallel()
	r := seed(t, 600)
	right := r.sums(t)
	today := time.Now().UTC().Truncate(oneDay)
	yesterday := today.Add(-oneDay)
	r.exec(t, `UPDATE traces SET route = 'wrong'`)
	r.exec(t, `UPDATE usage_facts SET output = output + 1000`) // and the rollups no longer fit
	opt := all
	opt.Tenant, opt.From, opt.To = "acme", yesterday, yesterday
	inScope := `tenant_id = 'acme' AND started_at >= '` + yesterday.Format(time.RFC3339) + `' AND started_at < '` + today.Format(time.RFC3339) + `'`
	n := r.count(t, `SELECT count(*) FROM traces WHERE `+inScope)
	if n < 10 {
		t.Fatalf("only %d events are in scope", n)
	}
	report := r.replay(t, opt)
	for _, c := range report.Compared {
		want := replay.Comparison{Table: c.Table, Old: int64(n), New: int64(n), Different: int64(n), OldCost: c.OldCost, NewCost: c.OldCost, Examples: c.Examples}
		if c.Table == "trace_bodies" {
			bodies := int64(r.count(t, `SELECT count(*) FROM trace_bodies WHERE `+inScope))
			want.Old, want.New, want.Different = bodies, bodies, 0
		}
		if diff := cmp.Diff(want, c); diff != "" {
			t.Errorf("compared (-want +got):\n%s", diff)
		}
	}
	if report.Counts.OutOfScope != int64(600-n) || report.Counts.Applied != int64(n) {
		t.Errorf("events: %+v, want %d of 600 applied", report.Counts, n)
	}
	if got := r.count(t, `SELECT count(*) FROM traces WHERE route = 'wrong'`); got != 600-n {
		t.Errorf("%d traces are as they were, want %d", got, 600-n)
	}
	if got := r.count(t, `SELECT count(*) FROM traces WHERE route = 'wrong' AND `+inScope); got != 0 {
		t.Errorf("%d traces in scope are still wrong", got)
	}
	r.reconciled(t) // what was carried over has been summed up as it is
	if got := r.count(t, `SELECT count(*) FROM usage_facts WHERE output >= 1000`); got != 600-n {
		t.Errorf("%d facts are as they were, want %d", got, 600-n)
	}
	r.replay(t, all)
	if diff := cmp.Diff(right, r.sums(t)); diff != "" {
		t.Errorf("checksums (-before +after):\n%s", diff)
	}
}

// One projection alone leaves the other's tables as they are.
func TestOneProjection(t *testing.T) {
	t.Parallel()
	r := seed(t, 100)
	r.exec(t, `UPDATE traces SET route = 'wrong'`)
	r.exec(t, `UPDATE usage_facts SET route = 'wrong'`)
	r.replay(t, replay.Options{Traces: true})
	if a, b := r.count(t, `SELECT count(*) FROM traces WHERE route = 'wrong'`), r.count(t, `SELECT count(*) FROM usage_facts WHERE route = 'wrong'`); a != 0 || b != 100 {
		t.Errorf("traces: %d wrong traces and %d facts, want 0 and 100", a, b)
	}
	r.replay(t, replay.Options{Usage: true})
	if b := r.count(t, `SELECT count(*) FROM usage_facts WHERE route = 'wrong'`); b != 0 {
		t.Errorf("usage: %d wrong facts", b)
	}
	r.reconciled(t)
}

// A price that has changed shows in a dry run, which leaves everything as it is; then the
// replay makes it so.
func TestDryRunShowsAPriceChange(t *testing.T) {
	t.Parallel()
	r := seed(t, 300)
	before := r.sums(t)
	r.exec(t, `INSERT INTO prices (provider, model, from_date, input, output, revision) VALUES ('demo', 'loom-demo', '2020-01-01', 1000000, 2000000, nextval('config_revision'))`)
	dry := replay.Options{Usage: true, DryRun: true}
	report := r.replay(t, dry)
	if diff := cmp.Diff(before, r.sums(t)); diff != "" {
		t.Errorf("the dry run changed something (-before +after):\n%s", diff)
	}
	r.clean(t)
	c := report.Compared[0]
	priced := int64(r.count(t, `SELECT count(*) FROM usage_facts WHERE cost_status = 'priced'`))
	if report.Swapped || c.Different != priced || c.OldCost == c.NewCost || c.NewCost != r.text(t, `SELECT (count(*) * (12 * 1000000 + 7 * 2000000))::text FROM usage_facts WHERE cost_status = 'priced'`) {
		t.Errorf("dry run: %+v, want %d facts that differ", report, priced)
	}
	r.replay(t, replay.Options{Usage: true})
	if got := r.text(t, `SELECT sum(cost)::text FROM usage_facts`); got != c.NewCost {
		t.Errorf("cost after the replay: %s, the dry run said %s", got, c.NewCost)
	}
	r.reconciled(t)
}

func (r *rig) text(tb testing.TB, sql string) (text string) {
	tb.Helper()
	if err := r.Pool("").QueryRow(tb.Context(), sql).Scan(&text); err != nil {
		tb.Fatal(err)
	}
	return text
}

// What the stream no longer holds is carried over.
func TestStreamThatForgot(t *testing.T) {
	t.Parallel()
	r := seed(t, 500)
	before := r.sums(t)
	stream, err := r.js.Stream(t.Context(), bus.StreamTrace)
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	config.MaxMsgs = 200
	if _, err := r.js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	report := r.replay(t, all)
	if c := report.Compared[0]; c.Old != 500 || c.New != 200 || c.OnlyOld != 300 || c.OnlyNew+c.Different != 0 || report.CarriedIn < 600 {
		t.Errorf("got %+v, want 300 traces carried over", report)
	}
	if diff := cmp.Diff(before, r.sums(t)); diff != "" {
		t.Errorf("checksums (-before +after):\n%s", diff)
	}
	r.reconciled(t)
}

// A broker that lost its disk has an empty stream: nothing changes.
func TestEmptyStream(t *testing.T) {
	t.Parallel()
	r := seed(t, 50)
	before := r.sums(t)
	if err := r.js.DeleteStream(t.Context(), bus.StreamTrace); err != nil {
		t.Fatal(err)
	}
	r.broker.Stream(t)
	if report := r.replay(t, all); report.Compared[0].OnlyOld != 50 || report.Counts.Read != 0 {
		t.Errorf("got %+v", report)
	}
	if diff := cmp.Diff(before, r.sums(t)); diff != "" {
		t.Errorf("checksums (-before +after):\n%s", diff)
	}
	r.reconciled(t)
}

// A live table that lacks rows gets them.
func TestLostRowsComeBack(t *testing.T) {
	t.Parallel()
	r := seed(t, 100)
	before := r.sums(t)
	r.exec(t, `DELETE FROM traces WHERE tenant_id = 'acme'`)
	r.exec(t, `DELETE FROM trace_bodies WHERE tenant_id = 'bolt'`)
	report := r.replay(t, all)
	if c := report.Compared[0]; c.OnlyNew == 0 || c.OnlyNew != c.New-c.Old || c.OnlyOld+c.Different != 0 {
		t.Errorf("got %+v", c)
	}
	if diff := cmp.Diff(before, r.sums(t)); diff != "" {
		t.Errorf("checksums (-before +after):\n%s", diff)
	}
}

// What cannot be read or stored is counted and shown, and nothing is noted down of it:
// neither as dead nor as progress of its producer.
func TestPoison(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.live(t)
	r.publish(t, mixed(100, 8)...)
	testkit.PublishRaw(t, r.js, event.SubjectPrefix+"acme.completed", []byte("junk"))
	testkit.Publish(t, r.js,
		testkit.Event("acme", time.Now(), func(e *event.TraceEvent) { e.ResponseBody.KeyVersion = 9 }),
		testkit.Event("acme", time.Now().Add(-450*oneDay)))
	r.publish(t, mixed(100, 9)...)
	r.settled(t)
	notes := func() []string {
		return []string{
			r.text(t, `SELECT count(*) || ' ' || coalesce(sum(hashtextextended(d::text, 0)), 0) FROM dead_events AS d`),
			r.text(t, `SELECT string_agg(p::text, ' ' ORDER BY p::text) FROM producers AS p`),
			r.text(t, `SELECT string_agg(p::text, ' ' ORDER BY p::text) FROM producers_accounted AS p`),
		}
	}
	before, noted := r.sums(t), notes()
	report := r.replay(t, all)
	// Junk is refused once, the mixed keys by traces, the old day by both.
	if report.Counts.Refused != 4 || len(report.Counts.Reasons) != 4 || !strings.Contains(strings.Join(report.Counts.Reasons, "\n"), "different keys") {
		t.Errorf("got %+v", report.Counts)
	}
	if diff := cmp.Diff(before, r.sums(t)); diff != "" {
		t.Errorf("checksums (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(noted, notes()); diff != "" {
		t.Errorf("dead events and progress (-before +after):\n%s", diff)
	}
}

// Days that retention has dropped do not come back, also those that it drops meanwhile.
func TestRetention(t *testing.T) {
	t.Parallel()
	r := seed(t, 400)
	today := time.Now().UTC().Truncate(oneDay)
	if _, err := store.DropPartitions(t.Context(), r.Pool("loom_recorder"), today.Add(-2*oneDay)); err != nil {
		t.Fatal(err)
	}
	before := r.sums(t)
	report := r.replay(t, all)
	if report.Counts.Dropped == 0 || report.Counts.Refused != 0 {
		t.Errorf("got %+v", report.Counts)
	}
	if diff := cmp.Diff(before, r.sums(t)); diff != "" {
		t.Errorf("checksums (-before +after):\n%s", diff)
	}
	if n := r.count(t, `SELECT count(*) FROM pg_inherits WHERE inhparent = 'traces'::regclass AND right(inhrelid::regclass::text, 8) < $1`, today.Add(-2*oneDay).Format("20060102")); n != 0 {
		t.Errorf("%d partitions of dropped days are there again", n)
	}
}

// The large bodies come from the object store, or where that has let go of them from the
// live table.
func TestLargeBodies(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.live(t)
	large := func() *event.TraceEvent {
		return testkit.Event("acme", time.Now(), func(e *event.TraceEvent) {
			e.RequestBody, e.ResponseBody = testkit.Body(600<<10), testkit.Body(700<<10)
		})
	}
	kept, gone := large(), large()
	for _, e := range []*event.TraceEvent{kept, gone} {
		testkit.Detach(t, r.js.Conn(), e)
		testkit.Publish(t, r.js, e)
	}
	r.settled(t)
	before := r.sums(t)
	bucket, err := r.js.ObjectStore(t.Context(), bus.BucketBodies)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range gone.Bodies() {
		if err := bucket.Delete(t.Context(), b.Object); err != nil {
			t.Fatal(err)
		}
	}
	report := r.replay(t, all)
	if report.Counts.LostBodies != 1 || report.Counts.Refused != 0 {
		t.Errorf("got %+v, want one whose bodies were lost", report.Counts)
	}
	if diff := cmp.Diff(before, r.sums(t)); diff != "" {
		t.Errorf("checksums (-before +after):\n%s", diff)
	}
}

// The sums alone are made from the ledger, in place.
func TestRollups(t *testing.T) {
	t.Parallel()
	r := seed(t, 300)
	right := r.sums(t)
	repair := func(opt replay.Options) replay.RollupsReport {
		t.Helper()
		report, err := replay.Rollups(t.Context(), replay.Config{DatabaseURL: r.DSN("")}, opt)
		if err != nil {
			t.Fatal(err)
		}
		return report
	}
	if report := repair(replay.Options{}); report.Wrong != 0 || report.Days < 4 {
		t.Errorf("nothing is wrong: got %+v", report)
	}
	r.exec(t, `UPDATE rollups SET cost = cost + 1 WHERE grain = 'day'`)
	r.exec(t, `DELETE FROM rollups WHERE grain = 'hour' AND tenant_id = 'acme'`)
	r.exec(t, `INSERT INTO rollups SELECT 'not-' || tenant_id, grain, bucket, key_id, provider, model, route, outcome, requests, unpriced, no_usage, input_uncached,
		cache_read, cache_write, output, reasoning, cost, duration_us, duration_hist, ttft_hist FROM rollups WHERE grain = 'day'`)
	r.exec(t, `UPDATE tag_rollups SET duration_hist = '{1,1}' WHERE grain = 'day' AND tag = 'env'`)
	r.exec(t, `DELETE FROM tag_rollups WHERE grain = 'hour' AND value <> 'red'`)
	r.exec(t, `INSERT INTO tag_rollups SELECT tenant_id, grain, 'not ' || tag, bucket, value, key_id, provider, model, route, outcome, requests, unpriced, no_usage,
		input_uncached, cache_read, cache_write, output, reasoning, cost, duration_us, duration_hist, ttft_hist FROM tag_rollups WHERE grain = 'hour'`)
	wrong := r.sums(t)
	report := repair(replay.Options{DryRun: true})
	if diff := cmp.Diff(wrong, r.sums(t)); diff != "" || report.Wrong == 0 || report.Repaired != 0 {
		t.Errorf("dry run: %+v, changed (-before +after):\n%s", report, diff)
	}
	if one := repair(replay.Options{Scope: replay.Scope{Tenant: "acme"}}); one.Wrong == 0 || one.Wrong >= report.Wrong || one.Repaired != one.Wrong {
		t.Errorf("one tenant: got %+v of %d", one, report.Wrong)
	}
	repair(replay.Options{})
	if diff := cmp.Diff(right, r.sums(t)); diff != "" {
		t.Errorf("checksums (-before +after):\n%s", diff)
	}
	for _, dropped := range []string{"rollups", "tag_rollups", "rollups, tag_rollups"} {
		r.exec(t, `DROP TABLE `+dropped)
		if _, err := replay.Rollups(t.Context(), replay.Config{DatabaseURL: r.DSN("")}, replay.Options{DryRun: true}); err == nil || !strings.HasPrefix(err.Error(), dropped+": not there") {
			t.Errorf("dry run without %s: got %v", dropped, err)
		}
		if report := repair(replay.Options{}); !report.Rebuilt {
			t.Errorf("got %+v", report)
		}
		if diff := cmp.Diff(right, r.sums(t)); diff != "" {
			t.Errorf("checksums (-before +after %s was dropped):\n%s", dropped, diff)
		}
	}
	r.exec(t, `DROP TABLE usage_facts, tag_rollups`)
	if _, err := replay.Rollups(t.Context(), replay.Config{DatabaseURL: r.DSN("")}, replay.Options{}); err == nil || !strings.Contains(err.Error(), "no ledger to sum up") {
		t.Errorf("without a ledger: got %v", err)
	}
}

// A stream that was made anew meanwhile numbers its events from 1: a run of the old one
// cannot go on.
func TestAnotherStream(t *testing.T) {
	t.Parallel()
	r := seed(t, 2000)
	cmd, stderr := r.spawn(t, all)
	testkit.Await(t, "a run", func(ctx context.Context) bool { return r.phase(ctx) != "" })
	if killed(t, cmd, stderr) {
		t.Fatal("it was done before it was killed")
	}
	if err := r.js.DeleteStream(t.Context(), bus.StreamTrace); err != nil {
		t.Fatal(err)
	}
	r.broker.Stream(t)
	if _, err := replay.Run(t.Context(), r.config(t), all); err == nil || !strings.Contains(err.Error(), "made anew") {
		t.Errorf("got %v", err)
	}
}

// A program of another release would make other tables.
func TestAnotherSchema(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.exec(t, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, true)`)
	if _, err := replay.Run(t.Context(), r.config(t), all); err == nil || !strings.Contains(err.Error(), "version 9999") {
		t.Errorf("got %v", err)
	}
	r.noShadow(t)
}
