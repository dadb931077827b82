package gateway_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"loom.internal/pkg/envelope"
	"loom.internal/pkg/event"
)

func TestSDKWithDemoProvider(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	client := openai.NewClient(option.WithBaseURL(w.url+"/v1"), option.WithAPIKey(w.key))
	params := openai.ChatCompletionNewParams{
		Model:    "loom-demo",
		Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("one two three")},
	}
	whole, err := client.Chat.Completions.New(t.Context(), params)
	w.must(err)
	text := whole.Choices[0].Message.Content
	contains(t, "answer", text, "You said: one two three")

	stream := client.Chat.Completions.NewStreaming(t.Context(), params)
	var acc openai.ChatCompletionAccumulator
	for stream.Next() {
		chunk := stream.Current()
		if len(chunk.Choices) == 0 {
			t.Error("a chunk without choices reached a client that did not ask for usage")
		}
		if chunk.JSON.Usage.Valid() || strings.Contains(chunk.RawJSON(), `"usage"`) {
			t.Errorf("usage reached a client that did not ask: %s", chunk.RawJSON())
		}
		if !acc.AddChunk(chunk) {
			t.Error("the SDK refuses a chunk")
		}
	}
	w.must(stream.Err())
	equal(t, "streamed text", acc.Choices[0].Message.Content, text)

	traces := w.traces(2)
	for i, e := range traces {
		equal(t, "outcome", e.GetOutcome(), event.Outcome_OUTCOME_COMPLETED)
		equal(t, "stream", e.GetStream(), i == 1)
		equal(t, "seq", e.GetProducer().GetSeq(), uint64(i+1))
		equal(t, "usage", string(e.GetUsageRaw()), string(mustJSON(t, map[string]int64{
			"prompt_tokens": 3, "completion_tokens": whole.Usage.CompletionTokens, "total_tokens": whole.Usage.TotalTokens,
		}, e.GetUsageRaw())))
		var kept openai.ChatCompletion
		w.must(json.Unmarshal([]byte(w.open(e, envelope.FieldResponse)), &kept))
		equal(t, "recorded text", kept.Choices[0].Message.Content, text)
		equal(t, "recorded tokens", kept.Usage.TotalTokens, whole.Usage.TotalTokens)
		contains(t, "recorded request", w.open(e, envelope.FieldRequest), "one two three")
	}
	if traces[1].TtftUs == nil || traces[1].GapP50Us == nil {
		t.Error("a stream's trace has no time to first token or no gaps")
	}
}

// mustJSON gives back raw if it holds exactly want.
func mustJSON(t *testing.T, want map[string]int64, raw []byte) []byte {
	t.Helper()
	var got map[string]int64
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatalf("%q: %v", raw, err)
	}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s: got %d, want %d", k, got[k], v)
		}
	}
	return raw
}
