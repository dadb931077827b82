package anthropic_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"testing"

	sdk "github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"loom.internal/services/gateway/internal/endpoint"
	"loom.internal/services/gateway/internal/provider/call"
)

// asOpenAI lets OpenAI's SDK call Anthropic.
type asOpenAI struct{ u *upstream }

func (a asOpenAI) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	resp, err := client(a.u).Send(r.Context(), call.Request{
		Endpoint: endpoint.Chat, Header: r.Header, Body: body, Stream: bytes.Contains(body, []byte(`"stream":true`)),
	})
	if err != nil {
		return nil, err
	}
	return resp.Response, nil
}

func sdkOf(u *upstream) sdk.Client {
	return sdk.NewClient(option.WithAPIKey("k"), option.WithMaxRetries(0), option.WithHTTPClient(&http.Client{Transport: asOpenAI{u}}))
}

func question(stream bool) sdk.ChatCompletionNewParams {
	p := sdk.ChatCompletionNewParams{Model: "claude-x", Messages: []sdk.ChatCompletionMessageParamUnion{sdk.UserMessage("Hi")}}
	if stream {
		p.StreamOptions.IncludeUsage = sdk.Bool(true)
	}
	return p
}

func TestSDKReadsAWholeAnswer(t *testing.T) {
	t.Parallel()
	c := sdkOf(&upstream{body: bytes.NewReader(answerFile(t, "tools.json"))})
	got, err := c.Chat.Completions.New(t.Context(), question(false))
	if err != nil {
		t.Fatal(err)
	}
	m := got.Choices[0].Message
	if m.Content != "Let me see." || len(m.ToolCalls) != 2 || m.ToolCalls[1].Function.Arguments != "{}" || got.Usage.TotalTokens != 150 {
		t.Errorf("got %+v", got)
	}
}

func TestSDKReadsAStream(t *testing.T) {
	t.Parallel()
	c := sdkOf(sseOf(answerFile(t, "tools.sse")))
	stream := c.Chat.Completions.NewStreaming(t.Context(), question(true))
	var acc sdk.ChatCompletionAccumulator
	for stream.Next() {
		if !acc.AddChunk(stream.Current()) {
			t.Errorf("the SDK cannot add %s", stream.Current().RawJSON())
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	m := acc.Choices[0].Message
	if m.Content != "Let me see." || len(m.ToolCalls) != 2 || m.ToolCalls[0].Function.Arguments != `{"city":"Paris","at":12345678901234567890}` ||
		m.ToolCalls[1].ID != "toolu_2" || acc.Usage.TotalTokens != 150 || acc.Choices[0].FinishReason != "tool_calls" {
		t.Errorf("got %+v", acc.ChatCompletion)
	}
}

func TestSDKSeesErrors(t *testing.T) {
	t.Parallel()
	const overloaded = `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`
	c := sdkOf(&upstream{status: 529, body: bytes.NewReader([]byte(overloaded)), header: http.Header{"Request-Id": {"req_1"}}})
	_, err := c.Chat.Completions.New(t.Context(), question(false))
	if e, ok := errors.AsType[*sdk.Error](err); !ok || e.StatusCode != 503 || e.Code != "overloaded_error" || e.Message != "Overloaded" {
		t.Errorf("got %v", err)
	}
	c = sdkOf(sseOf([]byte("event: error\ndata: " + overloaded + "\n\n")))
	stream := c.Chat.Completions.NewStreaming(t.Context(), question(true))
	for stream.Next() {
		t.Errorf("a chunk: %s", stream.Current().RawJSON())
	}
	if stream.Err() == nil {
		t.Error("a stream that fails has no error")
	}
}
