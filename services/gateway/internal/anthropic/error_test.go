package anthropic_test

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"loom.internal/services/gateway/internal/anthropic"
	"loom.internal/services/gateway/internal/openai"
)

func TestFaultsInAnthropicsEnvelope(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		fault *openai.Error
		want  string
	}{
		{openai.Invalid("p", "m"), "invalid_request_error"},
		{openai.InvalidKey(), "authentication_error"},
		{openai.MissingScope("chat"), "permission_error"},
		{openai.ModelNotFound("m"), "not_found_error"},
		{openai.MethodNotSupported("PUT"), "invalid_request_error"},
		{openai.BodyTimeout(), "invalid_request_error"},
		{openai.TooLarge(1), "request_too_large"},
		{&openai.Error{Status: 429}, "rate_limit_error"},
		{openai.Internal(), "api_error"},
		{openai.UpstreamFailed(), "api_error"},
		{openai.Unavailable("x"), "overloaded_error"},
		{openai.UpstreamTimeout(), "timeout_error"},
		{&openai.Error{Status: anthropic.StatusOverloaded}, "overloaded_error"},
	} {
		w := httptest.NewRecorder()
		anthropic.Write(w, row.fault, "req_1")
		var body struct {
			Type  string
			Error struct{ Type, Message string }
			ID    string `json:"request_id"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
			t.Fatalf("%s: %v", w.Body, err)
		}
		if w.Code != row.fault.Status || body.Type != "error" || body.Error.Type != row.want || body.Error.Message != row.fault.Message || body.ID != "req_1" {
			t.Errorf("%v: got %d %s, want type %s", row.fault, w.Code, w.Body, row.want)
		}
	}
}

func TestFaultsKeepTheHeadersThatSDKsRead(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	anthropic.Write(w, &openai.Error{Status: 429, RetryAfter: 1500 * time.Millisecond, NoRetry: true}, "")
	for name, want := range map[string]string{"Content-Type": "application/json", "Retry-After": "1", "X-Should-Retry": "false"} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if strings.Contains(w.Body.String(), "request_id") {
		t.Errorf("a request id out of nothing: %s", w.Body)
	}
}

func TestFaultAsAnEvent(t *testing.T) {
	t.Parallel()
	got := string(anthropic.Event(&openai.Error{Status: 504, Message: "a\nb"}))
	want := "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"timeout_error\",\"message\":\"a\\nb\"}}\n\n"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
