package gateway_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"loom.internal/pkg/config"
	"loom.internal/pkg/envelope"
	"loom.internal/pkg/event"
	"loom.internal/pkg/testkit"
	"loom.internal/services/gateway"
)

// What is captured can always be sealed and recorded.
func TestCaptureLimitFitsTheSeal(t *testing.T) {
	t.Parallel()
	equal(t, "longest body of an event", event.MaxBody, envelope.MaxPlain)
	w := &world{tb: t, broker: &testkit.Broker{URL: "nats://127.0.0.1:1"}, masters: config.VersionedSecret{1: masterKey}}
	cfg := w.config(func(c *gateway.Config) { c.CaptureLimit, c.SpoolMaxBytes = envelope.MaxPlain, 1<<40 })
	w.must(cfg.Validate())
	cfg.CaptureLimit++
	if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), "CAPTURE_LIMIT") {
		t.Errorf("one more: got %v", err)
	}
}

// Bodies are compressed where it pays: a request always, an answer from a length on.
func TestCompression(t *testing.T) {
	t.Parallel()
	words := strings.Repeat("what is said twice is said well ", 400)
	random := make([]byte, 12<<10) // of all bytes that a JSON string may hold
	r := rand.New(rand.NewPCG(1, 2))
	for i := range random {
		for random[i] < ' ' || random[i] == '"' || random[i] == '\\' {
			random[i] = byte(r.Uint32())
		}
	}
	ask := func(text string) string { return strings.Replace(asked, "hi", text, 1) }
	say := func(text string) string { return strings.Replace(whole, "hello", text, 1) }
	for name, row := range map[string]struct {
		request, response           string
		requestCodec, responseCodec envelope.Codec
	}{
		"short":                {ask("hi"), say("hello"), envelope.Identity, envelope.Identity},
		"a longer request":     {ask(words[:1000]), say(words[:1000]), envelope.Zstd, envelope.Identity},
		"almost a long answer": {ask(words), say(words[:4<<10-len(whole)+len("hello")-1]), envelope.Zstd, envelope.Identity},
		"a long answer":        {ask(words), say(words[:4<<10-len(whole)+len("hello")]), envelope.Zstd, envelope.Zstd},
		"of no pattern":        {ask(string(random)), say(string(random)), envelope.Identity, envelope.Identity},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t, setup{upstream: respond(t, 200, "application/json", row.response).URL})
			equal(t, "answer", w.chat(row.request).body, row.response)
			e := w.trace()
			equal(t, "codec of the request", envelope.Codec(e.GetRequestBody().GetCodec()), row.requestCodec)
			equal(t, "codec of the response", envelope.Codec(e.GetResponseBody().GetCodec()), row.responseCodec)
			equal(t, "request", w.open(e, envelope.FieldRequest), row.request)
			equal(t, "response", w.open(e, envelope.FieldResponse), row.response)
			equal(t, "length", e.GetResponseBody().GetPlainLength(), int64(len(row.response)))
			if shorter := len(e.GetResponseBody().GetCiphertext()) < len(row.response); shorter != (row.responseCodec == envelope.Zstd) {
				t.Errorf("%d bytes of ciphertext for %d", len(e.GetResponseBody().GetCiphertext()), len(row.response))
			}
		})
	}
}
