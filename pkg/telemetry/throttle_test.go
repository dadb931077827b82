package telemetry_test

import (
	"testing"
	"testing/synctest"
	"time"

	"loom.internal/pkg/telemetry"
)

func TestThrottle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var throttle telemetry.Throttle
		if n, ok := throttle.Allow("a"); n != 0 || !ok {
			t.Errorf("the first: got %d, %v", n, ok)
		}
		for range 5 {
			if _, ok := throttle.Allow("a"); ok {
				t.Error("said again within a second")
			}
		}
		if _, ok := throttle.Allow("b"); !ok {
			t.Error("one message holds back another")
		}
		time.Sleep(time.Second) //nolint:forbidigo // of made-up time
		if n, ok := throttle.Allow("a"); n != 5 || !ok {
			t.Errorf("a second later: got %d, %v, want 5 left out", n, ok)
		}
	})
}
