package sse_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"loom.internal/services/gateway/internal/sse"
)

type seen struct{ Name, Data, Raw string }

func feed(t interface{ Fatal(...any) }, pieces [][]byte) (events []seen, rest string) {
	var p sse.Events
	for _, piece := range pieces {
		err := p.Feed(piece, func(e sse.Event) error {
			events = append(events, seen{e.Name, string(e.Data), string(e.Raw)})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return events, string(p.Rest())
}

func TestEventsReadsFields(t *testing.T) {
	t.Parallel()
	for in, want := range map[string][]seen{
		"data: a\n\n":                       {{"", "a", ""}},
		"data:a\r\n\r\n":                    {{"", "a", ""}},
		"data:  a\r\r":                      {{"", " a", ""}},
		"\ufeffdata: a\n\n":                 {{"", "a", ""}},
		": c\nevent: e\nid: 1\ndata: a\n\n": {{"e", "a", ""}},
		"data: a\ndata: b\ndata\n\n":        {{"", "a\nb\n", ""}},
		": only\n\ndata: x\n\n":             {{"", "", ""}, {"", "x", ""}},
		"data: lost":                        nil,
		"dataa: x\nother\n\n":               {{"", "", ""}},
	} {
		got, _ := feed(t, [][]byte{[]byte(in)})
		for i := range got {
			got[i].Raw = ""
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", in, diff)
		}
	}
}

// Whatever pieces a stream comes in, the events are the same, and no byte is lost.
func TestEventsOfAnySplit(t *testing.T) {
	t.Parallel()
	line := rapid.SampledFrom([]string{"data: {\"a\":1}", "data:é\u2028", "data", ": c", "event: error", "id: 7", "", "", "data: [DONE]", "x"})
	end := rapid.SampledFrom([]string{"\n", "\r\n", "\r"})
	rapid.Check(t, func(t *rapid.T) {
		var stream bytes.Buffer
		for range rapid.IntRange(0, 20).Draw(t, "lines") {
			stream.WriteString(line.Draw(t, "line") + end.Draw(t, "end"))
		}
		whole := stream.Bytes()
		want, wantRest := feed(t, [][]byte{whole})
		var pieces [][]byte
		for rest := whole; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "piece")
			pieces, rest = append(pieces, bytes.Clone(rest[:n])), rest[n:]
		}
		got, gotRest := feed(t, pieces)
		if joined := join(got) + gotRest; joined != string(whole) {
			t.Fatalf("bytes: got %q, want %q", joined, whole)
		}
		if diff := cmp.Diff(content(want, wantRest), content(got, gotRest)); diff != "" {
			t.Fatalf("%q in %q (-want +got):\n%s", whole, pieces, diff)
		}
	})
}

func join(events []seen) string {
	var b strings.Builder
	for _, e := range events {
		b.WriteString(e.Raw)
	}
	return b.String()
}

// content is what the events say. Where a CRLF was cut in two, its LF belongs to the
// bytes of the next event: that does not count.
func content(events []seen, _ string) []seen {
	var out []seen
	for _, e := range events {
		out = append(out, seen{Name: e.Name, Data: e.Data})
	}
	return out
}

func TestMayBecome(t *testing.T) {
	t.Parallel()
	last := []string{"data: [DONE]", "event: message_stop"}
	for begun, want := range map[string]int{
		"":                                  0,
		"d":                                 1,
		"data: [D":                          8,
		"data: [DONE]\n":                    13,
		"data: {":                           0,
		": note\ndata: [":                   7,
		"event: message_stop\ndata: {}":     28,
		"event: message_start\ndata: {}":    0,
		"event: message_st":                 17,
		"id: 7\r\nevent: mess":              11,
		strings.Repeat("x", 300) + "\ndata": 0,
	} {
		if got := sse.MayBecome([]byte(begun), last); got != want {
			t.Errorf("%q: got %d, want %d", begun, got, want)
		}
	}
}
