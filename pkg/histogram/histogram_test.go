package histogram_test

import (
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"loom.internal/pkg/histogram"
)

// durations are drawn evenly over the powers of two, not over the numbers.
func durations() *rapid.Generator[int64] {
	return rapid.Custom(func(t *rapid.T) int64 {
		shift := rapid.IntRange(0, 63).Draw(t, "shift")
		return rapid.Int64Range(0, math.MaxInt64).Draw(t, "us") >> shift
	})
}

func off(got, want int64) float64 {
	return math.Abs(float64(got)-float64(want)) / max(1, float64(want))
}

func TestSmallDurationsAreExact(t *testing.T) {
	t.Parallel()
	for us := range int64(64) {
		if got := histogram.Value(histogram.Bucket(us)); got != us {
			t.Errorf("%d µs read back as %d", us, got)
		}
	}
}

// Every bucket follows the one before it without a hole, up to the last.
func TestBucketsAreContiguous(t *testing.T) {
	t.Parallel()
	if got := histogram.Bucket(math.MaxInt64); got != histogram.MaxBucket {
		t.Fatalf("bucket of the longest duration: got %d, want %d", got, histogram.MaxBucket)
	}
	for b := range histogram.MaxBucket + 1 {
		if got := histogram.Bucket(histogram.Value(b)); got != b {
			t.Fatalf("the value of bucket %d counts in bucket %d", b, got)
		}
	}
	last := 0
	for us := range int64(1 << 20) {
		if b := histogram.Bucket(us); b != last && b != last+1 {
			t.Fatalf("%d µs: bucket %d after %d", us, b, last)
		} else {
			last = b
		}
	}
}

func TestOutOfRange(t *testing.T) {
	t.Parallel()
	if got := histogram.Bucket(-5); got != 0 {
		t.Errorf("bucket of a negative duration: got %d, want 0", got)
	}
	if got := histogram.Value(-1); got != 0 {
		t.Errorf("value of a negative bucket: got %d, want 0", got)
	}
	if got, want := histogram.Value(math.MaxInt), histogram.Value(histogram.MaxBucket); got != want {
		t.Errorf("value past the last bucket: got %d, want %d", got, want)
	}
	if us, ok := histogram.Quantile(nil, 0.5); ok || us != 0 {
		t.Errorf("quantile of nothing: got %d, %v", us, ok)
	}
}

func TestErrorBound(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		us := durations().Draw(t, "us")
		if e := off(histogram.Value(histogram.Bucket(us)), us); e > histogram.MaxError {
			t.Fatalf("%d µs read back with an error of %.4f, want at most %.4f", us, e, histogram.MaxError)
		}
	})
	if histogram.MaxError > 0.025 {
		t.Errorf("promised error %.4f is over 2.5 %%", histogram.MaxError)
	}
}

func TestBucketsKeepOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := durations().Draw(t, "a"), durations().Draw(t, "b")
		if a <= b && histogram.Bucket(a) > histogram.Bucket(b) {
			t.Fatalf("%d ≤ %d, but buckets %d > %d", a, b, histogram.Bucket(a), histogram.Bucket(b))
		}
	})
}

func TestQuantileAgainstSorting(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.SliceOfN(durations(), 1, 200).Draw(t, "durations")
		q := rapid.Float64Range(0, 1).Draw(t, "q")
		var hist []int64
		for _, us := range all {
			hist = histogram.Add(hist, us)
		}
		slices.Sort(all)
		want := all[max(1, int(math.Ceil(q*float64(len(all)))))-1]
		got, ok := histogram.Quantile(hist, q)
		if !ok || off(got, want) > histogram.MaxError {
			t.Fatalf("quantile %.3f: got %d, %v, want %d to within %.4f", q, got, ok, want, histogram.MaxError)
		}
	})
}

// Merging parts is the same as counting the whole, and changes neither part.
func TestMergeIsCountingTogether(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		left := rapid.SliceOfN(durations(), 0, 50).Draw(t, "left")
		right := rapid.SliceOfN(durations(), 0, 50).Draw(t, "right")
		var a, b, whole []int64
		for _, us := range left {
			a, whole = histogram.Add(a, us), histogram.Add(whole, us)
		}
		for _, us := range right {
			b, whole = histogram.Add(b, us), histogram.Add(whole, us)
		}
		beforeA, beforeB := slices.Clone(a), slices.Clone(b)
		got := histogram.Merge(a, b)
		if !slices.Equal(got, whole) {
			t.Fatalf("merged %v, want %v", got, whole)
		}
		if diff := cmp.Diff([][]int64{beforeA, beforeB}, [][]int64{a, b}); diff != "" {
			t.Fatalf("merge changed its arguments:\n%s", diff)
		}
		if n := histogram.Count(got); n != int64(len(left)+len(right)) {
			t.Fatalf("count: got %d, want %d", n, len(left)+len(right))
		}
	})
}

func BenchmarkAdd(b *testing.B) {
	var hist []int64
	us := int64(1)
	b.ReportAllocs()
	for b.Loop() {
		us = us*6364136223846793005 + 1442695040888963407
		hist = histogram.Add(hist, us>>1&0xffffff)
	}
}
