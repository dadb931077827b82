package ledger_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"math/big"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"loom.internal/pkg/event"
	"loom.internal/pkg/histogram"
	"loom.internal/pkg/pricing"
	"loom.internal/pkg/testkit"
	"loom.internal/services/analytics/internal/ledger"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

func builtin(tb testing.TB) func(context.Context) (*pricing.Book, error) {
	tb.Helper()
	book, err := pricing.NewBook(pricing.MustBuiltin(), nil)
	if err != nil {
		tb.Fatal(err)
	}
	return func(context.Context) (*pricing.Book, error) { return book, nil }
}

// events of few keys and tags around the edges of minutes, hours and days, so that many meet
// in one rollup.
func events(midnight time.Time) *rapid.Generator[*event.TraceEvent] {
	edges := []time.Duration{
		-time.Microsecond, 0, 59*time.Second + 999_999*time.Microsecond, time.Minute, time.Hour - time.Microsecond, time.Hour, 12 * time.Hour,
	}
	return rapid.Custom(func(t *rapid.T) *event.TraceEvent {
		at := midnight.Add(rapid.SampledFrom(edges).Draw(t, "edge"))
		return testkit.Event(rapid.SampledFrom([]string{"acme", "bolt"}).Draw(t, "tenant"), at, func(e *event.TraceEvent) {
			e.RequestBody, e.ResponseBody = nil, nil
			e.KeyId = rapid.SampledFrom([]string{"k1", "k2"}).Draw(t, "key")
			e.Outcome = rapid.SampledFrom([]event.Outcome{event.Outcome_OUTCOME_COMPLETED, event.Outcome_OUTCOME_CANCELED}).Draw(t, "outcome")
			e.ModelAnswered = rapid.SampledFrom([]string{"loom-demo", "loom-demo-large", ""}).Draw(t, "model")
			e.DurationUs = rapid.Int64Range(0, 1<<50-1).Draw(t, "duration") >> rapid.IntRange(0, 50).Draw(t, "shift")
			e.Tags = rapid.MapOfN(
				rapid.SampledFrom([]string{"team", "feature", "größe \"x\""}),
				rapid.SampledFrom([]string{"", "red", `\ <blue> '織`, "a\nb"}), 0, 3).Draw(t, "tags")
			e.TtftUs = nil
			if rapid.Bool().Draw(t, "token came") {
				e.TtftUs = new(rapid.Int64Range(0, 1000).Draw(t, "ttft"))
			}
			switch rapid.IntRange(0, 3).Draw(t, "usage") {
			case 0:
				e.UsageRaw, e.UsageSource = nil, event.UsageSource_USAGE_SOURCE_NONE
			case 1:
				e.UsageRaw = []byte(`{"prompt_tokens":"many"}`)
			default:
				in, out := rapid.Int64Range(0, 1<<20).Draw(t, "in"), rapid.Int64Range(0, 1<<36).Draw(t, "out")
				cached := rapid.Int64Range(0, in).Draw(t, "cached")
				e.UsageRaw = fmt.Appendf(nil, `{"prompt_tokens":%d,"completion_tokens":%d,"prompt_tokens_details":{"cached_tokens":%d}}`, in, out, cached)
			}
		})
	})
}

// Whatever the order, the repeats and the batches, with two writers at once, the
// rollups are the sums of the set of events, those of tags of each event with the tag.
func TestRollupsAreSumsOfTheSet(t *testing.T) {
	t.Parallel()
	db := testkit.Postgres(t)
	owner := db.Pool("")
	writer := ledger.Writer{DB: db.Pool("loom_analytics"), Consumer: "analytics", Prices: builtin(t)}
	midnight := time.Now().UTC().Truncate(24 * time.Hour)
	rapid.Check(t, func(rt *rapid.T) {
		if _, err := owner.Exec(t.Context(), `TRUNCATE usage_facts, rollups, tag_rollups`); err != nil {
			rt.Fatal(err)
		}
		set := rapid.SliceOfN(events(midnight), 1, 40).Draw(rt, "set")
		deliveries := append(slices.Clone(set), rapid.SliceOfN(rapid.SampledFrom(set), 0, 40).Draw(rt, "repeats")...)
		shuffle := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
		shuffle.Shuffle(len(deliveries), func(i, j int) { deliveries[i], deliveries[j] = deliveries[j], deliveries[i] })

		batches := make(chan []*event.TraceEvent)
		fresh := make([]int, 2)
		g, ctx := errgroup.WithContext(t.Context())
		for w := range fresh {
			g.Go(func() error {
				for batch := range batches {
					n, err := writer.Write(ctx, batch, nil)
					if err != nil {
						return err
					}
					fresh[w] += n
				}
				return nil
			})
		}
		g.Go(func() error {
			defer close(batches)
			for size := range deliveries {
				size = min(1+(size*7)%13, len(deliveries))
				select {
				case batches <- deliveries[:size]:
				case <-ctx.Done():
					return nil
				}
				if deliveries = deliveries[size:]; len(deliveries) == 0 {
					return nil
				}
			}
			return nil
		})
		if err := g.Wait(); err != nil {
			rt.Fatal(err)
		}
		if fresh[0]+fresh[1] != len(set) {
			rt.Fatalf("new facts: got %v, want %d in all", fresh, len(set))
		}
		rows, err := owner.Query(t.Context(), `SELECT concat_ws('|', tenant_id, grain, to_char(bucket AT TIME ZONE 'UTC', 'MM-DD HH24:MI'), key_id, model, outcome, tag, value)
			|| format(' %s %s %s %s %s %s %s %s %s %s', requests, unpriced, no_usage, input_uncached, cache_read, output, cost, duration_us, duration_hist, ttft_hist)
			FROM (SELECT '' AS tag, '' AS value, * FROM rollups UNION ALL
				SELECT tag, value, tenant_id, grain, bucket, key_id, provider, model, route, outcome, requests, unpriced, no_usage,
					input_uncached, cache_read, cache_write, output, reasoning, cost, duration_us, duration_hist, ttft_hist FROM tag_rollups) AS both_tables`)
		if err != nil {
			rt.Fatal(err)
		}
		got, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			rt.Fatal(err)
		}
		slices.Sort(got)
		if diff := cmp.Diff(expected(t, writer, set), got); diff != "" {
			rt.Fatalf("rollups (-want +got):\n%s", diff)
		}
		report, err := ledger.Reconcile(t.Context(), writer.DB, time.Time{})
		if err != nil || report.Wrong != 0 || report.Facts != int64(len(set)) || report.Rollups != int64(len(got)) {
			rt.Fatalf("reconcile: %+v, %v", report, err)
		}
	})
}

// expected sums up the set the plain way, for each rollup from the start.
func expected(t *testing.T, w ledger.Writer, set []*event.TraceEvent) []string {
	t.Helper()
	book, err := w.Prices(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	groups := map[string][]*event.TraceEvent{}
	for _, e := range set {
		at := e.StartedAt()
		for grain, format := range map[string]string{"minute": "01-02 15:04", "hour": "01-02 15:00", "day": "01-02 00:00"} {
			key := strings.Join([]string{e.GetTenantId(), grain, at.Format(format), e.GetKeyId(), e.Model(), e.GetOutcome().Kind()}, "|")
			groups[key+"||"] = append(groups[key+"||"], e)
			if grain == "minute" {
				continue
			}
			for tag, value := range e.GetTags() {
				groups[key+"|"+tag+"|"+value] = append(groups[key+"|"+tag+"|"+value], e)
			}
		}
	}
	var all []string
	for key, group := range groups {
		var unpriced, noUsage int
		var sum pricing.Usage
		cost, duration := new(big.Int), new(big.Int)
		durations, ttfts := map[int]int{}, map[int]int{}
		for _, e := range group {
			duration.Add(duration, big.NewInt(e.GetDurationUs()))
			durations[histogram.Bucket(e.GetDurationUs())]++
			if e.TtftUs != nil {
				ttfts[histogram.Bucket(e.GetTtftUs())]++
			}
			if len(e.GetUsageRaw()) == 0 {
				noUsage++
				continue
			}
			u, err := pricing.ParseUsage(e.GetUsageRaw())
			if err != nil {
				unpriced++
				continue
			}
			sum.UncachedInput, sum.CacheRead, sum.Output = sum.UncachedInput+u.UncachedInput, sum.CacheRead+u.CacheRead, sum.Output+u.Output
			price, _ := book.Lookup(pricing.Query{ProviderKind: "demo", Models: []string{e.Model()}, At: e.StartedAt()})
			c, err := pricing.Cost(u, price)
			if err != nil {
				t.Fatal(err)
			}
			cost.Add(cost, big.NewInt(int64(c)))
		}
		all = append(all, fmt.Sprintf("%s %d %d %d %d %d %d %s %s %s %s", key, len(group), unpriced, noUsage,
			sum.UncachedInput, sum.CacheRead, sum.Output, cost, duration, pairs(durations), pairs(ttfts)))
	}
	slices.Sort(all)
	return all
}

func pairs(counts map[int]int) string {
	var all []string
	for _, bucket := range slices.Sorted(maps.Keys(counts)) {
		all = append(all, fmt.Sprintf("%d,%d", bucket, counts[bucket]))
	}
	return "{" + strings.Join(all, ",") + "}"
}

// Many writers of overlapping batches, each in an order of its own: no deadlock is
// left to the caller, and every event counts once.
func TestWritersInEveryOrder(t *testing.T) {
	t.Parallel()
	db := testkit.Postgres(t)
	writer := ledger.Writer{DB: db.Pool("loom_analytics"), Consumer: "analytics", Prices: builtin(t)}
	var set []*event.TraceEvent
	for i := range 200 {
		set = append(set, testkit.Event("acme", time.Now().Add(-time.Duration(i)*time.Second), func(e *event.TraceEvent) {
			e.KeyId, e.Tags = fmt.Sprint(i%20), map[string]string{"team": fmt.Sprint(i % 3), "feature": fmt.Sprint(i % 7)}
		}))
	}
	g, ctx := errgroup.WithContext(t.Context())
	for w := range 6 {
		g.Go(func() error {
			mine := slices.Clone(set)
			shuffle := rand.New(rand.NewPCG(uint64(w), 1))
			shuffle.Shuffle(len(mine), func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
			for batch := range slices.Chunk(mine, 40) {
				if _, err := writer.Write(ctx, batch, nil); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	report, err := ledger.Reconcile(t.Context(), writer.DB, time.Time{})
	if err != nil || report.Wrong != 0 || report.Facts != int64(len(set)) {
		t.Errorf("reconcile: %+v, %v", report, err)
	}
}

// A key of the longest names that an event may have, which do not compress, fits into the
// index, and so do as many tags as there may be.
func TestTheLongestTags(t *testing.T) {
	t.Parallel()
	db := testkit.Postgres(t)
	writer := ledger.Writer{DB: db.Pool("loom_analytics"), Consumer: "analytics", Prices: builtin(t)}
	dice := rand.NewChaCha8([32]byte{1})
	noise := func(n int) string {
		b := make([]byte, n)
		_, _ = dice.Read(b) // never fails
		return base64.StdEncoding.EncodeToString(b)[:n]
	}
	e := testkit.Event("acme", time.Now(), func(e *event.TraceEvent) {
		e.KeyId, e.Provider, e.ModelAnswered, e.Route = noise(event.MaxText), noise(event.MaxText), noise(event.MaxText), noise(event.MaxText)
		e.Tags = map[string]string{}
		for range event.MaxTags {
			e.Tags[noise(event.MaxTagKey)] = noise(event.MaxTagValue)
		}
	})
	if _, err := writer.Write(t.Context(), []*event.TraceEvent{e}, nil); err != nil {
		t.Fatal(err)
	}
	report, err := ledger.Reconcile(t.Context(), writer.DB, time.Time{})
	if err != nil || report.Wrong != 0 || report.Rollups != 3+2*event.MaxTags {
		t.Errorf("reconcile: %+v, %v", report, err)
	}
}
