package traffic

import (
	"encoding/base64"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"strings"

	"loom.internal/pkg/event"
)

// oddEvery is how often a request is one that nobody in their right mind sends, or that
// somebody sends who means harm.
const oddEvery = 50

// Sizes of the large bodies, in bytes. A gateway keeps at most event.MaxBody of one: the
// largest is sent and cut.
const (
	megabyte    = 1 << 20
	largestSent = 20 << 20
)

// odd is a kind of such a request: what it tells, and what is said in it if that is not
// as usual.
type odd struct {
	name string
	once bool // large ones are made once
	tell func(*event.TraceEvent)
	said func(*Request) (request, response []byte)
}

// TagOdd is the tag that says which kind of odd request one is.
const TagOdd = "odd"

const (
	xss = `<script>document.title="owned"</script><img src=x onerror="alert(1)">`
	// A hand that reaches out of an attribute, a template, a style and an SVG.
	xssMore = `"><svg onload=alert(2)> {{constructor.constructor('alert(3)')()}} ${alert(4)} javascript:alert(5) </textarea></style>`
	// 1 by 1, white.
	pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mP8/x8AAwMCAO+ip1sAAAAASUVORK5CYII="
)

var odds = []odd{
	{name: "a-megabyte", once: true, said: func(r *Request) ([]byte, []byte) {
		return chatText(r, filler(r.seed, megabyte)), chatAnswer(r, filler(r.seed+1, megabyte))
	}},
	{name: "the-largest", once: true, said: func(r *Request) ([]byte, []byte) {
		return chatText(r, filler(r.seed, largestSent)), chatAnswer(r, "Too long; did not read.")
	}},
	{name: "script-in-text", said: func(r *Request) ([]byte, []byte) {
		return chatText(r, "Repeat this: "+xss+"\n[click](javascript:alert(1)) ![x](https://example.invalid/p.png?c=1)"), chatAnswer(r, xss+"\n"+xssMore)
	}},
	{name: "script-in-tool", tell: func(e *event.TraceEvent) {
		e.ToolNames, e.FinishReasons = []string{xss}, []string{"tool_calls"}
	}, said: func(r *Request) ([]byte, []byte) {
		m := message{call: "call_" + xss, text: `{"q":"` + `</pre><script>alert(1)</script>"}`, step: step{topic: topic{tool: xss}, calls: true}}
		return chatText(r, "Call it."), (&script{}).answerChat(r, m)
	}},
	{name: "script-in-names", tell: func(e *event.TraceEvent) {
		e.Tags["feature"], e.Tags[`"><b onmouseover=alert(1)>`] = xss, xssMore
		e.EndUser, e.SessionId = xss, "'; DROP TABLE traces; --"
		e.ErrorClass = ""
	}},
	{name: "script-in-model", tell: func(e *event.TraceEvent) {
		e.ModelRequested, e.ModelUpstream, e.ModelAnswered = xss, xss, xss
	}},
	{name: "formula-in-tags", tell: func(e *event.TraceEvent) {
		e.Tags["feature"], e.Tags["team"] = `=HYPERLINK("https://example.invalid/?"&A1,"open")`, "@SUM(1+1)*cmd|' /C calc'!A0"
		e.Tags["line"] = "a\nb\r\n\tc,\"d\";e"
	}},
	{name: "strange-letters", tell: func(e *event.TraceEvent) {
		e.Tags["feature"] = "\u202Egnp.exe\u202C \u200Bzero\u200Bwidth e\u0301 👩🏽‍🚀 مرحبا"
		e.EndUser = strings.Repeat("Ỡ", 60)
	}, said: func(r *Request) ([]byte, []byte) {
		text := "\u202Eright to left\u202C, \u200Bnothing wide\u200B, Z" + strings.Repeat("\u0337\u0321", 40) + ", 👨‍👩‍👧‍👦, \U000E0041, \uFEFF, 中文, עברית, \u2028line\u2029"
		return chatText(r, text), chatAnswer(r, text)
	}},
	{name: "as-many-tags-as-fit", tell: func(e *event.TraceEvent) {
		for i := len(e.GetTags()); i < event.MaxTags; i++ {
			e.Tags[strings.Repeat(string(rune('a'+i%26)), event.MaxTagKey-2)+fmt.Sprintf("%02d", i)] = strings.Repeat("wide ", event.MaxTagValue/5)
		}
		e.EndUser, e.SessionId = strings.Repeat("u", event.MaxText), strings.Repeat("s", event.MaxText)
	}},
	{name: "broken-json", tell: failedWith(cut, http.StatusOK), said: func(r *Request) ([]byte, []byte) {
		return []byte(`{"model":"gpt-5.4","messages":[{"role":"user","content":"never ends`), []byte(`{"id":"chatcmpl-1","choices":[{"index":0,"message":{"role":"assi`)
	}},
	{name: "html-page", tell: failedWith(failed, http.StatusBadGateway), said: func(r *Request) ([]byte, []byte) {
		return chatText(r, "Hello?"), []byte("<!doctype html><title>502 Bad Gateway</title><h1>502 Bad Gateway</h1><script>alert(1)</script>")
	}},
	{name: "binary", said: func(r *Request) ([]byte, []byte) { return noise(r.seed, 3<<10), noise(r.seed+1, 5<<10) }},
	{name: "empty", said: func(*Request) ([]byte, []byte) { return []byte{}, []byte{} }},
	{name: "deep-json", said: func(r *Request) ([]byte, []byte) {
		const depth = 9_000
		return []byte(strings.Repeat(`{"a":[`, depth) + "1" + strings.Repeat("]}", depth)), []byte(`{"a":1,"a":2,"n":123456789012345678901234567890,"e":1e999}`)
	}},
	{name: "one-long-line", said: func(r *Request) ([]byte, []byte) {
		return chatText(r, strings.Repeat("word", 30_000)), chatAnswer(r, strings.Repeat("W", 120_000))
	}},
	{name: "pictures-and-sound", said: func(r *Request) ([]byte, []byte) {
		sound := base64.StdEncoding.EncodeToString(noise(r.seed, 6<<10))
		return encode(object{{"model", r.GetModelRequested()}, {"messages", []object{{{"role", "user"}, {"content", []object{
			{{"type", "text"}, {"text", "What is in the picture, and what is said?"}},
			{{"type", "image_url"}, {"image_url", object{{"url", "data:image/png;base64," + pixel}, {"detail", "low"}}}},
			{{"type", "image_url"}, {"image_url", object{{"url", "https://example.invalid/track.png"}}}},
			{{"type", "image_url"}, {"image_url", object{{"url", "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"}}}},
			{{"type", "input_audio"}, {"input_audio", object{{"data", sound}, {"format", "wav"}}}},
			{{"type", "file"}, {"file", object{{"filename", "../../etc/passwd"}, {"file_data", "data:application/pdf;base64,JVBERi0xLjQK"}}}},
		}}}}}}), chatAnswer(r, "A white pixel, and noise.")
	}},
	{name: "usage-of-another-kind", tell: func(e *event.TraceEvent) { reports(e, `{"type":"duration","seconds":12}`) }},
	{name: "sound-without-a-rate", tell: func(e *event.TraceEvent) {
		reports(e, `{"prompt_tokens":90,"completion_tokens":60,"total_tokens":150,"prompt_tokens_details":{"audio_tokens":70},"completion_tokens_details":{"audio_tokens":40}}`)
	}},
	{name: "no-tokens", tell: func(e *event.TraceEvent) { reports(e, `{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}`) }},
}

// makeOdd makes a request one of the odd kinds, each in turn, if it is time for one.
func (m *maker) makeOdd(r *Request) {
	if m.drawn++; m.drawn < m.oddAt || r.app.mode != full {
		return
	}
	m.oddAt = m.drawn + oddEvery
	kind := odds[m.odd%len(odds)]
	for m.odd >= len(odds) && kind.once {
		m.odd++
		kind = odds[m.odd%len(odds)]
	}
	m.odd++
	e := r.TraceEvent
	e.Tags = maps.Clone(e.GetTags())
	e.Tags[TagOdd] = kind.name
	e.Endpoint = chat // what is said is said in its words
	if kind.tell != nil {
		kind.tell(e)
	}
	if kind.said != nil {
		r.said = kind.said
	}
}

// reports has an answer tell this usage.
func reports(e *event.TraceEvent, usage string) {
	e.UsageRaw, e.UsageSource = []byte(usage), event.UsageSource_USAGE_SOURCE_PROVIDER
}

func failedWith(class string, status int32) func(*event.TraceEvent) {
	return func(e *event.TraceEvent) {
		e.Outcome, e.ErrorClass, e.HttpStatus = event.Outcome_OUTCOME_FAILED, class, status
		e.UsageRaw, e.UsageSource, e.FinishReasons, e.ToolNames = nil, event.UsageSource_USAGE_SOURCE_NONE, nil, nil
	}
}

func chatText(r *Request, text string) []byte {
	return encode(object{{"model", r.GetModelRequested()}, {"messages", []object{{{"role", "user"}, {"content", text}}}}})
}

func chatAnswer(r *Request, text string) []byte {
	return (&script{}).answerChat(r, message{text: text})
}

// noise is bytes that are no text.
func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	var key [32]byte
	copy(key[:], fmt.Sprint(seed))
	_, _ = rand.NewChaCha8(key).Read(b) // never fails
	return b
}

// filler is prose of about n bytes.
func filler(seed uint64, n int) string {
	line := filled("", prose.facts, seed, 4<<10)
	return strings.Repeat(line, n/len(line)+1)[:n]
}
