package main_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"loom.internal/pkg/pricing"
)

// Rates of loom-demo, in picodollars a token.
const (
	inputRate  = 150_000
	outputRate = 600_000
)

// trace is what the tests look at of one.
type trace struct {
	ID         string  `json:"id"`
	Outcome    string  `json:"outcome"`
	HTTPStatus int     `json:"http_status"`
	ErrorClass string  `json:"error_class"`
	Model      string  `json:"model"`
	Provider   string  `json:"provider"`
	TokensIn   *int64  `json:"tokens_in"`
	TokensOut  *int64  `json:"tokens_out"`
	CostUSD    *string `json:"cost_usd"`
	CostStatus string  `json:"cost_status"`
	Stream     bool    `json:"stream"`
}

// TestCompletion asks with OpenAI's own SDK and reads the same back from the record.
func TestCompletion(t *testing.T) {
	t.Parallel()
	for name, stream := range map[string]bool{"whole": false, "streamed": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			completion(t, running(t), stream)
		})
	}
}

func completion(t *testing.T, in *instance, stream bool) {
	t.Helper()
	key, _ := in.tenant(t, fmt.Sprintf("sdk-%v", stream))
	client := openai.NewClient(option.WithBaseURL(in.env.BaseURL), option.WithAPIKey(key), option.WithMaxRetries(0))
	prompt := "How do threads become cloth?"
	params := openai.ChatCompletionNewParams{
		Model: "loom-demo", Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage(prompt)},
	}
	var text string
	var usage openai.CompletionUsage
	if stream {
		params.StreamOptions.IncludeUsage = openai.Bool(true)
		s := client.Chat.Completions.NewStreaming(t.Context(), params)
		var acc openai.ChatCompletionAccumulator
		for s.Next() {
			if !acc.AddChunk(s.Current()) {
				t.Fatalf("the SDK refuses a chunk: %s", s.Current().RawJSON())
			}
		}
		if err := s.Err(); err != nil {
			t.Fatal(err)
		}
		text, usage = acc.Choices[0].Message.Content, acc.Usage
	} else {
		answer, err := client.Chat.Completions.New(t.Context(), params)
		if err != nil {
			t.Fatal(err)
		}
		text, usage = answer.Choices[0].Message.Content, answer.Usage
	}
	if text == "" || usage.PromptTokens == 0 || usage.CompletionTokens == 0 {
		t.Fatalf("answer %q with usage %s: want both", text, usage.RawJSON())
	}

	var got trace
	eventually(t, 2*time.Second, func() (err error) {
		got, err = in.onlyTrace(key)
		return err
	})
	cost := pricing.Picodollars(usage.PromptTokens*inputRate + usage.CompletionTokens*outputRate).USD()
	if got.Outcome != "completed" || got.HTTPStatus != http.StatusOK || got.Stream != stream || got.Model != "loom-demo" || got.Provider != "demo" {
		t.Errorf("trace: got %+v", got)
	}
	if got.TokensIn == nil || *got.TokensIn != usage.PromptTokens || got.TokensOut == nil || *got.TokensOut != usage.CompletionTokens {
		t.Errorf("tokens: got %v in, %v out, want %d, %d", got.TokensIn, got.TokensOut, usage.PromptTokens, usage.CompletionTokens)
	}
	if *got.CostUSD != cost {
		t.Errorf("cost: got %s, want %s", *got.CostUSD, cost)
	}

	var payload struct {
		Request, Response struct {
			Text      string `json:"text"`
			Truncated bool   `json:"truncated"`
		}
	}
	if err := in.get(key, "/api/v1/traces/"+got.ID+"/payload", &payload); err != nil {
		t.Fatal(err)
	}
	var request struct{ Messages []struct{ Content string } }
	if err := json.Unmarshal([]byte(payload.Request.Text), &request); err != nil || len(request.Messages) != 1 || request.Messages[0].Content != prompt {
		t.Errorf("recorded request: %v\n%s", err, payload.Request.Text)
	}
	var response struct {
		Choices []struct{ Message struct{ Content string } }
	}
	if err := json.Unmarshal([]byte(payload.Response.Text), &response); err != nil || len(response.Choices) != 1 || response.Choices[0].Message.Content != text {
		t.Errorf("recorded answer: %v, want %q\n%s", err, text, payload.Response.Text)
	}
}

// onlyTrace is the one trace of a key's tenant, once it is priced.
func (in *instance) onlyTrace(key string) (trace, error) {
	var page struct{ Items []trace }
	if err := in.get(key, "/api/v1/traces?range=1h", &page); err != nil {
		return trace{}, err
	}
	if len(page.Items) != 1 {
		return trace{}, fmt.Errorf("%d traces, want 1", len(page.Items))
	}
	if got := page.Items[0]; got.CostStatus != "priced" || got.CostUSD == nil {
		return got, fmt.Errorf("trace is %s, not priced", got.CostStatus)
	}
	return page.Items[0], nil
}

func TestModels(t *testing.T) {
	t.Parallel()
	in := running(t)
	client := openai.NewClient(option.WithBaseURL(in.env.BaseURL), option.WithAPIKey(in.env.APIKey))
	page, err := client.Models.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, m := range page.Data {
		ids = append(ids, m.ID)
	}
	if got := strings.Join(ids, " "); got != "loom-demo loom-demo-large" {
		t.Errorf("models: got %s", got)
	}
}

// TestManyAtOnce: many requests become as many traces and ledger rows, and the total
// is the sum to the picodollar.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	in := running(t)
	const requests = 200
	key, _ := in.tenant(t, "parallel")
	client := openai.NewClient(option.WithBaseURL(in.env.BaseURL), option.WithAPIKey(key), option.WithMaxRetries(0))
	var (
		mu   sync.Mutex
		want pricing.Picodollars
		errs []error
		wg   sync.WaitGroup
	)
	for i := range requests {
		wg.Go(func() {
			answer, err := client.Chat.Completions.New(t.Context(), openai.ChatCompletionNewParams{
				Model:    "loom-demo",
				Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage(strings.Repeat("word ", i+1))},
			})
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, err)
				return
			}
			want += pricing.Picodollars(answer.Usage.PromptTokens*inputRate + answer.Usage.CompletionTokens*outputRate)
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	var sum pricing.Picodollars
	eventually(t, 10*time.Second, func() (err error) {
		sum, err = in.priced(key, requests)
		return err
	})
	if sum != want {
		t.Errorf("sum of the traces: got %s, want %s", sum, want)
	}
	var summary struct {
		Requests struct{ Value int }
		CostUSD  struct{ Value string } `json:"cost_usd"`
		Unpriced struct{ Value int }
	}
	if err := in.get(key, "/api/v1/summary?range=1h", &summary); err != nil {
		t.Fatal(err)
	}
	if summary.Requests.Value != requests || summary.CostUSD.Value != want.USD() || summary.Unpriced.Value != 0 {
		t.Errorf("summary: got %+v, want %d requests for %s", summary, requests, want)
	}
}

// priced adds up the traces of a tenant, of which there must be n, all accounted.
func (in *instance) priced(key string, n int) (sum pricing.Picodollars, err error) {
	seen := make(map[string]bool)
	for cursor := ""; ; {
		var page struct {
			Items      []trace
			NextCursor string `json:"next_cursor"`
		}
		query := url.Values{"range": {"1h"}, "limit": {"150"}}
		if cursor != "" {
			query.Set("cursor", cursor)
		}
		if err := in.get(key, "/api/v1/traces?"+query.Encode(), &page); err != nil {
			return 0, err
		}
		for _, tr := range page.Items {
			if tr.CostStatus != "priced" {
				return 0, fmt.Errorf("trace %s is %s", tr.ID, tr.CostStatus)
			}
			cost, err := pricing.ParseUSD(*tr.CostUSD)
			if err != nil {
				return 0, err
			}
			seen[tr.ID] = true
			sum += cost
		}
		if cursor = page.NextCursor; cursor == "" {
			break
		}
	}
	if len(seen) != n {
		return 0, fmt.Errorf("%d traces, want %d", len(seen), n)
	}
	return sum, nil
}

func TestProviderDown(t *testing.T) {
	t.Parallel()
	in := running(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := ln.Addr().String()
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	file := write(t, "providers: [{name: down, kind: compatible, base_url: 'http://"+nobody+"/v1', secret: sk-down}]\n"+
		"routes: [{model: down-*, targets: [{provider: down}]}]\n")
	in.cli(t, "apply", "-f", file)
	key, _ := in.tenant(t, "down")
	eventually(t, time.Second, func() error {
		if code := in.ask(t, key, "down-model", "hello"); code != http.StatusBadGateway {
			return fmt.Errorf("got %d, want 502", code)
		}
		return nil
	})
	eventually(t, 2*time.Second, func() error {
		var page struct{ Items []trace }
		if err := in.get(key, "/api/v1/traces?status=error", &page); err != nil {
			return err
		}
		if len(page.Items) == 0 {
			return errors.New("no trace")
		}
		if got := page.Items[0]; got.Outcome != "failed" || got.HTTPStatus != http.StatusBadGateway || got.Provider != "down" || got.CostUSD != nil || got.ErrorClass == "" {
			return fmt.Errorf("trace: got %+v", got)
		}
		return nil
	})
}

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "loom.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestStrangers(t *testing.T) {
	t.Parallel()
	in := running(t)
	for _, key := range []string{"", "sk-nonsense", in.env.AdminKey, strings.ToUpper(in.env.APIKey)} {
		if code := in.ask(t, key, "loom-demo", "hello"); code != http.StatusUnauthorized {
			t.Errorf("key %q: got %d, want 401", key, code)
		}
	}
	if code := in.ask(t, in.env.APIKey, "no-such-model", "hello"); code != http.StatusNotFound {
		t.Errorf("unknown model: got %d, want 404", code)
	}
	if err := in.get("loom_sk_nonsense", "/api/v1/traces", nil); err == nil || !strings.Contains(err.Error(), "got 401") {
		t.Errorf("API with a wrong key: got %v, want 401", err)
	}
	if err := in.get(in.env.APIKey, "/api/v1/admin/tenants", nil); err == nil || !strings.Contains(err.Error(), "got 403") {
		t.Errorf("admin API with a tenant's key: got %v, want 403", err)
	}
}
