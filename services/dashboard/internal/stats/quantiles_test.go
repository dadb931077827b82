package stats_test

import (
	"bytes"
	"slices"
	"testing"

	"loom.internal/services/dashboard/internal/stats"
)

// sent is a histogram in the form of array_send.
func sent(flat ...byte) []byte {
	b := []byte{0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0, byte(len(flat)), 0, 0, 0, 1}
	for _, n := range flat {
		b = append(b, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, n)
	}
	return b
}

func TestHistogramsAsSent(t *testing.T) {
	t.Parallel()
	empty, minus := make([]byte, 12), []byte{255, 255, 255, 255}
	for name, c := range map[string]struct {
		in   [][]byte
		want []int64
	}{
		"nothing":    {nil, nil},
		"empty":      {[][]byte{empty, empty}, nil},
		"several":    {[][]byte{sent(3, 1, 9, 2), empty, sent(2, 5, 3, 1)}, []int64{2, 5, 3, 2, 9, 2}},
		"taken off":  {[][]byte{sent(3, 1, 9, 2), minus, sent(9, 2)}, []int64{3, 1}},
		"empty gone": {[][]byte{minus, empty, sent(9, 2)}, []int64{9, 2}},
	} {
		got, err := stats.ReadHist(bytes.Join(c.in, nil))
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, %v, want %v", name, got, err, c.want)
		}
	}
	whole := sent(3, 1)
	for name, in := range map[string][]byte{
		"cut":            whole[:len(whole)-1],
		"cut at once":    whole[:11],
		"no length":      whole[:12],
		"only a mark":    minus,
		"odd":            sent(3, 1, 4),
		"a far bucket":   slices.Replace(slices.Clone(whole), 28, 29, 200),
		"two dimensions": slices.Replace(slices.Clone(whole), 3, 4, 2),
		"null":           slices.Replace(slices.Clone(whole), 20, 24, 255, 255, 255, 255),
	} {
		if got, err := stats.ReadHist(in); err == nil {
			t.Errorf("%s: got %v and no error", name, got)
		}
	}
}
