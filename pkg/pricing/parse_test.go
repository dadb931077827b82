package pricing_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"loom.internal/pkg/pricing"
)

// readable are usage objects as providers send them, and what they mean.
var readable = []struct {
	name string
	raw  string
	want pricing.Usage
}{
	{
		"chat", `{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}`,
		pricing.Usage{UncachedInput: 10, Output: 5},
	},
	{
		"chat with details",
		`{"prompt_tokens":1200,"completion_tokens":300,"total_tokens":1500,
		  "prompt_tokens_details":{"cached_tokens":1024,"cache_write_tokens":100,"audio_tokens":0,"text_tokens":1200},
		  "completion_tokens_details":{"reasoning_tokens":128,"audio_tokens":0,"accepted_prediction_tokens":20,"rejected_prediction_tokens":7}}`,
		pricing.Usage{
			UncachedInput: 76, CacheRead: 1024, CacheWrite: 100, Output: 300,
			Reasoning: 128, AcceptedPrediction: 20, RejectedPrediction: 7,
		},
	},
	{
		"chat with audio",
		`{"prompt_tokens":50,"completion_tokens":40,"prompt_tokens_details":{"audio_tokens":30},"completion_tokens_details":{"audio_tokens":25}}`,
		pricing.Usage{UncachedInput: 50, Output: 40, AudioInput: 30, AudioOutput: 25},
	},
	{
		"chat with null details", `{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":null,"completion_tokens_details":null,"total_tokens":null}`,
		pricing.Usage{UncachedInput: 10, Output: 5},
	},
	{
		"chat with unknown fields", `{"prompt_tokens":10,"completion_tokens":5,"queue_time":0.01,"x":{"y":[1,{}]},"speed":98.1,"input_tokens":0}`,
		pricing.Usage{UncachedInput: 10, Output: 5},
	},
	{
		"whole numbers with decimals", `{"prompt_tokens":12.0,"completion_tokens":3.000}`,
		pricing.Usage{UncachedInput: 12, Output: 3},
	},
	{
		"embeddings", `{"prompt_tokens":8,"total_tokens":8}`,
		pricing.Usage{UncachedInput: 8},
	},
	{
		"DeepSeek",
		`{"prompt_tokens":100,"completion_tokens":20,"total_tokens":120,"prompt_cache_hit_tokens":64,"prompt_cache_miss_tokens":36,"prompt_tokens_details":{"cached_tokens":64}}`,
		pricing.Usage{UncachedInput: 36, CacheRead: 64, Output: 20},
	},
	{
		"DeepSeek without details", `{"prompt_tokens":100,"completion_tokens":20,"prompt_cache_hit_tokens":64}`,
		pricing.Usage{UncachedInput: 36, CacheRead: 64, Output: 20},
	},
	{
		"Moonshot", `{"prompt_tokens":100,"completion_tokens":20,"cached_tokens":30}`,
		pricing.Usage{UncachedInput: 70, CacheRead: 30, Output: 20},
	},
	{
		"reasoning outside completion_tokens",
		`{"prompt_tokens":10,"completion_tokens":5,"total_tokens":115,"completion_tokens_details":{"reasoning_tokens":100}}`,
		pricing.Usage{UncachedInput: 10, Output: 105, Reasoning: 100},
	},
	{
		"responses",
		`{"input_tokens":36,"input_tokens_details":{"cached_tokens":16,"cache_write_tokens":4},"output_tokens":87,"output_tokens_details":{"reasoning_tokens":64},"total_tokens":123}`,
		pricing.Usage{UncachedInput: 16, CacheRead: 16, CacheWrite: 4, Output: 87, Reasoning: 64},
	},
	{
		"transcription",
		`{"type":"tokens","input_tokens":14,"input_token_details":{"text_tokens":4,"audio_tokens":10},"output_tokens":45,"total_tokens":59}`,
		pricing.Usage{UncachedInput: 14, Output: 45, AudioInput: 10},
	},
	{
		"Anthropic excludes the cache from input_tokens",
		`{"input_tokens":10,"cache_creation_input_tokens":20,"cache_read_input_tokens":90,"output_tokens":7,"service_tier":"standard"}`,
		pricing.Usage{UncachedInput: 10, CacheRead: 90, CacheWrite: 20, Output: 7},
	},
	{
		"Anthropic by cache lifetime",
		`{"input_tokens":3,"cache_creation_input_tokens":30,"cache_read_input_tokens":null,"cache_creation":{"ephemeral_5m_input_tokens":10,"ephemeral_1h_input_tokens":20},
		  "output_tokens":7,"output_tokens_details":{"thinking_tokens":4},"inference_geo":"not_available","speed":"standard","iterations":[{"type":"message"}]}`,
		pricing.Usage{UncachedInput: 3, CacheWrite: 10, CacheWrite1h: 20, Output: 7, Reasoning: 4},
	},
	{
		"Anthropic in a minimal form", `{"input_tokens":10,"output_tokens":7}`,
		pricing.Usage{UncachedInput: 10, Output: 7},
	},
	{
		"Anthropic with its tier", `{"input_tokens":1,"cache_read_input_tokens":0,"output_tokens":1,"service_tier":"priority"}`,
		pricing.Usage{UncachedInput: 1, Output: 1, ServiceTier: "priority"},
	},
	{
		"Anthropic fast", `{"input_tokens":1,"cache_read_input_tokens":0,"output_tokens":1,"speed":"fast"}`,
		pricing.Usage{UncachedInput: 1, Output: 1, Surcharge: "speed"},
	},
	{
		"Anthropic in one region", `{"input_tokens":1,"cache_read_input_tokens":0,"output_tokens":1,"inference_geo":"us"}`,
		pricing.Usage{UncachedInput: 1, Output: 1, Surcharge: "inference_geo"},
	},
	{
		"Anthropic with calls beside the main one", `{"input_tokens":1,"cache_read_input_tokens":0,"output_tokens":1,"iterations":[{"type":"compaction"},{"type":"message"}]}`,
		pricing.Usage{UncachedInput: 1, Output: 1, Surcharge: "iterations"},
	},
	{
		"Anthropic with a list of calls no one can read", `{"input_tokens":1,"cache_read_input_tokens":0,"output_tokens":1,"iterations":7}`,
		pricing.Usage{UncachedInput: 1, Output: 1, Surcharge: "iterations"},
	},
	{
		"Anthropic with a speed that is no word", `{"input_tokens":1,"cache_read_input_tokens":0,"output_tokens":1,"speed":2,"iterations":null}`,
		pricing.Usage{UncachedInput: 1, Output: 1, Surcharge: "speed"},
	},
	{
		"Anthropic with web search", `{"input_tokens":1,"cache_read_input_tokens":0,"output_tokens":1,"server_tool_use":{"web_search_requests":2}}`,
		pricing.Usage{UncachedInput: 1, Output: 1, WebSearches: 2},
	},
	{
		"the largest counts", `{"prompt_tokens":1099511627776,"completion_tokens":1099511627776}`,
		pricing.Usage{UncachedInput: pricing.MaxTokens, Output: pricing.MaxTokens},
	},
}

func TestParseUsage(t *testing.T) {
	t.Parallel()
	for _, tc := range readable {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := pricing.ParseUsage([]byte(tc.raw))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("usage (-want +got):\n%s", diff)
			}
		})
	}
}

// hostile are objects that must not become a Usage.
var hostile = []struct{ name, raw, want string }{
	{"nothing", ``, "unexpected end"},
	{"not JSON", `{"prompt_tokens":`, "unexpected end"},
	{"trailing data", `{"prompt_tokens":1,"completion_tokens":1}{}`, "after top-level value"},
	{"null", `null`, "no token counts"},
	{"a list", `[1,2]`, "cannot unmarshal array"},
	{"empty", `{}`, "no token counts"},
	{"null counts", `{"prompt_tokens":null,"completion_tokens":null}`, "no token counts"},
	{"duration", `{"type":"duration","seconds":12}`, "no token counts"},
	{"only output", `{"output_tokens":12}`, "no token counts"},
	{"negative", `{"prompt_tokens":-1,"completion_tokens":5}`, "prompt_tokens is not a whole number"},
	{"negative zero", `{"prompt_tokens":-0.0,"completion_tokens":5}`, "prompt_tokens is not a whole number"},
	{"fraction", `{"prompt_tokens":1.5,"completion_tokens":5}`, "prompt_tokens is not a whole number"},
	{"exponent", `{"prompt_tokens":1e3,"completion_tokens":5}`, "prompt_tokens is not a whole number"},
	{"exponent after zeros", `{"prompt_tokens":1.0e3,"completion_tokens":5}`, "prompt_tokens is not a whole number"},
	{"too many", `{"prompt_tokens":1099511627777,"completion_tokens":5}`, "prompt_tokens is not a whole number"},
	{"too many for an int64", `{"prompt_tokens":99999999999999999999,"completion_tokens":5}`, "prompt_tokens is not a whole number"},
	{"string", `{"prompt_tokens":"10","completion_tokens":5}`, "prompt_tokens is not a whole number"},
	{"bool", `{"input_tokens":true,"output_tokens":5}`, "input_tokens is not a whole number"},
	{"object", `{"input_tokens":{"n":1},"output_tokens":5}`, "input_tokens is not a whole number"},
	{"malformed output", `{"input_tokens":1,"output_tokens":[]}`, "output_tokens is not a whole number"},
	{"malformed total", `{"prompt_tokens":1,"completion_tokens":1,"total_tokens":"2"}`, "total_tokens is not"},
	{"malformed detail", `{"prompt_tokens":1,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":-1}}`, "cached tokens is not a whole number"},
	{"junk details", `{"prompt_tokens":1,"completion_tokens":1,"prompt_tokens_details":"none"}`, "cannot unmarshal string"},
	{"output missing", `{"prompt_tokens":10}`, "completion_tokens is missing"},
	{"output null", `{"prompt_tokens":10,"completion_tokens":null,"total_tokens":15}`, "completion_tokens is missing"},
	{"responses without output", `{"input_tokens":10,"total_tokens":10}`, "output_tokens is missing"},
	{"Anthropic without output", `{"input_tokens":10,"cache_read_input_tokens":1}`, "output_tokens is missing"},
	{"more cached than prompt", `{"prompt_tokens":10,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":11}}`, "fewer than the cached"},
	{"more cached and written than input", `{"input_tokens":10,"output_tokens":1,"input_tokens_details":{"cached_tokens":6,"cache_write_tokens":5}}`, "fewer than the cached"},
	{"more reasoning than output", `{"prompt_tokens":10,"completion_tokens":1,"completion_tokens_details":{"reasoning_tokens":2}}`, "fewer than a part"},
	{"more predictions than output", `{"prompt_tokens":10,"completion_tokens":1,"completion_tokens_details":{"accepted_prediction_tokens":1,"rejected_prediction_tokens":1}}`, "fewer than a part"},
	{"more audio than input", `{"prompt_tokens":10,"completion_tokens":1,"prompt_tokens_details":{"audio_tokens":11}}`, "fewer than the 11 audio"},
	{"total too large", `{"prompt_tokens":10,"completion_tokens":5,"total_tokens":16}`, "total_tokens is not"},
	{"total too small", `{"input_tokens":10,"output_tokens":5,"total_tokens":14}`, "total_tokens is not"},
	{"two cached counts", `{"prompt_tokens":10,"completion_tokens":5,"prompt_cache_hit_tokens":3,"prompt_tokens_details":{"cached_tokens":4}}`, "given twice and differ"},
	{"hits and misses", `{"prompt_tokens":10,"completion_tokens":5,"prompt_cache_hit_tokens":3,"prompt_cache_miss_tokens":8}`, "do not add up"},
	{"cache lifetimes", `{"input_tokens":1,"output_tokens":1,"cache_creation_input_tokens":5,"cache_creation":{"ephemeral_5m_input_tokens":1,"ephemeral_1h_input_tokens":5}}`, "does not add up"},
	{"both conventions", `{"input_tokens":9,"output_tokens":1,"cache_read_input_tokens":5,"input_tokens_details":{"cached_tokens":5}}`, "unclear whether"},
	{"Anthropic total without cache", `{"input_tokens":9,"output_tokens":1,"cache_read_input_tokens":5,"total_tokens":10}`, "total_tokens is not"},
	{"malformed searches", `{"input_tokens":9,"output_tokens":1,"server_tool_use":{"web_search_requests":-1}}`, "web_search_requests is not"},
	{"long tier", `{"input_tokens":9,"output_tokens":1,"service_tier":"` + strings.Repeat("x", 65) + `"}`, "service_tier is longer"},
	{"huge", `{"x":"` + strings.Repeat("x", 1<<16) + `"}`, "bytes are more than"},
	{"deep", strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000), "max depth"},
}

func TestParseUsageRefuses(t *testing.T) {
	t.Parallel()
	for _, tc := range hostile {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := pricing.ParseUsage([]byte(tc.raw))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("usage = %+v, error = %v, want an error with %q", got, err, tc.want)
			}
			if got != (pricing.Usage{}) {
				t.Errorf("usage = %+v beside an error, want none", got)
			}
		})
	}
	if _, err := pricing.ParseUsage([]byte(`{}`)); !errors.Is(err, pricing.ErrNoTokens) {
		t.Errorf("error = %v, want ErrNoTokens", err)
	}
}

func TestUsageValidate(t *testing.T) {
	t.Parallel()
	for _, u := range []pricing.Usage{
		{UncachedInput: -1},
		{CacheRead: pricing.MaxTokens + 1},
		{CacheWrite: -1},
		{CacheWrite1h: -1},
		{Output: -1},
		{Output: 1, Reasoning: 2},
		{Output: 1, AudioOutput: 2},
		{Output: 3, AcceptedPrediction: 2, RejectedPrediction: 2},
		{CacheRead: 1, AudioInput: 2},
		{WebSearches: -1},
	} {
		if err := u.Validate(); err == nil {
			t.Errorf("%+v is valid, want an error", u)
		}
	}
}

func FuzzParseUsage(f *testing.F) {
	for _, tc := range readable {
		f.Add([]byte(tc.raw))
	}
	for _, tc := range hostile {
		if len(tc.raw) < 1000 {
			f.Add([]byte(tc.raw))
		}
	}
	price := pricing.Price{Provider: "p", Model: "m", Rates: pricing.Rates{Input: 1, Output: 1}}
	f.Fuzz(func(t *testing.T, raw []byte) {
		u, err := pricing.ParseUsage(raw)
		if err != nil {
			if u != (pricing.Usage{}) {
				t.Fatalf("usage = %+v beside error %v", u, err)
			}
			return
		}
		if err := u.Validate(); err != nil {
			t.Fatalf("parsed usage %+v is invalid: %v", u, err)
		}
		// At one picodollar a token, the cost is the number of tokens.
		cost, err := pricing.Cost(u, price)
		switch {
		case errors.Is(err, pricing.ErrUnpriced):
		case err != nil:
			t.Fatal(err)
		case int64(cost) != u.Input()+u.Output:
			t.Fatalf("cost = %d, want %d tokens", int64(cost), u.Input()+u.Output)
		}
	})
}

func BenchmarkParseUsage(b *testing.B) {
	raw := []byte(`{"prompt_tokens":1200,"completion_tokens":300,"total_tokens":1500,"prompt_tokens_details":{"cached_tokens":1024,"audio_tokens":0},` +
		`"completion_tokens_details":{"reasoning_tokens":128,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := pricing.ParseUsage(raw); err != nil {
			b.Fatal(err)
		}
	}
}
