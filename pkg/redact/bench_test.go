package redact_test

import (
	"fmt"
	"strings"
	"testing"

	"loom.internal/pkg/redact"
)

// chat is a request of about that many bytes, with code, numbers and tool calls, and
// now and then a secret if it is to have some.
func chat(size int, secret bool) []byte {
	var b strings.Builder
	b.WriteString(`{"model":"gpt-4o","temperature":0.7,"messages":[{"role":"system","content":"You are helpful."}`)
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, `,{"role":"user","content":"Order %d of 2024-05-%02d 12:30:45 – why does \"x[1::2]\" fail?\n\n    for i := 0; i < %d; i++ {\n\t\tsum += a[i] * 3.14159\n    }\n`, 10000+i, i%28+1, i)
		b.WriteString(`It was fine in version 1.2.3 (build 20240517), see https://example.com/docs?id=17#top-level. Thank you, and greetings from all of us here."}`)
		fmt.Fprintf(&b, `,{"role":"assistant","tool_calls":[{"id":"call_%d","type":"function","function":{"name":"f","arguments":"{\"city\":\"Zürich\",\"days\":%d}"}}]}`, i, i)
		if secret && i%4 == 0 {
			b.WriteString(`,{"role":"user","content":"I am ann@example.com,\ncall +1 415 555 2671 or pay with 4111 1111 1111 1111"}`)
		}
	}
	b.WriteString("]}")
	return []byte(b.String())
}

func BenchmarkJSON(b *testing.B) {
	all := redact.Rules{Builtin: allBuiltins}
	own := redact.Rules{Builtin: allBuiltins, Patterns: []redact.Pattern{{Name: "customer", Regexp: `CUST-\d{6}`}, {Name: "digits", Regexp: `\b\d{3}/\d{3}\b`}}}
	for _, c := range []struct {
		name   string
		rules  redact.Rules
		secret bool
	}{{"clean", all, false}, {"secrets", all, true}, {"patterns", own, true}} {
		for _, size := range []int{2 << 10, 10 << 10, 100 << 10} {
			b.Run(fmt.Sprintf("%s/%dKB", c.name, size>>10), func(b *testing.B) {
				r, body := compile(b, c.rules), chat(size, c.secret)
				b.SetBytes(int64(len(body)))
				b.ReportAllocs()
				for b.Loop() {
					r.JSON(body)
				}
			})
		}
	}
}
