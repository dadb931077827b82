// Package histogram counts durations in log-linear buckets, so that quantiles of
// many small histograms can be had from their sum.
//
// A histogram is a flat list of (bucket, count) pairs in ascending bucket order, the
// form in which the database keeps it and in which its function hist_add merges two.
// Buckets are whole microseconds up to 63 µs; above, every power of two is cut into
// 32 equal parts. A duration read back from its bucket is off by [MaxError] at most.
// All of it is integer arithmetic: every machine puts a duration into the same bucket.
package histogram

import (
	"math"
	"math/bits"
	"slices"
	"sort"
)

const (
	partBits = 5
	parts    = 1 << partBits // of each power of two
)

// MaxError is the largest relative error of a value read back from its bucket.
const MaxError = 1.0 / (2 * parts)

// MaxBucket is the bucket of the longest duration there is.
const MaxBucket = (63-partBits)*parts + parts - 1

// Bucket is where a duration of us microseconds is counted. A negative one counts
// as 0.
func Bucket(us int64) int {
	if us <= 0 {
		return 0
	}
	shift := max(0, bits.Len64(uint64(us))-partBits-1)
	return shift*parts + int(us>>shift)
}

// Value is the duration in microseconds that stands for all in bucket: its middle.
// A bucket outside 0 to [MaxBucket] is taken as the nearest within.
func Value(bucket int) int64 {
	bucket = min(max(bucket, 0), MaxBucket)
	shift := max(0, bucket/parts-1)
	low := int64(bucket-shift*parts) << shift
	return low + int64(1)<<shift/2
}

// Add counts one duration of us microseconds and returns the histogram, which may
// have moved as with append.
func Add(hist []int64, us int64) []int64 {
	bucket := int64(Bucket(us))
	i := 2 * sort.Search(len(hist)/2, func(i int) bool { return hist[2*i] >= bucket })
	if i < len(hist) && hist[i] == bucket {
		hist[i+1]++
		return hist
	}
	return slices.Insert(hist, i, bucket, 1)
}

// Merge returns the sum of two histograms and leaves both alone.
func Merge(a, b []int64) []int64 {
	sum := make([]int64, 0, len(a)+len(b))
	for len(a) >= 2 && len(b) >= 2 {
		switch {
		case a[0] < b[0]:
			sum, a = append(sum, a[:2]...), a[2:]
		case a[0] > b[0]:
			sum, b = append(sum, b[:2]...), b[2:]
		default:
			sum, a, b = append(sum, a[0], a[1]+b[1]), a[2:], b[2:]
		}
	}
	return append(append(sum, a...), b...)
}

// Count is how many durations hist holds.
func Count(hist []int64) int64 {
	var n int64
	for i := 1; i < len(hist); i += 2 {
		n += hist[i]
	}
	return n
}

// Quantile is the duration in microseconds that a share q, 0 to 1, of those in hist
// do not exceed, to within [MaxError]; 0.5 is the median. It reports false for an
// empty histogram.
func Quantile(hist []int64, q float64) (us int64, ok bool) {
	n := Count(hist)
	if n <= 0 {
		return 0, false
	}
	rank := min(max(int64(math.Ceil(q*float64(n))), 1), n)
	for i := 1; i < len(hist); i += 2 {
		if rank -= hist[i]; rank <= 0 {
			return Value(int(hist[i-1])), true
		}
	}
	return 0, false
}
