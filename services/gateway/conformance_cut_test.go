package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	goopenai "github.com/sashabaranov/go-openai"

	"loom.internal/pkg/event"
	"loom.internal/pkg/testkit"
)

// overHTTP2 is a client without TLS that knows the server speaks HTTP/2.
func overHTTP2(t *testing.T) *http.Client {
	t.Helper()
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	tr := &http.Transport{Protocols: p}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// TestNoCutLooksWhole: a stream that a provider breaks off after any of its bytes does
// not end cleanly, over either protocol, and neither Go client takes it for whole.
func TestNoCutLooksWhole(t *testing.T) {
	t.Parallel()
	whole := ": hi\n\n" + chunk("é") + strings.ReplaceAll(last, "\n", "\r\n") + done
	at := make(chan int, 1)
	up := testkit.Upstream(t, func(w http.ResponseWriter, _ *http.Request, _ []byte) {
		_ = testkit.SSE(w, whole[:<-at])
		_ = testkit.Cut(w)
	})
	w := start(t, setup{upstream: up.URL})
	plain, two := w.client, overHTTP2(t)
	legacy := goopenai.DefaultConfig(w.key)
	legacy.BaseURL = w.url + "/v1"
	client, other := openai.NewClient(option.WithBaseURL(w.url), option.WithAPIKey(w.key), option.WithMaxRetries(0)), goopenai.NewClientWithConfig(legacy)
	for n := range len(whole) + 1 {
		for _, c := range []*http.Client{plain, two} {
			at <- n
			w.client = c
			a := w.chat(askedStream)
			if clean := a.err == nil; clean != (n == len(whole)) {
				t.Errorf("after %d of %d bytes: ended cleanly: %v\n%q", n, len(whole), clean, a.body)
			}
			if n < len(whole) {
				contains(t, "stream", a.body, `data: {"error":{"message":"`)
				if strings.Contains(a.body, "[DONE]") {
					t.Errorf("after %d bytes there is an end marker: %q", n, a.body)
				}
			}
		}
		at <- n
		stream := client.Chat.Completions.NewStreaming(t.Context(), openai.ChatCompletionNewParams{Model: "gpt-4o"})
		for stream.Next() {
		}
		if failed := stream.Err() != nil; failed != (n < len(whole)) {
			t.Errorf("openai-go after %d of %d bytes: %v", n, len(whole), stream.Err())
		}
		at <- n
		s, err := other.CreateChatCompletionStream(t.Context(), goopenai.ChatCompletionRequest{Model: "gpt-4o", Stream: true})
		w.must(err)
		for err == nil {
			_, err = s.Recv()
		}
		_ = s.Close()
		if failed := !errors.Is(err, io.EOF); failed != (n < len(whole)) {
			t.Errorf("go-openai after %d of %d bytes: %v", n, len(whole), err)
		}
	}
	w.client = plain
	for i, e := range w.traces(4 * (len(whole) + 1)) {
		if got, want := e.GetErrorClass(), map[bool]string{true: "upstream_cut"}[i/4 < len(whole)]; got != want {
			t.Errorf("after %d bytes: class %q, want %q", i/4, got, want)
		}
	}
}

// TestGoClientsKnowTheErrors: go-openai and openai-go see what the gateway or a provider
// says went wrong, before a stream and in it.
func TestGoClientsKnowTheErrors(t *testing.T) {
	t.Parallel()
	filter := `{"error":{"message":"filtered","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation","content_filter_result":{"hate":{"filtered":true,"severity":"high"}}}}}`
	up := respond(t, 400, "application/json", filter, "X-Ratelimit-Remaining-Requests", "7")
	w := start(t, setup{upstream: up.URL})
	legacy := goopenai.DefaultConfig(w.key)
	legacy.BaseURL = w.url + "/v1"
	client := goopenai.NewClientWithConfig(legacy)
	for _, model := range []string{"gpt-4o", "nothing"} {
		_, err := client.CreateChatCompletion(t.Context(), goopenai.ChatCompletionRequest{Model: model})
		fault, ok := errors.AsType[*goopenai.APIError](err)
		if !ok {
			t.Fatalf("%s: got %v", model, err)
		}
		if model == "nothing" {
			equal(t, "status", fault.HTTPStatusCode, 404)
			equal(t, "code", fault.Code, any("model_not_found"))
			continue
		}
		equal(t, "status", fault.HTTPStatusCode, 400)
		if fault.InnerError == nil || !fault.InnerError.ContentFilterResults.Hate.Filtered {
			t.Errorf("inner error: got %+v", fault.InnerError)
		}
	}
	_, err := client.CreateChatCompletionStream(t.Context(), goopenai.ChatCompletionRequest{Model: "gpt-4o", Stream: true})
	if fault, ok := errors.AsType[*goopenai.APIError](err); !ok || fault.Code != any("content_filter") {
		t.Errorf("stream: got %v", err)
	}
}

// TestRetriesOfGoClients: openai-go tries again as headers say, go-openai never does.
func TestRetriesOfGoClients(t *testing.T) {
	t.Parallel()
	const fault = `{"error":{"message":"x","type":"server_error","param":null,"code":null}}`
	for _, row := range []struct {
		header []string
		want   int
	}{{[]string{"Retry-After-Ms", "5"}, 3}, {[]string{"X-Should-Retry", "false"}, 1}} {
		up := respond(t, 503, "application/json", fault, row.header...)
		w := start(t, setup{upstream: up.URL})
		client := openai.NewClient(option.WithBaseURL(w.url), option.WithAPIKey(w.key))
		_, err := client.Chat.Completions.New(t.Context(), openai.ChatCompletionNewParams{Model: "gpt-4o"})
		if answer, ok := errors.AsType[*openai.Error](err); !ok || answer.StatusCode != 503 {
			t.Errorf("got %v", err)
		}
		equal(t, fmt.Sprintf("calls with %s", row.header[0]), len(up.Requests()), row.want)
		for i, r := range up.Requests() {
			equal(t, "retry count", r.Header.Get("X-Stainless-Retry-Count"), fmt.Sprint(i))
		}
		legacy := goopenai.DefaultConfig(w.key)
		legacy.BaseURL = w.url + "/v1"
		_, err = goopenai.NewClientWithConfig(legacy).CreateChatCompletion(t.Context(), goopenai.ChatCompletionRequest{Model: "gpt-4o"})
		if err == nil {
			t.Error("go-openai saw no error")
		}
		equal(t, "calls with go-openai", len(up.Requests()), row.want+1)
	}
}

// TestClientLeavesAnywhere: wherever a client leaves, the provider's call is cancelled
// within a second, over either protocol.
func TestClientLeavesAnywhere(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ name, begin, body string }{
		{"mid-stream", chunk("part"), askedStream},
		{"before the first token", ": hello\n\n", askedStream},
		{"before the header", "", askedStream},
		{"whole answer", "", asked},
	} {
		for _, protocol := range []string{"HTTP/1.1", "HTTP/2"} {
			t.Run(row.name+" "+protocol, func(t *testing.T) {
				t.Parallel()
				canceled := make(chan error, 1)
				up := testkit.Upstream(t, func(w http.ResponseWriter, r *http.Request, _ []byte) {
					if row.begin != "" {
						_ = testkit.SSE(w, row.begin)
					}
					canceled <- testkit.WaitGone(r, patience)
				})
				w := start(t, setup{upstream: up.URL})
				client := w.client
				if protocol == "HTTP/2" {
					client = overHTTP2(t)
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				begun, ended := make(chan struct{}), make(chan struct{})
				go func() {
					defer close(ended)
					resp, err := client.Do(w.request(ctx, http.MethodPost, "/v1/chat/completions", []byte(row.body)))
					if err != nil {
						return
					}
					_, _ = io.ReadFull(resp.Body, make([]byte, len(row.begin)))
					close(begun)
					<-ctx.Done()
					_ = resp.Body.Close()
				}()
				up.Await(t, 1, patience)
				if row.begin != "" {
					<-begun
				}
				cancel()
				left := time.Now()
				w.must(<-canceled)
				if took := time.Since(left); took > time.Second {
					t.Errorf("the provider's call was cancelled after %s", took)
				}
				<-ended
				equal(t, "outcome", w.trace().GetOutcome(), event.Outcome_OUTCOME_CANCELED)
			})
		}
	}
}

// TestBothProtocols: the same bytes over HTTP/1.1 and HTTP/2, and no length with a stream.
func TestBothProtocols(t *testing.T) {
	t.Parallel()
	want := chunk("a") + last + done
	w := start(t, setup{upstream: play(t, chunk("a"), last, done).URL})
	for protocol, client := range map[int]*http.Client{1: w.client, 2: overHTTP2(t)} {
		resp, err := client.Do(w.request(t.Context(), http.MethodPost, "/v1/chat/completions", []byte(askedStream)))
		w.must(err)
		got, err := io.ReadAll(resp.Body)
		w.must(err)
		_ = resp.Body.Close()
		equal(t, "protocol", resp.ProtoMajor, protocol)
		equal(t, "stream", string(got), want)
		equal(t, "length", resp.ContentLength, -1)
		equal(t, "chunked", len(resp.TransferEncoding), 2-protocol)
	}
}
