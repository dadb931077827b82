// Package demo is a provider built into the gateway, so that everything works with no
// account. It answers chat completions deterministically from the request alone, in
// OpenAI's wire format. A token of its usage is a word: a run of characters that are
// not white space.
package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The models there are. The large one says more.
const (
	Model      = "loom-demo"
	ModelLarge = "loom-demo-large"
)

// BaseURL is the address Transport answers to; it is never dialled.
var BaseURL = &url.URL{Scheme: "http", Host: "demo.invalid", Path: "/v1"}

const (
	created    = 1767225600 // a constant: the same request has the same answer
	maxRequest = 64 << 20
)

// Transport answers requests within the process.
type Transport struct {
	Pace time.Duration // between two chunks of a stream
}

var _ http.RoundTripper = (*Transport)(nil)

type request struct {
	Model    string `json:"model"`
	Messages []struct {
		Role    string          `json:"role"`
		Content json.RawMessage `json:"content"`
	} `json:"messages"`
	Stream        bool `json:"stream"`
	StreamOptions struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
	MaxTokens           *int `json:"max_tokens"`
	MaxCompletionTokens *int `json:"max_completion_tokens"`
}

// answer is what a request is answered with, before it takes a shape.
type answer struct {
	id, model, finish  string
	words              []string // each with the space that goes before it
	prompt, completion int
}

// RoundTrip answers r.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRequest))
	_ = r.Body.Close()
	if err != nil {
		return nil, fmt.Errorf("read request: %w", err)
	}
	if err := context.Cause(r.Context()); err != nil {
		return nil, err
	}
	a, req, fault := read(body)
	if fault != nil {
		return respond(r, fault.status, "application/json", io.NopCloser(bytes.NewReader(fault.body()))), nil
	}
	if req.Stream {
		s := &stream{ctx: r.Context(), chunks: a.chunks(req.StreamOptions.IncludeUsage), pace: t.Pace}
		return respond(r, http.StatusOK, "text/event-stream; charset=utf-8", s), nil
	}
	return respond(r, http.StatusOK, "application/json", io.NopCloser(bytes.NewReader(a.whole()))), nil
}

func respond(r *http.Request, status int, contentType string, body io.ReadCloser) *http.Response {
	return &http.Response{
		Status: strconv.Itoa(status) + " " + http.StatusText(status), StatusCode: status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {contentType}}, Body: body, ContentLength: -1, Request: r,
	}
}

// read judges a request and works out its answer.
func read(body []byte) (answer, request, *fault) {
	var req request
	if err := json.Unmarshal(body, &req); err != nil {
		return answer{}, req, invalid("", "We could not parse the JSON body of your request.")
	}
	limit := req.MaxCompletionTokens
	if limit == nil {
		limit = req.MaxTokens
	}
	switch {
	case req.Model != Model && req.Model != ModelLarge:
		return answer{}, req, &fault{http.StatusNotFound, "The model '" + req.Model + "' does not exist.", "model", "model_not_found"}
	case len(req.Messages) == 0:
		return answer{}, req, invalid("messages", "Invalid 'messages': empty array. Expected an array with minimum length 1.")
	case limit != nil && *limit < 1:
		return answer{}, req, invalid("max_tokens", "Invalid 'max_tokens': integer below minimum value. Expected a value >= 1.")
	}
	digest := fnv.New64a()
	_, _ = digest.Write(body)
	a := answer{id: fmt.Sprintf("chatcmpl-demo-%016x", digest.Sum64()), model: req.Model, finish: "stop"}
	said := ""
	for _, m := range req.Messages {
		text := plain(m.Content)
		a.prompt += len(strings.Fields(text))
		if m.Role == "user" {
			said = text
		}
	}
	a.words = compose(req.Model, strings.Fields(said), a.prompt)
	if limit != nil && len(a.words) > *limit {
		a.words, a.finish = a.words[:*limit], "length"
	}
	a.completion = len(a.words)
	return a, req, nil
}

// plain is the text of a message's content: a string, or the text parts of an array.
func plain(content json.RawMessage) string {
	var s string
	if json.Unmarshal(content, &s) == nil {
		return s
	}
	var parts []struct {
		Text string `json:"text"`
	}
	_ = json.Unmarshal(content, &parts) // anything else has no words
	var texts []string
	for _, p := range parts {
		texts = append(texts, p.Text)
	}
	return strings.Join(texts, " ")
}

func compose(model string, said []string, prompt int) []string {
	const quote = 24 // words
	text := fmt.Sprintf("Hello from %s. Your request had %d words.", model, prompt)
	if len(said) > 0 {
		text += " You said: " + strings.Join(said[:min(quote, len(said))], " ")
	}
	if model == ModelLarge {
		reversed := slices.Clone(said[:min(quote, len(said))])
		slices.Reverse(reversed)
		text += " The other way round: " + strings.Join(reversed, " ") +
			" This answer was made inside of Loom, without any provider, so that you can see how a request is streamed, recorded and priced."
	}
	words := strings.Fields(text)
	for i := 1; i < len(words); i++ {
		words[i] = " " + words[i]
	}
	return words
}

type fault struct {
	status               int
	message, param, code string
}

func invalid(param, message string) *fault {
	return &fault{http.StatusBadRequest, message, param, ""}
}

func (f *fault) body() []byte {
	nullable := func(s string) any {
		if s == "" {
			return nil
		}
		return s
	}
	return mustJSON(map[string]any{"error": map[string]any{
		"message": f.message, "type": "invalid_request_error", "param": nullable(f.param), "code": nullable(f.code),
	}})
}

// mustJSON encodes values made here, which cannot fail.
func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
