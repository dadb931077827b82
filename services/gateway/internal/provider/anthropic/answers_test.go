package anthropic_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestAnswerMapping has a row for each that the mapping of messages to chat completions
// has; streams are held to say the same elsewhere.
func TestAnswerMapping(t *testing.T) {
	t.Parallel()
	const text, usage = `{"type":"text","text":"a"}`, `{"input_tokens":10,"output_tokens":5}`
	const asText = `"content":"a","refusal":null`
	for _, row := range []struct{ name, content, stop, usage, message, finish, want string }{
		{"text blocks: joined", text + `,{"type":"text","text":"b"}`, "end_turn", usage, `"content":"ab","refusal":null`, "stop", ""},
		{"no text: null", ``, "end_turn", usage, `"content":null,"refusal":null`, "stop", ""},
		{
			"tool_use: tool_calls, arguments as JSON of the input", `{"type":"tool_use","id":"t","name":"f","input":{"b":1.0, "a":12345678901234567890}}`, "tool_use", usage,
			`"content":null,"refusal":null,"tool_calls":[{"id":"t","type":"function","function":{"name":"f","arguments":"{\"b\":1.0, \"a\":12345678901234567890}"}}]`, "tool_calls", "",
		},
		{"tool_use without input", `{"type":"tool_use","id":"t","name":"f"}`, "tool_use", usage, `"content":null,"refusal":null,"tool_calls":[{"id":"t","type":"function","function":{"name":"f","arguments":"{}"}}]`, "tool_calls", ""},
		{"thinking: reasoning_content", `{"type":"thinking","thinking":"h","signature":"s"},` + text, "end_turn", usage, asText + `,"reasoning_content":"h"`, "stop", ""},
		{"stop_sequence: stop", text, "stop_sequence", usage, asText, "stop", ""},
		{"pause_turn: stop", text, "pause_turn", usage, asText, "stop", ""},
		{"max_tokens: length", text, "max_tokens", usage, asText, "length", ""},
		{"model_context_window_exceeded: length", text, "model_context_window_exceeded", usage, asText, "length", ""},
		{"refusal: content_filter and message.refusal", text, "refusal", usage, `"content":"a","refusal":"a"`, "content_filter", ""},
		{"refusal without text", ``, "refusal", usage, `"content":null,"refusal":null`, "content_filter", ""},
		{
			"usage: the prompt includes the cache", text, "end_turn", `{"input_tokens":10,"cache_creation_input_tokens":20,"cache_read_input_tokens":90,"output_tokens":5,"output_tokens_details":{"thinking_tokens":2}}`, asText, "stop",
			`,"usage":{"prompt_tokens":120,"completion_tokens":5,"total_tokens":125,"prompt_tokens_details":{"cached_tokens":90,"cache_write_tokens":20},"completion_tokens_details":{"reasoning_tokens":2}}`,
		},
		{"usage: absent is not zero", text, "end_turn", `null`, asText, "stop", "-"},
		{"usage: what cannot be is left out", text, "end_turn", `{"input_tokens":-1,"output_tokens":5}`, asText, "stop", "-"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			switch row.want {
			case "":
				row.want = `,"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}`
			case "-":
				row.want = ""
			}
			answer := fmt.Sprintf(`{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[%s],"stop_reason":%q,"usage":%s}`, row.content, row.stop, row.usage)
			_, got, err := translated(t, &upstream{body: strings.NewReader(answer)}, plain)
			if err != nil {
				t.Fatal(err)
			}
			want := fmt.Sprintf(`{"id":"msg_1","object":"chat.completion","created":1767225600,"model":"m","choices":[{"index":0,"message":{"role":"assistant",%s},"logprobs":null,"finish_reason":%q}]%s}`, row.message, row.finish, row.want)
			if diff := cmp.Diff(want, string(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
