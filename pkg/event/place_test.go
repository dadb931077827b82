package event_test

import (
	"testing"

	"loom.internal/pkg/event"
)

func TestParsePlace(t *testing.T) {
	t.Parallel()
	headers := event.Headers(full())
	got, ok := event.ParsePlace(headers[event.HeaderProducer][0], headers[event.HeaderSeq][0])
	if want := full().Place(); got != want || !ok {
		t.Errorf("from the headers of an event: %+v, %v; want %+v", got, ok, want)
	}
	for name, h := range map[string][2]string{
		"empty": {"", ""}, "no epoch": {"gw-1", "4"}, "no id": {"/1", "4"}, "epoch no number": {"gw-1/x", "4"}, "negative epoch": {"gw-1/-1", "4"},
		"seq 0": {"gw-1/1", "0"}, "seq no number": {"gw-1/1", "four"}, "seq too large": {"gw-1/1", "9223372036854775807"},
		"id with a dot": {"gw.1/1", "4"}, "id with a slash": {"a/b/1", "4"},
	} {
		if got, ok := event.ParsePlace(h[0], h[1]); ok {
			t.Errorf("%s: read as %+v", name, got)
		}
	}
}
