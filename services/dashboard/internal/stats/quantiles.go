package stats

import (
	"bytes"
	"encoding/binary"
	"errors"

	"loom.internal/pkg/histogram"
)

// errHistogram means that the database sent something else than histograms.
var errHistogram = errors.New("a histogram is not as the database writes it")

// minusMark is before a histogram that is to be taken off. No array begins like that.
var minusMark = []byte{0xff, 0xff, 0xff, 0xff}

// hist counts durations by bucket; nil has none.
type hist []int64

// add takes histograms in the form of array_send, one after the other: for each its
// dimensions, flags and type, of each dimension the length and the first index, and of
// each element its length and value. An empty array has no dimension.
func (h *hist) add(sent []byte) error {
	if *h == nil && len(sent) > 0 {
		*h = make(hist, histogram.MaxBucket+1)
	}
	u32 := func() (n uint32) {
		n, sent = binary.BigEndian.Uint32(sent), sent[4:]
		return n
	}
	for len(sent) > 0 {
		sign := int64(1)
		if bytes.HasPrefix(sent, minusMark) {
			sign, sent = -1, sent[len(minusMark):]
		}
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
			bucket := binary.BigEndian.Uint64(sent[4:])
			if bucket > histogram.MaxBucket {
				return errHistogram
			}
			(*h)[bucket] += sign * int64(binary.BigEndian.Uint64(sent[16:])) //nolint:gosec // it was signed
			sent = sent[24:]
		}
	}
	return nil
}

// merge adds all of o.
func (h *hist) merge(o hist) {
	if *h == nil && o != nil {
		*h = make(hist, len(o))
	}
	for bucket, n := range o {
		(*h)[bucket] += n
	}
}

// flat is h as package histogram has it.
func (h hist) flat() []int64 {
	var flat []int64
	for bucket, n := range h {
		if n > 0 { // what was added and taken off again is not there
			flat = append(flat, int64(bucket), n)
		}
	}
	return flat
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
