package anthropic_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"loom.internal/services/gateway/internal/endpoint"
	"loom.internal/services/gateway/internal/openai"
	"loom.internal/services/gateway/internal/provider/anthropic"
	"loom.internal/services/gateway/internal/provider/call"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares got with a file.
func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// upstream plays Anthropic: it keeps the request and gives the answer.
type upstream struct {
	status int
	header http.Header
	body   io.Reader

	request *http.Request
	sent    []byte
}

func (u *upstream) RoundTrip(r *http.Request) (*http.Response, error) {
	u.request = r
	if r.Body != nil {
		u.sent, _ = io.ReadAll(r.Body)
	}
	h := http.Header{"Date": {"Thu, 01 Jan 2026 00:00:00 GMT"}}
	maps.Copy(h, u.header)
	if u.body == nil {
		u.body = strings.NewReader("{}")
	}
	status := u.status
	if status == 0 {
		status = http.StatusOK
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(u.body), ContentLength: -1, Request: r}, nil
}

func client(u *upstream) *anthropic.Client { return clientOf(u) }

func clientOf(transport http.RoundTripper) *anthropic.Client {
	return anthropic.New(anthropic.Options{
		Base: &url.URL{Scheme: "https", Host: "api.anthropic.com"}, Secret: "sk-ant", Transport: transport,
	})
}

// chat sends a chat completion; fault is not nil where it cannot be translated.
func chat(t interface {
	Helper()
	Fatal(args ...any)
}, u *upstream, body string,
) (resp *call.Response, fault *openai.Error) {
	t.Helper()
	resp, err := client(u).Send(context.Background(), call.Request{
		Endpoint: endpoint.Chat, Header: http.Header{}, Body: []byte(body), Stream: strings.Contains(body, `"stream":true`),
	})
	if fault, ok := errors.AsType[*openai.Error](err); ok {
		if u.request != nil {
			t.Fatal("a request at fault was sent")
		}
		return nil, fault
	}
	if err != nil {
		t.Fatal(err)
	}
	return resp, nil
}

// translated is what a chat client gets for an answer of Anthropic's.
func translated(t *testing.T, u *upstream, request string) (*call.Response, []byte, error) {
	t.Helper()
	resp, fault := chat(t, u, request)
	if fault != nil {
		t.Fatal(fault)
	}
	body, err := io.ReadAll(resp.Body)
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return resp, body, err
}

const (
	plain     = `{"model":"claude-x","messages":[{"role":"user","content":"Hi"}]}`
	streaming = `{"model":"claude-x","messages":[{"role":"user","content":"Hi"}],"stream":true,"stream_options":{"include_usage":true}}`
)

var eventStream = http.Header{"Content-Type": {"text/event-stream; charset=utf-8"}}

// sseOf reads an answer as a stream.
func sseOf(body []byte) *upstream { return &upstream{header: eventStream, body: bytes.NewReader(body)} }
