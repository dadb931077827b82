package capture_test

import (
	"testing"

	"loom.internal/services/gateway/internal/capture"
)

func TestEstimate(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct{ request, response, want string }{
		"chat": {
			`{"model":"m","messages":[{"role":"user","content":"12345"},{"role":"user","content":[{"type":"text","text":"678"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}]}`,
			`{"choices":[{"message":{"role":"assistant","content":"123456789","tool_calls":[{"id":"call_1","function":{"name":"f","arguments":"{}"}}]}}]}`,
			`{"prompt_tokens":2,"completion_tokens":3,"total_tokens":5}`,
		},
		"what follows a nested object belongs to the outer member": {`{"input":[{"a":{"b":"xxxx"}},"12345678"]}`, `{}`, `{"prompt_tokens":2,"completion_tokens":0,"total_tokens":2}`},
		"a broken body counts as far as it goes":                   {`{"content":"1234","content":"12`, ``, `{"prompt_tokens":1,"completion_tokens":0,"total_tokens":1}`},
		"a name is no text":                                        {`{"content":{"content":1,"text":"1234"}}`, `null`, `{"prompt_tokens":1,"completion_tokens":0,"total_tokens":1}`},
	} {
		if got := string(capture.Estimate([]byte(row.request), []byte(row.response))); got != row.want {
			t.Errorf("%s: got %s, want %s", name, got, row.want)
		}
	}
}
