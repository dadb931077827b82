package gateway_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	"loom.internal/pkg/catalog"
	"loom.internal/pkg/envelope"
	"loom.internal/pkg/event"
	"loom.internal/pkg/redact"
	"loom.internal/pkg/tenant"
	"loom.internal/pkg/testkit"
)

var privateRules = redact.Rules{
	Builtin:  []string{"email", "credit_card", "api_key", "private_key", "iban", "phone", "us_ssn", "ip_address", "jwt", "bearer_token"},
	Patterns: []redact.Pattern{{Name: "ticket", Regexp: `TCK-[0-9]{4,}`}, {Name: "sevens", Regexp: `7{5}`}},
}

// private is text with something for several rules; none of secrets may be left of it.
const private = "mail alice@example.com, card 4111 1111 1111 1111, key sk-proj-abcDEF1234567890abcd, TCK-2024"

var secrets = []string{"alice", "@example.com", "4111", "1111", "abcDEF1234567890", "TCK-2024"}

// clear fails where anything is left of private, or any rule has a match, and where
// nothing was taken out.
func (w *world) clear(what, recorded string, marks ...string) {
	w.tb.Helper()
	r, err := redact.Compile(privateRules)
	w.must(err)
	if again := string(r.JSON([]byte(recorded))); again != recorded {
		w.tb.Errorf("%s: there are matches left in %q", what, recorded)
	}
	for _, secret := range secrets {
		if strings.Contains(recorded, secret) {
			w.tb.Errorf("%s: %q is left in %q", what, secret, recorded)
		}
	}
	for _, mark := range marks {
		contains(w.tb, what, recorded, "[redacted:"+mark+"]")
	}
}

var allMarks = []string{"email", "credit_card", "api_key", "ticket"}

// events is text in pieces of a few letters, each as an event that has it.
func events(text string, as func(piece string) string) (chunks []string) {
	for i := 0; i < len(text); i += 5 {
		chunks = append(chunks, as(text[i:min(i+5, len(text))]))
	}
	return chunks
}

func quotedText(text string) string {
	b, _ := json.Marshal(text)
	return string(b)
}

// What is recorded has no match left, whatever the API and however the answer comes in
// pieces; what goes over the wire is the same to the byte, and usage is left as it is.
func TestRedaction(t *testing.T) {
	t.Parallel()
	const usage = `"usage":{"prompt_tokens":77777,"completion_tokens":2}`
	escaped := strings.NewReplacer("@", `\u0040`, "4111 ", `\u0034111 `, "TCK", `\u0054CK`).Replace(private)
	responsesDone := `{"type":"response.completed","response":{"id":"resp_1","status":"completed","model":"gpt-x","output":[{"type":"message","content":[{"type":"output_text","text":"` + private + `"}]}],"usage":{"input_tokens":77777,"output_tokens":2}}}`
	anthropicUsage := `"usage":{"input_tokens":77777,"output_tokens":2}`
	var form bytes.Buffer
	parts := multipart.NewWriter(&form)
	for name, value := range map[string]string{"model": "gpt-1", "prompt": private} {
		if err := parts.WriteField(name, value); err != nil {
			t.Fatal(err)
		}
	}
	file, err := parts.CreateFormFile("file", "alice@example.com.mp3")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(file, private)
	_ = parts.Close()

	for name, row := range map[string]struct {
		path, contentType, body string
		answerType              string
		answer                  []string
		requestMarks, marks     []string
		kind                    catalog.Kind
	}{
		"chat": {
			body: `{"model":"gpt-1","messages":[{"role":"user","content":"` + private + `"}]}`, requestMarks: allMarks,
			answer: []string{`{"model":"gpt-1","choices":[{"message":{"content":"` + private + `"},"finish_reason":"stop"}],` + usage + `}`}, marks: allMarks,
		},
		"escapes": {
			body: `{"model":"gpt-1","messages":[{"role":"user","content":"` + escaped + `"}]}`, requestMarks: allMarks,
			answer: []string{`{"model":"gpt-1","choices":[{"message":{"content":"` + escaped + `"},"finish_reason":"stop"}],` + usage + `}`}, marks: allMarks,
		},
		"JSON within a string": {
			body: `{"model":"gpt-1","messages":[{"role":"tool","content":` + quotedText(`{"a":"`+escaped+`"}`) + `}]}`, requestMarks: allMarks,
			answer: []string{`{"model":"gpt-1","choices":[{"message":{"tool_calls":[{"function":{"name":"f","arguments":` + quotedText(`{"a":"`+escaped+`"}`) + `}}]}}],` + usage + `}`}, marks: allMarks,
		},
		"streamed chat": {
			body: `{"model":"gpt-1","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"` + private + `"}]}`, requestMarks: allMarks,
			answerType: "text/event-stream", answer: append(events(private, chunk), last, `data: {"choices":[],`+usage+"}\n\n", done), marks: allMarks,
		},
		"streamed arguments": {
			body:       `{"model":"gpt-1","stream":true,"stream_options":{"include_usage":true},"messages":[]}`,
			answerType: "text/event-stream", answer: append(events(`{"a":"`+escaped+`"}`, func(piece string) string {
				return `data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":` + quotedText(piece) + `}}]}}]}` + "\n\n"
			}), last, `data: {"choices":[],`+usage+"}\n\n", done), marks: allMarks,
		},
		"multipart": {
			path: "/v1/audio/transcriptions", contentType: parts.FormDataContentType(), body: form.String(), requestMarks: allMarks,
			answer: []string{`{"text":"` + private + `",` + usage + `}`}, marks: allMarks,
		},
		"text": {
			path: "/v1/audio/transcriptions", contentType: parts.FormDataContentType(), body: form.String(), requestMarks: allMarks,
			answerType: "text/plain", answer: []string{private}, marks: allMarks,
		},
		"a stream of a response": {
			path: "/v1/responses", body: `{"model":"gpt-1","stream":true,"input":"` + private + `"}`, requestMarks: allMarks,
			answerType: "text/event-stream", answer: append(events(private, func(piece string) string {
				return named("response.output_text.delta", `{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":`+quotedText(piece)+`}`)
			}), named("response.completed", responsesDone)), marks: allMarks,
		},
		"a stream of a response that is cut": {
			path: "/v1/responses", body: `{"model":"gpt-1","stream":true,"input":"` + private + `"}`, requestMarks: allMarks,
			answerType: "text/event-stream", answer: append(events(private, func(piece string) string {
				return named("response.output_text.delta", `{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":`+quotedText(piece)+`}`)
			}), named("response.incomplete", `{"type":"response.incomplete","response":{"id":"resp_1","usage":{"input_tokens":77777,"output_tokens":2}}}`)), marks: allMarks,
		},
		"Anthropic": {
			path: "/v1/messages", kind: catalog.Anthropic, body: `{"model":"gpt-1","max_tokens":9,"messages":[{"role":"user","content":"` + private + `"}]}`, requestMarks: allMarks,
			answer: []string{`{"id":"m","type":"message","role":"assistant","model":"gpt-1","content":[{"type":"text","text":"` + private + `"}],"stop_reason":"end_turn",` + anthropicUsage + `}`}, marks: allMarks,
		},
		"a stream of Anthropic": {
			path: "/v1/messages", kind: catalog.Anthropic, body: `{"model":"gpt-1","stream":true,"max_tokens":9,"messages":[{"role":"user","content":"` + private + `"}]}`, requestMarks: allMarks,
			answerType: "text/event-stream", answer: append(append([]string{
				named("message_start", `{"type":"message_start","message":{"id":"m","type":"message","role":"assistant","model":"gpt-1","content":[],`+anthropicUsage+`}}`),
				named("content_block_start", `{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}`),
			}, events(`{"a":"`+escaped+`"}`, func(piece string) string {
				return named("content_block_delta", `{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":`+quotedText(piece)+`}}`)
			})...), named("message_delta", `{"type":"message_delta","delta":{"stop_reason":"tool_use"},`+anthropicUsage+`}`), named("message_stop", `{"type":"message_stop"}`)), marks: allMarks,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			up := testkit.Upstream(t, func(w http.ResponseWriter, _ *http.Request, _ []byte) {
				if row.answerType == "text/event-stream" {
					_ = testkit.SSE(w, row.answer...)
					return
				}
				w.Header().Set("Content-Type", map[bool]string{true: "application/json", false: row.answerType}[row.answerType == ""])
				_, _ = io.WriteString(w, strings.Join(row.answer, ""))
			})
			w := start(t, setup{upstream: up.URL, kind: row.kind})
			w.addTenant(tenant.Tenant{ID: "bolt", Redact: privateRules})
			key := w.addKey(tenant.Key{TenantID: "bolt", Scopes: tenant.Scopes()})
			path, contentType := row.path, row.contentType
			if path == "" {
				path = "/v1/chat/completions"
			}
			if contentType == "" {
				contentType = "application/json"
			}
			a := w.do(w.request(t.Context(), http.MethodPost, path, []byte(row.body), "Authorization", "Bearer "+key, "Content-Type", contentType))
			equal(t, "status", a.status, 200)
			equal(t, "to the client", a.body, strings.Join(row.answer, ""))
			equal(t, "to the provider", string(up.Requests()[0].Body), row.body)
			e := w.trace()
			w.clear("request", w.open(e, envelope.FieldRequest), row.requestMarks...)
			w.clear("response", w.open(e, envelope.FieldResponse), row.marks...)
			if row.answerType != "text/plain" {
				contains(t, "usage", string(e.GetUsageRaw()), "77777")
			}
			equal(t, "model", e.GetModelRequested(), "gpt-1")
			equal(t, "bytes", e.GetRequestBytes(), int64(len(row.body)))
		})
	}
}

// What the client says of a request is recorded in clear, so it is searched too: names of
// tags as well, and as it will be once it was made fit to be recorded.
func TestRedactionOfWhatTheClientSays(t *testing.T) {
	t.Parallel()
	w := start(t, setup{upstream: respond(t, 200, "application/json", whole).URL})
	w.addTenant(tenant.Tenant{ID: "bolt", Redact: privateRules, ContentMode: "metadata"})
	key := w.addKey(tenant.Key{TenantID: "bolt", Scopes: tenant.Scopes()})
	long := strings.Repeat("x", event.MaxTagValue-10) + " alice@example.com"
	for name, said := range map[string]struct{ user, session, header string }{
		"plain":            {private, private, ""},
		"escaped":          {strings.ReplaceAll(private, "@", `\u0040`), private, ""},
		"twice escaped":    {strings.ReplaceAll(private, "@", `\\u0040`), private, ""},
		"by header":        {"", "", private},
		"with zeros in it": {`alice\u0000@exam\u0000ple.com 4111 1111\u0000 1111 1111`, `TCK\u0000-2024`, ""},
	} {
		body := fmt.Sprintf(`{"model":"gpt-1","messages":[],"user":"%s","metadata":{"session_id":"%s","note":"%s","alice@example.com":"y","zero":"alice\u0000@example.com","long":"%s"}}`, said.user, said.session, private, long)
		equal(t, name, w.chat(body, "Authorization", "Bearer "+key, "X-Loom-Session-Id", said.header).status, 200)
	}
	for _, e := range w.traces(5) {
		all := e.GetEndUser() + "\n" + e.GetSessionId()
		for name, value := range e.GetTags() {
			all += "\n" + name + "\n" + value
		}
		w.clear("what the client said", quotedText(all), "email", "ticket")
		if e.GetSessionId() == "" {
			t.Error("no session")
		}
	}
}
