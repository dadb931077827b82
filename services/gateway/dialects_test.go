package gateway_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"loom.internal/pkg/catalog"
	"loom.internal/pkg/envelope"
	"loom.internal/pkg/event"
	"loom.internal/pkg/tenant"
	"loom.internal/pkg/testkit"
)

const message = `{"id":"msg_1","type":"message","role":"assistant","model":"claude-x","content":[{"type":"text","text":"Hello"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":10,"cache_creation_input_tokens":20,"cache_read_input_tokens":90,"output_tokens":5}}`

func named(name, data string) string { return "event: " + name + "\ndata: " + data + "\n\n" }

var messageStream = named("message_start", `{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-x","content":[],"stop_reason":null,"usage":{"input_tokens":10,"output_tokens":1}}}`) +
	named("content_block_start", `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`) +
	named("content_block_delta", `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello"}}`) +
	named("content_block_stop", `{"type":"content_block_stop","index":0}`) +
	named("message_delta", `{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":5}}`) +
	named("message_stop", `{"type":"message_stop"}`)

// anthropic is a gateway in front of a provider that speaks Anthropic's API.
func anthropic(t *testing.T) (*world, *testkit.Provider) {
	t.Helper()
	up := testkit.Upstream(t, func(w http.ResponseWriter, r *http.Request, body []byte) {
		switch {
		case bytes.Contains(body, []byte("overload")):
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(529)
			_, _ = io.WriteString(w, `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`)
		case bytes.Contains(body, []byte(`"cut"`)):
			_ = testkit.SSE(w, strings.SplitAfter(messageStream, "\n\n")[0])
			_ = testkit.Cut(w)
		case bytes.Contains(body, []byte(`"stream":true`)):
			_ = testkit.SSE(w, messageStream)
		case strings.HasSuffix(r.URL.Path, "count_tokens"):
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"input_tokens":3}`)
		default:
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, message)
		}
	})
	return start(t, setup{upstream: up.URL, kind: catalog.Anthropic, routes: []catalog.Route{{Model: "claude-*", Targets: []catalog.Target{{Provider: "up"}}}}}), up
}

// Anthropic's own API passes through in both directions, and errors of the gateway's own
// have its shape.
func TestAnthropicNative(t *testing.T) {
	t.Parallel()
	w, up := anthropic(t)
	post := func(path, body string, header ...string) answer {
		return w.do(w.request(t.Context(), http.MethodPost, path, []byte(body), append([]string{"Authorization", "", "X-Api-Key", w.key, "Anthropic-Beta", "b1"}, header...)...))
	}
	const asked = `{"model":"claude-x", "max_tokens":10,"messages":[{"role":"user","content":"hi"}],"metadata":{"user_id":"u7"},"big":12345678901234567890}`
	a := post("/v1/messages", asked)
	equal(t, "status", a.status, 200)
	equal(t, "answer", a.body, message)
	got := up.Requests()[0]
	equal(t, "request", string(got.Body), asked)
	equal(t, "path", got.Path, "/v1/messages")
	equal(t, "key", got.Header.Get("X-Api-Key"), "sk-upstream-secret")
	equal(t, "version", got.Header.Get("Anthropic-Version"), "2023-06-01")
	equal(t, "beta", got.Header.Get("Anthropic-Beta"), "b1")
	equal(t, "authorization", got.Header.Get("Authorization"), "")

	equal(t, "stream", post("/v1/messages", strings.Replace(asked, "{", `{"stream":true,`, 1)).body, messageStream)
	equal(t, "tokens", post("/v1/messages/count_tokens", asked).body, `{"input_tokens":3}`)
	overloaded := post("/v1/messages", strings.Replace(asked, "hi", "overload", 1))
	equal(t, "status of an error", overloaded.status, 529)
	contains(t, "error", overloaded.body, `"type":"overloaded_error"`)
	cut := post("/v1/messages", strings.Replace(asked, `"hi"`, `"cut"`, 1))
	contains(t, "cut", cut.body, "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\"")
	if cut.err == nil {
		t.Error("a cut stream ended cleanly")
	}
	for name, refused := range map[string]answer{
		"401 authentication_error":  post("/v1/messages", asked, "X-Api-Key", "nope"),
		"404 not_found_error":       post("/v1/messages", `{"model":"nope"}`),
		"400 invalid_request_error": post("/v1/messages", `{`),
	} {
		status, typ, _ := strings.Cut(name, " ")
		equal(t, name, fmt.Sprint(refused.status), status)
		contains(t, name, refused.body, `{"type":"error","error":{"type":"`+typ+`","message":"`)
		contains(t, name, refused.body, `"request_id":"`+refused.header.Get("Request-Id"))
	}
	traces := w.traces(5)
	equal(t, "endpoint", traces[0].GetEndpoint(), "messages")
	equal(t, "end user", traces[0].GetEndUser(), "u7")
	contains(t, "usage", string(traces[0].GetUsageRaw()), `"cache_read_input_tokens":90`)
	contains(t, "recorded stream", w.open(traces[1], envelope.FieldResponse), `"text":"Hello"`)
	contains(t, "usage of a stream", string(traces[1].GetUsageRaw()), `"output_tokens":5`)
	equal(t, "usage of counting", traces[2].GetUsageSource(), event.UsageSource_USAGE_SOURCE_NONE)
	equal(t, "cut", traces[4].GetErrorClass(), "upstream_cut")
}

// Chat completions are translated, and priced by the provider's own usage.
func TestAnthropicByChat(t *testing.T) {
	t.Parallel()
	w, up := anthropic(t)
	a := w.chat(`{"model":"claude-x","messages":[{"role":"system","content":"be"},{"role":"user","content":"hi"}]}`)
	equal(t, "status", a.status, 200)
	contains(t, "answer", a.body, `"content":"Hello"`)
	contains(t, "usage", a.body, `"prompt_tokens":120`)
	equal(t, "path", up.Requests()[0].Path, "/v1/messages")
	contains(t, "request", string(up.Requests()[0].Body), `"system":"be"`)
	s := w.chat(`{"model":"claude-x","stream":true,"messages":[{"role":"user","content":"hi"}]}`)
	contains(t, "stream", s.body, `"delta":{"content":"Hello"}`)
	if !strings.HasSuffix(s.body, "data: [DONE]\n\n") || strings.Contains(s.body, "usage") {
		t.Errorf("stream: got %q", s.body)
	}
	refused := w.chat(`{"model":"claude-x","n":2,"messages":[{"role":"user","content":"hi"}]}`)
	equal(t, "status of what cannot be asked", refused.status, 400)
	w.envelope(refused, "invalid_request_error", "")
	over := w.chat(`{"model":"claude-x","messages":[{"role":"user","content":"overload"}]}`)
	equal(t, "status of an error", over.status, 503)
	w.envelope(over, "server_error", "overloaded_error")
	traces := w.traces(4)
	contains(t, "usage", string(traces[0].GetUsageRaw()), `"cache_creation_input_tokens":20`)
	contains(t, "usage of a stream", string(traces[1].GetUsageRaw()), `"input_tokens":10`)
	contains(t, "recorded", w.open(traces[1], envelope.FieldResponse), `"content":"Hello"`)
	equal(t, "class", traces[2].GetErrorClass(), "request_not_translatable")
}

// SDKs for Azure name the model by the path.
func TestAzureStyle(t *testing.T) {
	t.Parallel()
	up := respond(t, 200, "application/json", whole)
	w := start(t, setup{upstream: up.URL})
	post := func(path, contentType string, body []byte) answer {
		return w.do(w.request(t.Context(), http.MethodPost, path, body, "Authorization", "", "Api-Key", w.key, "Content-Type", contentType))
	}
	equal(t, "chat", post("/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21&x=1", "application/json", []byte(`{"messages":[]}`)).status, 200)
	equal(t, "body", string(up.Requests()[0].Body), `{"model":"gpt-4o","messages":[]}`)
	equal(t, "path", up.Requests()[0].Path, "/chat/completions?x=1")
	equal(t, "v1", post("/openai/v1/embeddings", "application/json", []byte(`{"model":"gpt-4o","input":"x"}`)).status, 200)
	var form bytes.Buffer
	parts := multipart.NewWriter(&form)
	file, err := parts.CreateFormFile("file", "a.mp3")
	w.must(err)
	_, err = file.Write([]byte{0, 1, 2, 255})
	w.must(err)
	w.must(parts.Close())
	equal(t, "transcription", post("/openai/deployments/gpt-4o/audio/transcriptions?api-version=1", parts.FormDataContentType(), form.Bytes()).status, 200)
	got := up.Requests()[2]
	contains(t, "form", string(got.Body), "name=\"model\"\r\n\r\ngpt-4o\r\n")
	contains(t, "form", string(got.Body), form.String())
	equal(t, "content type", got.Header.Get("Content-Type"), parts.FormDataContentType())
	unknown := post("/openai/deployments/nope/chat/completions", "application/json", []byte(`{}`))
	equal(t, "unknown deployment", unknown.status, 404)
	w.envelope(unknown, "invalid_request_error", "model_not_found")
	equal(t, "not served", post("/openai/deployments/gpt-4o/files", "application/json", nil).status, 404)
	traces := w.traces(3)
	contains(t, "recorded form", w.open(traces[2], envelope.FieldRequest), `"filename":"a.mp3","content_type":"application/octet-stream","bytes":4`)
	equal(t, "endpoint", traces[2].GetEndpoint(), "audio.transcriptions")
}

// A stored response is asked of who keeps it, by its own tenant only, and its usage counts
// once.
func TestStoredResponses(t *testing.T) {
	t.Parallel()
	const made = `{"id":"resp_1","object":"response","status":"completed","model":"gpt-x","output":[],"usage":{"input_tokens":3,"output_tokens":4,"total_tokens":7}}`
	const streamed = "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_2\"}}\n\n" +
		"event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":\"resp_2\",\"status\":\"completed\",\"output\":[],\"usage\":{\"input_tokens\":3,\"output_tokens\":4,\"total_tokens\":7}}}\n\n"
	keeper := testkit.Upstream(t, func(w http.ResponseWriter, _ *http.Request, body []byte) {
		if bytes.Contains(body, []byte(`"stream":true`)) {
			_ = testkit.SSE(w, streamed)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, made)
	})
	other := respond(t, 200, "application/json", `{}`)
	s := twoTargets(catalog.RouteOptions{}, keeper.URL, other.URL)
	s.routes = append(s.routes, catalog.Route{Model: "elsewhere", Targets: []catalog.Target{{Provider: "second"}}})
	w := start(t, s)
	ask := func(method, path, body string, header ...string) answer {
		return w.do(w.request(context.Background(), method, path, []byte(body), header...))
	}
	equal(t, "unknown as yet", ask("GET", "/v1/responses/resp_1", "").status, 404)
	equal(t, "create", ask("POST", "/v1/responses", `{"model":"pair","input":"hi"}`).body, made)
	equal(t, "create a stream", ask("POST", "/v1/responses", `{"model":"pair","input":"hi","stream":true}`).body, streamed)
	for _, id := range []string{"resp_1", "resp_2"} {
		equal(t, "retrieve", ask("GET", "/v1/responses/"+id+"?include[]=x", "").body, made)
	}
	equal(t, "items", ask("GET", "/v1/responses/resp_1/input_items?limit=2", "").status, 200)
	equal(t, "cancel", ask("POST", "/v1/responses/resp_1/cancel", "").status, 200)
	equal(t, "go on", ask("POST", "/v1/responses", `{"model":"pair","previous_response_id":"resp_1"}`).status, 200)
	for name, body := range map[string]string{
		"unknown":        `{"model":"pair","previous_response_id":"resp_9"}`,
		"of another one": `{"model":"elsewhere","previous_response_id":"resp_1"}`,
	} {
		a := ask("POST", "/v1/responses", body)
		equal(t, name, a.status, 400)
		w.envelope(a, "invalid_request_error", "previous_response_not_found")
	}
	equal(t, "conversation", ask("POST", "/v1/responses", `{"model":"pair","conversation":"conv_1"}`).status, 400)
	w.addTenant(tenant.Tenant{ID: "bolt", Status: tenant.Active, ContentMode: "full"})
	foreign := "Bearer " + w.addKey(tenant.Key{TenantID: "bolt", Scopes: tenant.Scopes()})
	equal(t, "another tenant", ask("GET", "/v1/responses/resp_1", "", "Authorization", foreign).status, 404)
	equal(t, "another tenant goes on", ask("POST", "/v1/responses", `{"model":"pair","previous_response_id":"resp_1"}`, "Authorization", foreign).status, 400)
	equal(t, "delete", ask("DELETE", "/v1/responses/resp_1", "").status, 200)
	equal(t, "deleted", ask("GET", "/v1/responses/resp_1", "").status, 404)

	var calls []string
	for _, r := range keeper.Requests() {
		calls = append(calls, r.Method+" "+r.Path)
	}
	equal(t, "calls", strings.Join(calls, "\n"), strings.Join([]string{
		"POST /responses", "POST /responses", "GET /responses/resp_1?include%5B%5D=x", "GET /responses/resp_2?include%5B%5D=x",
		"GET /responses/resp_1/input_items?limit=2", "POST /responses/resp_1/cancel", "POST /responses", "DELETE /responses/resp_1",
	}, "\n"))
	equal(t, "calls of the other", len(other.Requests()), 0)
	counted := 0
	for _, e := range w.traces(8) {
		if e.GetUsageSource() == event.UsageSource_USAGE_SOURCE_PROVIDER {
			counted++
		}
	}
	equal(t, "counted", counted, 3)
}

// What goes on in the background is counted once: by the first who fetches it when it is
// done.
func TestBackgroundResponseIsCountedOnce(t *testing.T) {
	t.Parallel()
	var done atomic.Bool
	up := testkit.Upstream(t, func(w http.ResponseWriter, _ *http.Request, _ []byte) {
		w.Header().Set("Content-Type", "application/json")
		if done.Load() {
			_, _ = io.WriteString(w, `{"id":"resp_1","status":"completed","output":[],"usage":{"input_tokens":3,"output_tokens":4,"total_tokens":7}}`)
			return
		}
		_, _ = io.WriteString(w, `{"id":"resp_1","status":"queued","output":[],"usage":null}`)
	})
	w := start(t, setup{upstream: up.URL})
	ask := func(method, path, body string) {
		t.Helper()
		equal(t, path, w.do(w.request(t.Context(), method, path, []byte(body))).status, 200)
	}
	ask("POST", "/v1/responses", `{"model":"gpt-1","input":"hi","background":true}`)
	ask("GET", "/v1/responses/resp_1", "")
	done.Store(true)
	counted := func(n int) (sum int) {
		for _, e := range w.traces(n) {
			if e.GetUsageSource() == event.UsageSource_USAGE_SOURCE_PROVIDER {
				sum++
			}
		}
		return sum
	}
	n := 2
	w.eventually("counted", func() bool { // once the broker has been told of it
		ask("GET", "/v1/responses/resp_1", "")
		n++
		return counted(n) == 1
	})
	for range 3 {
		ask("GET", "/v1/responses/resp_1", "")
	}
	equal(t, "counted", counted(n+3), 1)
}
