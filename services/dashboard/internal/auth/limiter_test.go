package auth_test

import (
	"testing"
	"time"

	"loom.internal/services/dashboard/internal/auth"
)

func TestLimiterKeepsAddressesApart(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	l, err := auth.NewLimiter(func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	taken := func(address string) int {
		n := 0
		for ; n < 100; n++ {
			if _, ok := l.Take(address); !ok {
				break
			}
		}
		return n
	}
	for _, tc := range []struct {
		name, address string
		want          int
	}{
		{"first", "192.0.2.1", 10},
		{"the same, written as IPv6", "::ffff:192.0.2.1", 0},
		{"another", "192.0.2.2", 10},
		{"IPv6", "2001:db8::1", 10},
		{"the same network", "2001:db8::ffff:2", 0},
		{"another network", "2001:db8:0:1::1", 10},
		{"no address", "unix", 10},
		{"no other address", "@", 0},
	} {
		if got := taken(tc.address); got != tc.want {
			t.Errorf("%s: got %d tokens, want %d", tc.name, got, tc.want)
		}
	}
	if wait, ok := l.Take("192.0.2.1"); ok || wait != 6*time.Second {
		t.Errorf("got %s, %v, want to wait 6 s", wait, ok)
	}
	now = now.Add(12 * time.Second)
	if got := taken("192.0.2.1"); got != 2 {
		t.Errorf("after 12 s: got %d tokens, want 2", got)
	}
	l.Return("192.0.2.1")
	if got := taken("192.0.2.1"); got != 1 {
		t.Errorf("after one was returned: got %d tokens, want 1", got)
	}
	now = now.Add(time.Hour)
	if got := taken("192.0.2.1"); got != 10 {
		t.Errorf("after an hour: got %d tokens, want 10", got)
	}
}
