package gateway_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"loom.internal/pkg/catalog"
	"loom.internal/pkg/envelope"
	"loom.internal/pkg/event"
	"loom.internal/pkg/testkit"
)

// The tests of these files are those of docs/conformance.md that are better made in
// process: what holds for all bytes, under load, and to the second. The others are in
// test/conformance, made with official clients.

// same fails a case of a property, for which a smaller one is then looked for.
func same[T comparable](t *rapid.T, what string, got, want T) {
	if got != want {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

// anyJSON is the text of a JSON value in every spelling there is.
func anyJSON(depth int) *rapid.Generator[string] {
	space := rapid.StringMatching(`[ \t\r\n]{0,2}`)
	text := rapid.Custom(func(t *rapid.T) string {
		var b strings.Builder
		b.WriteByte('"')
		for _, s := range rapid.SliceOfN(rapid.SampledFrom([]string{
			"a", "é", "🐎", "\u2028", `\/`, `\u0041`, `\ud83d\ude00`, `\"`, `\\`, `\n`, "model", "\xff", "\xc3(", "{", "]", "data: ",
		}), 0, 6).Draw(t, "text") {
			b.WriteString(s)
		}
		return b.String() + `"`
	})
	leaf := rapid.OneOf(text, rapid.SampledFrom([]string{
		"0", "-0", "1.0", "1E+2", "1e-400", "12345678901234567890", "-12345678901234567890.10", "true", "false", "null", "{}", "[]", "{ }", "[\n]",
	}))
	if depth == 0 {
		return leaf
	}
	inner := anyJSON(depth - 1)
	list := rapid.Custom(func(t *rapid.T) string {
		values := rapid.SliceOfN(inner, 1, 3).Draw(t, "values")
		s := space.Draw(t, "space")
		return "[" + s + strings.Join(values, s+","+s) + s + "]"
	})
	object := rapid.Custom(func(t *rapid.T) string {
		s, n := space.Draw(t, "space"), rapid.IntRange(1, 3).Draw(t, "members")
		members := make([]string, n)
		for i := range members {
			members[i] = text.Draw(t, "name") + s + ":" + s + inner.Draw(t, "value")
		}
		return "{" + s + strings.Join(members, s+","+s) + s + "}"
	})
	return rapid.OneOf(leaf, list, object)
}

// TestAnyBodyArrivesUnchanged: whatever a request holds, the provider gets its bytes; and
// where usage is asked for in between, all others.
func TestAnyBodyArrivesUnchanged(t *testing.T) {
	t.Parallel()
	up := testkit.Upstream(t, func(w http.ResponseWriter, _ *http.Request, body []byte) {
		if bytes.Contains(body, []byte(`"stream":true`)) {
			_ = testkit.SSE(w, last, done)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(whole))
	})
	w := start(t, setup{upstream: up.URL, kind: catalog.OpenAI})
	rapid.Check(t, func(rt *rapid.T) {
		value, at := anyJSON(3), rapid.IntRange(0, 3).Draw(rt, "place of the model")
		stream := rapid.Bool().Draw(rt, "stream")
		var members []string
		for i := range 4 {
			if i == at {
				members = append(members, `"model": "gpt-4o"`)
				if stream {
					members = append(members, `"stream":true`)
				}
			}
			members = append(members, fmt.Sprintf(`"x%d":%s`, i, value.Draw(rt, "value")))
		}
		sent := "\n{" + strings.Join(members, " ,\t") + "}\r\n "
		same(rt, "status", w.chat(sent).status, 200)
		requests := up.Requests()
		got := string(requests[len(requests)-1].Body)
		if stream {
			const added = `"stream_options":{"include_usage":true},`
			same(rt, "splices", strings.Count(got, added), 1)
			got = strings.Replace(got, added, "", 1)
		}
		same(rt, "body", got, sent)
	})
}

// spellings are the ways to end a line of a stream.
var spellings = []string{"\n", "\r\n", "\r"}

// TestStreamMayBeReadInAnyPieces: wherever reads end, the client gets the bytes, and the
// trace the text.
func TestStreamMayBeReadInAnyPieces(t *testing.T) {
	t.Parallel()
	pieces := make(chan []string, 1)
	up := testkit.Upstream(t, func(w http.ResponseWriter, _ *http.Request, _ []byte) { _ = testkit.SSE(w, <-pieces...) })
	w := start(t, setup{upstream: up.URL})
	var texts []string
	rapid.Check(t, func(rt *rapid.T) {
		var stream, text strings.Builder
		newline := rapid.SampledFrom(spellings).Draw(rt, "line end")
		for _, word := range rapid.SliceOfN(rapid.StringN(1, 4, 12), 0, 4).Draw(rt, "words") {
			if rapid.Bool().Draw(rt, "comment") {
				stream.WriteString(": " + strings.Map(oneLine, word) + newline + newline)
			}
			stream.WriteString(strings.ReplaceAll(chunk(strings.ToValidUTF8(strings.Map(oneLine, word), "")), "\n", newline))
			text.WriteString(strings.ToValidUTF8(strings.Map(oneLine, word), ""))
		}
		stream.WriteString(strings.ReplaceAll(last+done, "\n", newline))
		var cut []string
		for rest := stream.String(); rest != ""; {
			n := min(rapid.SampledFrom([]int{1, 2, 3, 5, 17, 64, 1000}).Draw(rt, "read"), len(rest))
			cut, rest = append(cut, rest[:n]), rest[n:]
		}
		pieces <- cut
		a := w.chat(askedStream)
		w.must(a.err)
		same(rt, "stream", a.body, stream.String())
		texts = append(texts, text.String())
	})
	for i, e := range w.traces(len(texts)) {
		equal(t, "outcome", e.GetOutcome(), event.Outcome_OUTCOME_COMPLETED)
		if texts[i] != "" {
			contains(t, "recorded", w.open(e, envelope.FieldResponse), string(quote(texts[i])))
		}
	}
}

// oneLine leaves out what %q would spell in a way that JSON does not know.
func oneLine(r rune) rune {
	if r < ' ' || r == 0x7f || r == '"' || r == '\\' || r > 0x7e && r != 'é' && r != '日' {
		return '日'
	}
	return r
}

// quote is the text as the trace has it.
func quote(s string) []byte { return []byte(`"content":"` + s + `"`) }

// TestContinuousUsageIsNeverAddedUp: with usage on every chunk the last one counts, and a
// client sees all of them.
func TestContinuousUsageIsNeverAddedUp(t *testing.T) {
	t.Parallel()
	streams := make(chan string, 1)
	up := testkit.Upstream(t, func(w http.ResponseWriter, _ *http.Request, _ []byte) { _ = testkit.SSE(w, <-streams) })
	w := start(t, setup{upstream: up.URL, kind: catalog.OpenAI})
	var want []string
	rapid.Check(t, func(rt *rapid.T) {
		options := rapid.SampledFrom([]string{``, `"stream_options":{},`, `"stream_options":{"include_usage":true,"continuous_usage_stats":true},`}).Draw(rt, "options")
		var b strings.Builder
		usage := ""
		for _, n := range rapid.SliceOfN(rapid.IntRange(0, 1000), 1, 6).Draw(rt, "tokens") {
			usage = fmt.Sprintf(`{"prompt_tokens":7, "completion_tokens":%d}`, n)
			b.WriteString(strings.Replace(chunk("a"), `"choices"`, `"usage":`+usage+`,"choices"`, 1))
		}
		b.WriteString(last + done)
		streams <- b.String()
		a := w.chat(`{` + options + `"model":"gpt-4o","stream":true}`)
		w.must(a.err)
		same(rt, "stream", a.body, b.String())
		want = append(want, usage)
	})
	for i, e := range w.traces(len(want)) {
		equal(t, "usage", string(e.GetUsageRaw()), want[i])
	}
}
