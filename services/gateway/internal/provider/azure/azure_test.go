package azure_test

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"loom.internal/services/gateway/internal/endpoint"
	"loom.internal/services/gateway/internal/openai"
	"loom.internal/services/gateway/internal/provider/azure"
	"loom.internal/services/gateway/internal/provider/call"
)

func send(t *testing.T, c *azure.Client, r call.Request) (int, http.Header, string) {
	t.Helper()
	resp, err := c.Send(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(body)
}

func TestURLOfEveryEndpoint(t *testing.T) {
	t.Parallel()
	const d = "/openai/deployments/" + deployment + "/"
	want := map[string][2]string{ // by name: dated, v1
		"chat.completions":     {d + "chat/completions", "chat/completions"},
		"completions":          {d + "completions", "completions"},
		"responses":            {"/openai/responses", "responses"},
		"embeddings":           {d + "embeddings", "embeddings"},
		"audio.speech":         {d + "audio/speech", "audio/speech"},
		"audio.transcriptions": {d + "audio/transcriptions", "audio/transcriptions"},
		"audio.translations":   {d + "audio/translations", "audio/translations"},
		"images.generations":   {d + "images/generations", "images/generations"},
		"images.edits":         {d + "images/edits", "images/edits"},
	}
	a := newResource(t, "")
	dateds := a.client(t, nil)
	v1 := a.client(t, func(o *azure.Options) { o.APIVersion = "" })
	for _, e := range endpoint.All() {
		paths, served := want[e.Name]
		for _, c := range []*azure.Client{dateds, v1} {
			if got := c.Serves(e); got != served {
				t.Errorf("%s: served %v, want %v", e.Name, got, served)
			}
		}
		if !served {
			continue
		}
		for i, c := range []*azure.Client{dateds, v1} {
			r := chat("")
			r.Endpoint = e
			if status, _, body := send(t, c, r); status != http.StatusOK || body != `{"echo":"POST `+e.Path+`"}` {
				t.Errorf("%s: answer %d %s", e.Name, status, body)
			}
			data, _ := a.calls()
			path := paths[i] + "?api-version=" + dated
			if c == v1 {
				path = "/openai/v1/" + paths[i]
			}
			if got := data[len(data)-1].Path; got != path {
				t.Errorf("%s: got %s, want %s", e.Name, got, path)
			}
		}
	}
}

func TestURLs(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		base, version string
		change        func(*call.Request)
		want          string
	}{
		"slash":                     {"/", dated, nil, "/openai/deployments/prod-4o/chat/completions?api-version=2024-10-21"},
		"openai":                    {"/openai", dated, nil, "/openai/deployments/prod-4o/chat/completions?api-version=2024-10-21"},
		"openai/v1, dated":          {"/openai/v1", dated, nil, "/openai/deployments/prod-4o/chat/completions?api-version=2024-10-21"},
		"openai/v1/":                {"/openai/v1/", "", nil, "/openai/v1/chat/completions"},
		"a path of a front":         {"/team%2Fa/openai/", "", nil, "/team%2Fa/openai/v1/chat/completions"},
		"v1 in a version of a word": {"", "preview", nil, "/openai/v1/chat/completions?api-version=preview"},
		"deployment to be escaped": {
			"", dated, func(r *call.Request) { r.Model = "a b/../c?d#e%2F;é" },
			"/openai/deployments/a%20b%2F..%2Fc%3Fd%23e%252F%3B%C3%A9/chat/completions?api-version=2024-10-21",
		},
		"the client's version": {"", dated, func(r *call.Request) {
			r.Query = url.Values{"api-version": {"2020-01-01", "x"}, "API-Version": {"2020-02-02"}, "stream": {"a b"}}
		}, "/openai/deployments/prod-4o/chat/completions?api-version=2024-10-21&stream=a+b"},
		"the client's version, v1": {
			"", "", func(r *call.Request) { r.Query = url.Values{"api-version": {"2020-01-01"}, "x": {"1", "2"}} },
			"/openai/v1/chat/completions?x=1&x=2",
		},
		"a response, dated": {"", dated, func(r *call.Request) {
			r.Endpoint, r.Method, r.Suffix, r.Body = endpoint.Responses, http.MethodGet, "/resp_1/input_items", nil
			r.Query = url.Values{"limit": {"2"}}
		}, "/openai/responses/resp_1/input_items?api-version=2024-10-21&limit=2"},
		"a response, v1": {"", "", func(r *call.Request) {
			r.Endpoint, r.Method, r.Suffix, r.Body = endpoint.Responses, http.MethodDelete, "/resp_1", nil
		}, "/openai/v1/responses/resp_1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newResource(t, "")
			client := a.client(t, func(o *azure.Options) { o.Base, o.APIVersion = parse(t, a.URL+c.base), c.version })
			r := chat("")
			if c.change != nil {
				c.change(&r)
			}
			send(t, client, r)
			data, _ := a.calls()
			if len(data) != 1 || data[0].Path != c.want {
				t.Errorf("got %v, want %s", data, c.want)
			}
			method := r.Method
			if method == "" {
				method = http.MethodPost
			}
			if data[0].Method != method || string(data[0].Body) != string(r.Body) {
				t.Errorf("got %s %s, want %s %s", data[0].Method, data[0].Body, method, r.Body)
			}
		})
	}
}

func TestModelsThatAreNoDeployment(t *testing.T) {
	t.Parallel()
	a := newResource(t, "")
	c := a.client(t, nil)
	for _, model := range []string{"", ".", ".."} {
		r := chat("")
		r.Model = model
		_, err := c.Send(t.Context(), r)
		if fault, ok := errors.AsType[*openai.Error](err); !ok || fault.Status != http.StatusNotFound || fault.Code != "model_not_found" {
			t.Errorf("%q: got %v, want a 404", model, err)
		}
	}
	if got := a.Requests(); len(got) != 0 {
		t.Errorf("asked all the same: %v", got)
	}
}

func TestCredentialsOfTheProviderOnly(t *testing.T) {
	t.Parallel()
	a := newResource(t, "")
	if status, _, _ := send(t, a.client(t, nil), chat("")); status != http.StatusOK {
		t.Errorf("by key: got %d", status)
	}
	status, _, body := send(t, a.client(t, func(o *azure.Options) { o.Secret = "wrong" }), chat(""))
	if status != http.StatusUnauthorized || body != unauthorized {
		t.Errorf("by a wrong key: got %d %s", status, body)
	}
	send(t, a.client(t, func(o *azure.Options) { o.Secret = "" }), chat(""))
	data, _ := a.calls()
	if len(data) != 3 {
		t.Fatalf("%d calls, want 3: a key is not tried twice", len(data))
	}
	if _, ok := data[2].Header["Api-Key"]; ok {
		t.Errorf("without a key: got %v", data[2].Header)
	}
}

func TestWhatAzureSendsPassesUnchanged(t *testing.T) {
	t.Parallel()
	a := newResource(t, "")
	c := a.client(t, nil)
	r := chat("")
	r.Stream, r.Body = true, []byte(`{"stream":true,"messages":[]}`)
	status, header, body := send(t, c, r)
	if diff := cmp.Diff(strings.Join(stream(), ""), body); status != http.StatusOK || diff != "" {
		t.Errorf("stream: %d (-want +got):\n%s", status, diff)
	}
	for name, want := range map[string]string{
		"Content-Type": "text/event-stream", "X-Ms-Region": "Sweden Central", "Apim-Request-Id": "3f6b1d5e-0000-4000-8000-000000000000",
	} {
		if got := header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	status, _, body = send(t, c, chat("filtered"))
	if status != http.StatusBadRequest || body != filtered {
		t.Errorf("content filter: got %d %s", status, body)
	}
	status, header, body = send(t, c, chat("throttled"))
	if status != http.StatusTooManyRequests || body != throttled || header.Get("Retry-After-Ms") != "2750" || header.Get("Retry-After") != "3" {
		t.Errorf("rate limit: got %d %s %v", status, body, header)
	}
	r = chat("")
	r.Model = "another"
	if status, _, body = send(t, c, r); status != http.StatusNotFound || body != noDeployment {
		t.Errorf("unknown deployment: got %d %s", status, body)
	}
	// Where an operator has given no version, or a wrong one, Azure knows nothing.
	old := a.client(t, func(o *azure.Options) { o.APIVersion = "2019-01-01" })
	if status, _, body = send(t, old, chat("")); status != http.StatusNotFound || body != noVersion {
		t.Errorf("wrong version: got %d %s", status, body)
	}
}

// Whatever a client calls a model, it is one segment of the path.
func TestAnyModelIsOneSegment(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		model := rapid.OneOf(rapid.String(), rapid.StringMatching(`[./%?#;a\\]{1,8}`)).Draw(rt, "model")
		if model == "" || model == "." || model == ".." {
			return
		}
		s := new(inside)
		c, err := azure.New(azure.Options{Base: parse(t, "https://x.openai.azure.com"), APIVersion: dated, Secret: apiKey, Transport: s})
		if err != nil {
			rt.Fatal(err)
		}
		r := chat("")
		r.Model = model
		resp, err := c.Send(t.Context(), r)
		if err != nil {
			rt.Fatal(err)
		}
		_ = resp.Body.Close()
		before, rest, _ := strings.Cut(resp.Request.URL.RequestURI(), "/openai/deployments/")
		segment, rest, _ := strings.Cut(rest, "/")
		got, err := url.PathUnescape(segment)
		if err != nil || got != model || before != "" || rest != "chat/completions?api-version="+dated {
			rt.Errorf("%q: got %s", model, resp.Request.URL.RequestURI())
		}
	})
}
