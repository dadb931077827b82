package stats

import (
	"encoding/binary"
	"errors"
	"slices"

	"loom.internal/pkg/histogram"
)

// errHistogram means that the database sent something else than histograms.
var errHistogram = errors.New("a histogram is not as the database writes it")

// hist counts durations by bucket.
type hist map[int64]int64

// add takes histograms in the form of array_send, one after the other: for each its
// dimensions, flags and type, of each dimension the length and the first index, and of
// each element its length and value. An empty array has no dimension.
func (h hist) add(sent []byte) error {
	u32 := func() (n uint32) {
		n, sent = binary.BigEndian.Uint32(sent), sent[4:]
		return n
	}
	for len(sent) > 0 {
		if len(sent) < 12 {
			return errHistogram
		}
		dimensions := u32()
		sent = sent[8:]
		if dimensions == 0 {
			continue
		}
		if dimensions != 1 || len(sent) < 8 {
			return errHistogram
		}
		n := int(u32())
		sent = sent[4:]
		if n%2 != 0 || len(sent)/12 < n {
			return errHistogram
		}
		for i := 0; i < n; i += 2 {
			if binary.BigEndian.Uint32(sent) != 8 || binary.BigEndian.Uint32(sent[12:]) != 8 {
				return errHistogram
			}
			h[int64(binary.BigEndian.Uint64(sent[4:]))] += int64(binary.BigEndian.Uint64(sent[16:])) //nolint:gosec // both were signed
			sent = sent[24:]
		}
	}
	return nil
}

// flat is h as package histogram has it.
func (h hist) flat() []int64 {
	buckets := make([]int64, 0, len(h))
	for bucket, n := range h {
		if n > 0 { // what was added and taken off again is not there
			buckets = append(buckets, bucket)
		}
	}
	slices.Sort(buckets)
	flat := make([]int64, 0, 2*len(buckets))
	for _, bucket := range buckets {
		flat = append(flat, bucket, h[bucket])
	}
	return flat
}

func histOf(sent []byte) (hist, error) {
	h := hist{}
	return h, h.add(sent)
}

func quantiles(h hist) Quantiles {
	flat := h.flat()
	return Quantiles{P50: quantile(flat, 0.50), P95: quantile(flat, 0.95), P99: quantile(flat, 0.99)}
}

// quantile is in milliseconds; nil for an empty histogram.
func quantile(flat []int64, q float64) *float64 {
	us, ok := histogram.Quantile(flat, q)
	if !ok {
		return nil
	}
	return new(float64(us) / 1000)
}
