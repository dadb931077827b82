package azure_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"loom.internal/pkg/catalog"
	"loom.internal/pkg/testkit"
	"loom.internal/services/gateway/internal/endpoint"
	"loom.internal/services/gateway/internal/provider/azure"
	"loom.internal/services/gateway/internal/provider/call"
	"loom.internal/services/gateway/internal/provider/egress"
)

const (
	dated        = "2024-10-21"
	apiKey       = "k-azure-0123456789"
	clientSecret = "s~ecret&with=odd+chars%"
	tenantID     = "11111111-2222-3333-4444-555555555555"
	clientID     = "66666666-7777-8888-9999-000000000000"
	deployment   = "prod-4o"
)

// Bodies as Azure sends them.
const (
	promptFilter = `{"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{"prompt_index":0,` +
		`"content_filter_results":{"hate":{"filtered":false,"severity":"safe"},"jailbreak":{"filtered":false,"detected":false}}}]}`
	roleChunk = `{"choices":[{"content_filter_results":{},"delta":{"content":"","refusal":null,"role":"assistant"},"finish_reason":null,` +
		`"index":0,"logprobs":null}],"created":1730000000,"id":"chatcmpl-A1","model":"gpt-4o-2024-08-06","object":"chat.completion.chunk","system_fingerprint":"fp_d54531d9eb"}`
	textChunk = `{"choices":[{"content_filter_results":{"hate":{"filtered":false,"severity":"safe"}},"delta":{"content":"Hi"},"finish_reason":null,` +
		`"index":0,"logprobs":null}],"created":1730000000,"id":"chatcmpl-A1","model":"gpt-4o-2024-08-06","object":"chat.completion.chunk","system_fingerprint":"fp_d54531d9eb"}`
	asyncChunk = `{"id":"","object":"","created":0,"model":"","choices":[{"index":0,"finish_reason":null,"content_filter_results":` +
		`{"hate":{"filtered":false,"severity":"safe"}},"content_filter_offsets":{"check_offset":44,"start_offset":44,"end_offset":198}}]}`
	lastChunk = `{"choices":[{"content_filter_results":{},"delta":{},"finish_reason":"stop","index":0,"logprobs":null}],` +
		`"created":1730000000,"id":"chatcmpl-A1","model":"gpt-4o-2024-08-06","object":"chat.completion.chunk","system_fingerprint":"fp_d54531d9eb"}`

	noVersion    = `{"error":{"code":"404","message": "Resource not found"}}`
	noDeployment = `{"error":{"code":"DeploymentNotFound","message":"The API deployment for this resource does not exist."}}`
	filtered     = `{"error":{"message":"The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",` +
		`"type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation",` +
		`"content_filter_result":{"hate":{"filtered":true,"severity":"high"},"jailbreak":{"filtered":false,"detected":false}}}}}`
	throttled    = `{"error":{"code":"429","message":"Requests have exceeded the token rate limit. Please retry after 3 seconds.","type":429}}`
	unauthorized = `{"error":{"code":"401","message":"Access denied due to invalid subscription key or wrong API endpoint."}}`
)

// resource plays an Azure OpenAI resource and its Entra tenant.
type resource struct {
	*testkit.Provider
	scope string // that tokens are given for

	mu       sync.Mutex
	revoked  []string // tokens, refused from then on
	trouble  http.HandlerFunc
	issued   atomic.Int64
	lifetime int // of tokens, in seconds
}

func newResource(t *testing.T, scope string) *resource {
	t.Helper()
	a := &resource{scope: scope, lifetime: 3599}
	a.Provider = testkit.Upstream(t, func(w http.ResponseWriter, r *http.Request, body []byte) {
		w.Header().Set("Content-Type", "application/json")
		if strings.HasSuffix(r.URL.Path, "/oauth2/v2.0/token") {
			a.token(w, r, body)
			return
		}
		w.Header().Set("Apim-Request-Id", "3f6b1d5e-0000-4000-8000-000000000000")
		w.Header().Set("X-Ms-Region", "Sweden Central")
		w.Header().Set("X-Ratelimit-Remaining-Tokens", "149984")
		if !a.admits(r) {
			answer(w, http.StatusUnauthorized, unauthorized)
			return
		}
		a.serve(w, r, body)
	})
	return a
}

func answer(w http.ResponseWriter, status int, body string) {
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body))
}

// token is Entra's token endpoint.
func (a *resource) token(w http.ResponseWriter, r *http.Request, body []byte) {
	a.mu.Lock()
	trouble := a.trouble
	a.mu.Unlock()
	form, err := url.ParseQuery(string(body))
	switch {
	case trouble != nil:
		trouble(w, r)
	case err != nil, r.Method != http.MethodPost, r.Header.Get("Authorization") != "", form.Get("grant_type") != "client_credentials",
		r.URL.Path != "/"+tenantID+"/oauth2/v2.0/token", form.Get("client_id") != clientID:
		answer(w, http.StatusBadRequest, `{"error":"invalid_request","error_description":"AADSTS900144: The request body is not as it must be.","error_codes":[900144]}`)
	case form.Get("scope") != a.scope:
		answer(w, http.StatusBadRequest, `{"error":"invalid_scope","error_description":"AADSTS70011: The provided value for the input parameter 'scope' is not valid.","error_codes":[70011]}`)
	case form.Get("client_secret") != clientSecret:
		answer(w, http.StatusUnauthorized, `{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided: `+
			form.Get("client_secret")+`. Trace ID: 1","error_codes":[7000215],"correlation_id":"c"}`)
	default:
		fmt.Fprintf(w, `{"token_type":"Bearer","expires_in":%d,"ext_expires_in":%[1]d,"access_token":"eyJ.token-%d.sig"}`, a.lifetime, a.issued.Add(1))
	}
}

func (a *resource) admits(r *http.Request) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer eyJ.token-")
	if a.scope == "" {
		return !ok && r.Header.Get("Api-Key") == apiKey
	}
	return ok && r.Header.Get("Api-Key") == "" && !slices.Contains(a.revoked, "eyJ.token-"+bearer)
}

func (a *resource) revoke(tokens ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.revoked = append(a.revoked, tokens...)
}

// breaks has the token endpoint answer so; nil heals it.
func (a *resource) breaks(h http.HandlerFunc) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.trouble = h
}

// serve is the data plane: both APIs.
func (a *resource) serve(w http.ResponseWriter, r *http.Request, body []byte) {
	path := r.URL.EscapedPath()
	operation, v1 := strings.CutPrefix(path, "/openai/v1/")
	if !v1 {
		if r.URL.Query().Get("api-version") != dated {
			answer(w, http.StatusNotFound, noVersion)
			return
		}
		rest, ok := strings.CutPrefix(path, "/openai/deployments/"+deployment+"/")
		switch {
		case ok:
			operation = rest
		case strings.HasPrefix(path, "/openai/responses"):
			operation = strings.TrimPrefix(path, "/openai/")
		default:
			answer(w, http.StatusNotFound, noDeployment)
			return
		}
	}
	var asked struct {
		Stream bool   `json:"stream"`
		Model  string `json:"model"`
		Play   string `json:"user"`
	}
	_ = json.Unmarshal(body, &asked)
	switch {
	case v1 && r.Method == http.MethodPost && asked.Model != deployment:
		answer(w, http.StatusNotFound, noDeployment)
	case operation == "moderations":
		answer(w, http.StatusNotFound, noVersion)
	case asked.Play == "filtered":
		answer(w, http.StatusBadRequest, filtered)
	case asked.Play == "throttled":
		w.Header().Set("Retry-After", "3")
		w.Header().Set("Retry-After-Ms", "2750")
		answer(w, http.StatusTooManyRequests, throttled)
	case asked.Stream:
		w.Header().Del("Content-Type")
		_ = testkit.SSE(w, stream()...)
	default:
		answer(w, http.StatusOK, `{"echo":"`+r.Method+" "+operation+`"}`)
	}
}

func stream() []string {
	var events []string
	for _, data := range []string{promptFilter, roleChunk, textChunk, asyncChunk, lastChunk, "[DONE]"} {
		events = append(events, "data: "+data+"\n\n")
	}
	return events
}

// calls are those of the data plane so far, and those of the token endpoint.
func (a *resource) calls() (data, token []testkit.Request) {
	for _, r := range a.Requests() {
		if strings.Contains(r.Path, "/oauth2/") {
			token = append(token, r)
		} else {
			data = append(data, r)
		}
	}
	return data, token
}

// client is of the resource, by key or, if it gives tokens, by Entra.
func (a *resource) client(t *testing.T, change func(*azure.Options)) *azure.Client {
	t.Helper()
	transport := egress.NewTransport(egress.Options{AllowPrivate: true, ConnectTimeout: 5 * time.Second})
	t.Cleanup(transport.CloseIdleConnections)
	o := azure.Options{Base: parse(t, a.URL), APIVersion: dated, Secret: apiKey, Transport: transport}
	if a.scope != "" {
		o.Secret, o.Entra = clientSecret, &catalog.Entra{TenantID: tenantID, ClientID: clientID, Authority: a.URL}
	}
	if change != nil {
		change(&o)
	}
	c, err := azure.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func parse(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// chat is a request for the deployment.
func chat(play string) call.Request {
	return call.Request{
		Endpoint: endpoint.Chat, Model: deployment, Header: http.Header{"Content-Type": {"application/json"}},
		Body: []byte(`{"model":"` + deployment + `","user":"` + play + `","messages":[]}`),
	}
}
