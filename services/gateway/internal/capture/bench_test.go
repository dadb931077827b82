package capture_test

import (
	"fmt"
	"testing"

	"loom.internal/services/gateway/internal/capture"
	"loom.internal/services/gateway/internal/endpoint"
	"loom.internal/services/gateway/internal/openai"
	"loom.internal/services/gateway/internal/sse"
)

const benchEvents = 200 // of each stream

func BenchmarkStream(b *testing.B) {
	for name, row := range map[string]struct {
		of    endpoint.Endpoint
		event string // with the number of the word
		hide  bool
	}{
		"chat":        {endpoint.Chat, chatChunk, false},
		"chat-hiding": {endpoint.Chat, chatChunk, true},
		"responses": {
			endpoint.Responses, "event: response.output_text.delta\n" + `data: {"type":"response.output_text.delta","sequence_number":%[1]d,"item_id":"msg_abc","output_index":0,"content_index":0,"delta":" word%[1]d","logprobs":[],"obfuscation":"1aBc"}`, false,
		},
	} {
		b.Run(name, func(b *testing.B) {
			var stream []byte
			for i := range benchEvents {
				stream = fmt.Appendf(stream, row.event+"\n\n", i)
			}
			form := capture.FormOf(row.of)
			b.ReportAllocs()
			b.SetBytes(int64(len(stream)))
			for b.Loop() {
				var p sse.Events
				s := form.Stream(1 << 20)
				_ = p.Feed(stream, func(e sse.Event) error {
					s.Event(e)
					if row.hide {
						openai.HideUsage(e)
					}
					return nil
				})
				s.JSON()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchEvents, "ns/event")
		})
	}
}

const chatChunk = `data: {"id":"chatcmpl-abc","object":"chat.completion.chunk","created":1767225600,"model":"gpt-4o-2024-08-06","service_tier":"default","system_fingerprint":"fp_1","choices":[{"index":0,"delta":{"content":" word%d"},"logprobs":null,"finish_reason":null}],"usage":null}`
