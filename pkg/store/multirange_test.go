package store

import "testing"

func TestMultirange(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		numbers []int64
		want    string
	}{
		{nil, "{}"},
		{[]int64{7}, "{[7,7]}"},
		{[]int64{3, 1, 2}, "{[1,3]}"},
		{[]int64{1, 1, 2, 5, 9, 8, 8}, "{[1,2],[5,5],[8,9]}"},
	} {
		if got := multirange(tt.numbers); got != tt.want {
			t.Errorf("%v: got %s, want %s", tt.numbers, got, tt.want)
		}
	}
}
