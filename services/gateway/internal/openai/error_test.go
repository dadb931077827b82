package openai_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"loom.internal/services/gateway/internal/openai"
)

func TestErrorBodies(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", 9999) + "\xff\"\n"
	for _, e := range []*openai.Error{
		openai.InvalidKey(), openai.MissingScope("chat"), openai.ModelNotAllowed(long), openai.ModelNotFound(long), openai.Invalid("p", long),
		openai.InvalidURL("POST", long), openai.MethodNotSupported(long), openai.TooLarge(1), openai.BodyTimeout(), openai.EncodedBody(long),
		openai.UpstreamFailed(), openai.UpstreamNotJSON(502, []byte(long)), openai.UpstreamNotJSON(302, nil), openai.UpstreamTimeout(),
		openai.ProviderAuth(), openai.Unavailable("x"), openai.Internal(),
	} {
		var body struct {
			Error struct {
				Message, Type *string
				Param, Code   any
			}
		}
		if err := json.Unmarshal(e.Body(), &body); err != nil || body.Error.Message == nil || body.Error.Type == nil {
			t.Errorf("%s: %v", e.Body(), err)
		}
		if ev := e.Event(); !bytes.HasPrefix(ev, []byte(`data: {"error":{"message":`)) || bytes.Count(ev, []byte("\n")) != 2 {
			t.Errorf("event: %q", ev)
		}
	}
}
