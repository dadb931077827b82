package redact_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"

	"loom.internal/pkg/redact"
)

var everything = redact.Rules{Builtin: allBuiltins, Patterns: []redact.Pattern{
	{Name: "ticket", Regexp: `\bT-\d{1,6}\b`}, {Name: "mark", Regexp: `redacted|email\]`}, {Name: "edge", Regexp: `^q|q$`}, {Name: "syntax", Regexp: `Ω.|\\ü`},
}}

// leaf is a string or number of a JSON text, or any other token.
type leaf struct {
	raw  string
	text string // what a string holds
	kind jsontext.Kind
	name bool
}

func leaves(tb rapid.TB, body []byte) (all []leaf) {
	tb.Helper()
	dec := jsontext.NewDecoder(bytes.NewReader(body), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	for {
		kind := dec.PeekKind()
		if kind != '"' && kind != '0' {
			if _, err := dec.ReadToken(); errors.Is(err, io.EOF) {
				return all
			} else if err != nil {
				tb.Fatalf("%s: %v", body, err)
			}
			all = append(all, leaf{kind: kind})
			continue
		}
		raw, err := dec.ReadValue()
		if err != nil {
			tb.Fatalf("%s: %v", body, err)
		}
		l := leaf{kind: kind, raw: string(raw), text: string(raw)}
		if kind == '"' {
			text, _ := jsontext.AppendUnquote(nil, raw) // bytes that are not UTF-8 are replaced
			l.text = string(text)
			parent, n := dec.StackIndex(dec.StackDepth())
			l.name = parent == '{' && n%2 == 1
		}
		all = append(all, l)
	}
}

// check checks what holds for any body.
func check(tb rapid.TB, r *redact.Redactor, body []byte) []byte {
	tb.Helper()
	in := bytes.Clone(body)
	out := r.JSON(body)
	if !bytes.Equal(in, body) {
		tb.Fatalf("%q was changed to %q", in, body)
	}
	if again := r.JSON(out); !bytes.Equal(again, out) {
		tb.Fatalf("%q gave %q, and that %q", body, out, again)
	}
	if text := r.Text(string(body)); r.Text(text) != text {
		tb.Fatalf("%q as a text gave %q, and that %q", body, text, r.Text(text))
	}
	if !json.Valid(body) {
		return out
	}
	if !json.Valid(out) {
		tb.Fatalf("%q gave %q, which is no JSON", body, out)
	}
	before, after := leaves(tb, body), leaves(tb, out)
	if len(before) != len(after) {
		tb.Fatalf("%q gave %q", body, out)
	}
	for i, was := range before {
		is := after[i]
		switch {
		case was.name || was.kind != '"' && was.kind != '0':
			if is != was {
				tb.Fatalf("%q gave %q: %v became %v", body, out, was, is)
			}
		case is == was:
		case is.kind != '"' || !strings.Contains(is.text, "[redacted:"):
			tb.Fatalf("%q gave %q: %v became %v", body, out, was, is)
		}
		if !was.name && utf8.ValidString(is.raw) && r.Text(is.text) != is.text {
			tb.Fatalf("%q gave %q: in %q a rule still matches", body, out, is.text)
		}
	}
	return out
}

var secrets = []string{
	"ann@example.com", "4111 1111 1111 1111", "5555555555554444", "DE89370400440532013000", "123-45-6789", "+14155552671", "10.20.30.40",
	"2001:db8::17", "T-4711", "sk-" + strings.Repeat("a1B2", 8), "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2ln",
}

// drawText draws a text with secrets in it, each between spaces.
func drawText(t *rapid.T) (text string, planted []string) {
	for range rapid.IntRange(0, 5).Draw(t, "parts") {
		if rapid.Bool().Draw(t, "secret") {
			s := rapid.SampledFrom(secrets).Draw(t, "which")
			text, planted = text+" "+s+" ", append(planted, s)
			continue
		}
		text += rapid.OneOf(
			rapid.StringOfN(rapid.RuneFrom([]rune("ab1@.\\\"\n[]:é😀qΩü{}-_+/u")), 0, 12, -1), rapid.SampledFrom([]string{"[redacted:email]", "[redacted:", `\u0041`, `\n`}), rapid.String(),
		).Draw(t, "text")
	}
	return text, planted
}

// quote writes a JSON string, with more escapes than it needs or not.
func quote(t *rapid.T, text string) string {
	var b strings.Builder
	for _, c := range text {
		if c < 0x80 && rapid.IntRange(0, 7).Draw(t, "escape") == 0 {
			b.WriteString(`\u00` + string("0123456789abcdef"[c>>4]) + string("0123456789ABCDEF"[c&15]))
			continue
		}
		q, _ := jsontext.AppendQuote(nil, string(c)) // what is not UTF-8 is replaced
		b.Write(q[1 : len(q)-1])
	}
	return `"` + b.String() + `"`
}

func drawValue(t *rapid.T, depth int) (value string, planted []string) {
	kind := rapid.IntRange(0, 6).Draw(t, "kind")
	if depth == 0 {
		kind %= 4
	}
	switch kind {
	case 0:
		return rapid.SampledFrom([]string{"null", "true", "0", "-1.5e+12345678", "4111111111111111", "1234567890123"}).Draw(t, "literal"), nil
	case 1, 2:
		text, planted := drawText(t)
		return quote(t, text), planted
	case 3:
		inner, planted := drawValue(t, 0)
		return quote(t, inner), planted
	}
	n := rapid.IntRange(0, 3).Draw(t, "entries")
	entries := make([]string, n)
	for i := range entries {
		entry, p := drawValue(t, depth-1)
		planted = append(planted, p...)
		if kind > 4 {
			name, _ := drawText(t)
			entry = quote(t, name) + " : " + entry
		}
		entries[i] = entry
	}
	if list := strings.Join(entries, " ,\n"); kind > 4 {
		return "{" + list + "}", planted
	}
	return "[" + strings.Join(entries, ",") + "]", planted
}

// holds says whether a string of body, or of JSON in a string of it, has text in it.
func holds(t *rapid.T, body []byte, text string, levels int) bool {
	for _, l := range leaves(t, body) {
		if l.name || l.kind != '"' {
			continue
		}
		if strings.Contains(l.text, text) || levels > 1 && json.Valid([]byte(l.text)) && holds(t, []byte(l.text), text, levels-1) {
			return true
		}
	}
	return false
}

func TestRedactionIsSafe(t *testing.T) {
	t.Parallel()
	r := compile(t, everything)
	rapid.Check(t, func(t *rapid.T) {
		body, planted := drawValue(t, 3)
		out := check(t, r, []byte(body))
		for _, s := range planted {
			if holds(t, out, " "+s+" ", 2) {
				t.Fatalf("%s gave %s: %s is still there", body, out, s)
			}
		}
		cut := rapid.IntRange(0, len(body)).Draw(t, "cut")
		check(t, r, []byte(body[:cut]))
	})
}

func FuzzJSON(f *testing.F) {
	for _, seed := range []string{
		`{"model":"m","messages":[{"role":"user","content":"I am ann@example.com, +1 (415) 555-2671, 4111 1111 1111 1111"}]}`,
		`{"arguments":"{\"to\":\"\\u0061nn@example.com\",\"n\":4111111111111111}","n":4111111111111111}`,
		`["\ud83d\ude00 T-1 \ud83d [redacted:email] [redacted:nobody]","\\\u005cu0041","q qq q"]`,
		"data: {\"a\":\"10.20.30.40 2001:db8::17\"}\n\ndata: [DONE]\n\n",
		`{"a":"DE89 3704 0044 0532 0130 00 123-45-6789 Bearer abcdef0123456789`,
		"[redacted:email]", "[[redacted:", "\"\xff\\", "-----BEGIN " + "PRIVATE KEY-----\nMII",
	} {
		f.Add([]byte(seed))
	}
	r := compile(f, everything)
	f.Fuzz(func(t *testing.T, body []byte) { check(t, r, body) })
}
