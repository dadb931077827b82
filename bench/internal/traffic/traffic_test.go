package traffic_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"loom.internal/bench/internal/traffic"
	"loom.internal/pkg/event"
	"loom.internal/pkg/pricing"
)

// until is a Wednesday.
var until = time.Date(2026, 11, 25, 18, 30, 12, 345_678_000, time.UTC)

func options(seed uint64, count int) traffic.Options {
	o := traffic.Options{Seed: seed, Count: count, Days: 30, Until: until, Keys: make(map[traffic.Key]string)}
	for _, t := range traffic.Manifest().Tenants {
		for _, k := range t.Keys {
			o.Keys[traffic.Key{Tenant: t.ID, Name: k.Name}] = t.ID + "/" + k.Name
		}
	}
	return o
}

func TestTheManifestIsValid(t *testing.T) {
	t.Parallel()
	m := traffic.Manifest()
	if faults := m.Validate(); len(faults) > 0 {
		t.Error(faults)
	}
}

func TestTheSameSeedMakesTheSameTraffic(t *testing.T) {
	t.Parallel()
	first := slices.Collect(traffic.Make(options(7, 1500)))
	again := slices.Collect(traffic.Make(options(7, 1500)))
	other := slices.Collect(traffic.Make(options(8, 1500)))
	if len(first) != 1500 || len(again) != 1500 || len(other) != 1500 {
		t.Fatalf("%d, %d and %d requests, want 1500 each", len(first), len(again), len(other))
	}
	same := 0
	for i := range first {
		if len(first[i].GetTags()) < 5 { // 20 MB are compared elsewhere
			aAsked, aAnswered := first[i].Bodies()
			bAsked, bAnswered := again[i].Bodies()
			if string(aAsked) != string(bAsked) || string(aAnswered) != string(bAnswered) {
				t.Fatalf("request %d: bodies differ", i)
			}
		}
		if !proto.Equal(first[i].TraceEvent, again[i].TraceEvent) {
			t.Fatalf("request %d:\n%v\nand\n%v", i, first[i].TraceEvent, again[i].TraceEvent)
		}
		if proto.Equal(first[i].TraceEvent, other[i].TraceEvent) {
			same++
		}
	}
	if same > 0 {
		t.Errorf("%d requests are the same with another seed", same)
	}
}

func TestEveryEventIsValidAndOverInTime(t *testing.T) {
	t.Parallel()
	var last, n int64
	ids := make(map[string]bool)
	for r := range traffic.Make(options(1, 20_000)) {
		n++
		r.Producer = &event.Producer{Id: "seed", Epoch: 1, Seq: uint64(n)}
		if _, err := event.Marshal(r.TraceEvent); err != nil {
			t.Fatalf("%v: %v", err, r.TraceEvent)
		}
		if r.GetStartedAtUs() < last {
			t.Fatalf("%s began before the one before it", r.GetTraceId())
		}
		last = r.GetStartedAtUs()
		if end := last + r.GetDurationUs(); end > until.UnixMicro() {
			t.Fatalf("%s ends %d µs late", r.GetTraceId(), end-until.UnixMicro())
		}
		if ids[r.GetTraceId()] {
			t.Fatalf("%s came twice", r.GetTraceId())
		}
		ids[r.GetTraceId()] = true
		for _, a := range r.GetAttempts() {
			if a.GetStartUs()+a.GetDurationUs() > r.GetDurationUs() {
				t.Fatalf("an attempt is longer than its request: %v", r.TraceEvent)
			}
		}
		if r.GetTtftUs() > r.GetDurationUs() {
			t.Fatalf("the first token came after the last: %v", r.TraceEvent)
		}
	}
	if n != 20_000 {
		t.Errorf("%d requests", n)
	}
}

func TestUsageIsReadAsItIsMeant(t *testing.T) {
	t.Parallel()
	for r := range traffic.Make(options(3, 5000)) {
		if len(r.GetUsageRaw()) == 0 || r.GetTags()[traffic.TagOdd] != "" {
			continue
		}
		u, err := pricing.ParseUsage(r.GetUsageRaw())
		if err != nil {
			t.Fatalf("%s: %v", r.GetUsageRaw(), err)
		}
		if u.Input() == 0 || u.Output == 0 && r.GetEndpoint() != "embeddings" {
			t.Fatalf("%s comes to %+v", r.GetUsageRaw(), u)
		}
	}
}

// Of everything that pages show there is something, and nothing is all.
func TestTheTrafficIsOfManyKinds(t *testing.T) {
	t.Parallel()
	const count = 20_000
	had := make(map[string]int)
	perHour, perDay := make(map[int]int), make(map[time.Weekday]int)
	sessions := make(map[string]int)
	for r := range traffic.Make(options(1, count)) {
		is := func(what string, yes bool) {
			if yes {
				had[what]++
			}
		}
		e, at := r.TraceEvent, r.StartedAt()
		for name, value := range map[string]string{
			"tenant ": e.GetTenantId(), "key ": e.GetKeyId(), "model ": e.GetModelRequested(), "provider ": e.GetProvider(),
			"outcome ": e.GetOutcome().Kind(), "class ": e.GetErrorClass(), "mode ": e.GetContentMode().Name(), "endpoint ": e.GetEndpoint(),
			"odd ": e.GetTags()[traffic.TagOdd], "env ": e.GetTags()["env"],
		} {
			is(name+value, true)
		}
		for _, f := range e.GetFinishReasons() {
			is("finish "+f, true)
		}
		u, _ := pricing.ParseUsage(e.GetUsageRaw())
		is("cached", u.CacheRead > 0)
		is("cache written", u.CacheWrite > 0)
		is("reasoning", u.Reasoning > 0)
		is("no usage", len(e.GetUsageRaw()) == 0)
		is("stream", e.GetStream())
		is("ttft", e.TtftUs != nil)
		is("tools", len(e.GetToolNames()) > 0)
		is("fallback", len(e.GetAttempts()) > 1 && e.GetAttempts()[0].GetProvider() != e.GetProvider())
		is("status 429", e.GetHttpStatus() == 429)
		is("last hour", until.Sub(at) < time.Hour)
		is("last five minutes", until.Sub(at) < 5*time.Minute)
		if struck := at.Day() == 22 && at.Hour() >= 14 && at.Hour() < 16; struck && e.GetAttempts()[0].GetProvider() == "openai" {
			is("in the incident", true)
			is("failed call in the incident", e.GetAttempts()[0].GetErrorClass() != "")
		}
		if e.GetSessionId() != "" && e.GetTenantId() == "acme" {
			sessions[e.GetSessionId()]++
		}
		if e.GetTenantId() == "acme" {
			perHour[at.Hour()]++
			perDay[at.Weekday()]++
		}
	}
	for what, least := range map[string]int{
		"tenant northwind": count / 2, "tenant acme": count / 6, "tenant globex": count / 25,
		"key northwind/staging": 50, "key globex/legal-review": 20, "key acme/nightly-reports": 50,
		"model gpt-5.4": 200, "model gpt-5.4-mini": 1000, "model o4-mini": 200, "model claude-sonnet-4-5": 1000, "model claude-haiku-4-5": 500,
		"model llama-3.3-70b-versatile": 500, "model qwen3-32b": 200, "model text-embedding-3-small": 200, "model gpt-5.4-eu": 200,
		"provider openai": 1000, "provider anthropic": 1000, "provider azure-eu": 300, "provider groq": 500,
		"outcome completed": count * 8 / 10, "outcome failed": 100, "outcome canceled": 100, "outcome interrupted": 3,
		"class upstream_rate_limited": 1, "class upstream_error": 1, "class upstream_timeout": 1, "class upstream_rejected": 20, "class upstream_cut": 5, "class client_gone": 100,
		"mode full": count / 2, "mode metadata": 50, "mode none": 20, "env staging": 20, "env dev": 20,
		"endpoint chat.completions": 1000, "endpoint messages": 1000, "endpoint responses": 100, "endpoint embeddings": 100,
		"finish content_filter": 3, "finish refusal": 3, "finish length": 50, "finish tool_calls": 50, "finish tool_use": 100,
		"cached": 1000, "cache written": 50, "reasoning": 100, "no usage": 100, "stream": 2000, "ttft": 2000, "tools": 200, "fallback": 20, "status 429": 1,
		"last hour": 60, "last five minutes": 3, "in the incident": 8, "failed call in the incident": 3,
		"odd script-in-text": 10, "odd script-in-model": 10, "odd a-megabyte": 1, "odd the-largest": 1, "odd broken-json": 10, "odd binary": 10,
	} {
		if had[what] < least {
			t.Errorf("%s: %d, want at least %d", what, had[what], least)
		}
	}
	if had["odd the-largest"] != 1 || had["odd "] < count*9/10 {
		t.Errorf("%d of the largest and %d of the usual kind", had["odd the-largest"], had["odd "])
	}
	if perHour[13] < 8*perHour[23] || perDay[time.Wednesday] < 3*perDay[time.Sunday] {
		t.Errorf("no rhythm of an office: by hour %v, by day %v", perHour, perDay)
	}
	turns := 0
	for _, n := range sessions {
		turns = max(turns, n)
	}
	if turns < 4 {
		t.Errorf("the longest session has %d turns", turns)
	}
}

func TestConversationsAreWhatTheirEndpointsSay(t *testing.T) {
	t.Parallel()
	asked := make(map[string]int)
	for r := range traffic.Make(options(2, 3000)) {
		request, response := r.Bodies()
		if r.GetContentMode() != event.ContentMode_CONTENT_MODE_FULL {
			if request != nil || response != nil {
				t.Fatalf("%s keeps bodies", r.GetContentMode())
			}
			continue
		}
		if r.GetTags()[traffic.TagOdd] != "" {
			continue
		}
		var q struct {
			Model    string
			Messages []struct{ Role string }
			Input    any
		}
		if err := json.Unmarshal(request, &q); err != nil {
			t.Fatalf("%v: %s", err, request)
		}
		if q.Model != r.GetModelRequested() || len(q.Messages) == 0 && q.Input == nil {
			t.Fatalf("%s: %s", r.GetEndpoint(), request)
		}
		if response != nil && !json.Valid(response) {
			t.Fatalf("%s: %s", r.GetEndpoint(), response)
		}
		if completed := r.GetOutcome() == event.Outcome_OUTCOME_COMPLETED; completed && !strings.Contains(string(response), r.GetModelAnswered()) {
			t.Fatalf("the answer does not name its model: %s", response)
		}
		for _, name := range r.GetToolNames() {
			if !strings.Contains(string(response), name) || !strings.Contains(string(request), name) {
				t.Fatalf("%s is not in\n%s\n%s", name, request, response)
			}
			asked[r.GetEndpoint()+" call"]++
		}
		if strings.Contains(string(request), `"tool_result"`) || strings.Contains(string(request), `"role":"tool"`) {
			asked[r.GetEndpoint()+" result"]++
		}
		if int64(len(request)) != r.GetRequestBytes() {
			t.Fatalf("%d bytes, and the event says %d", len(request), r.GetRequestBytes())
		}
	}
	for _, what := range []string{"chat.completions call", "chat.completions result", "messages call", "messages result"} {
		if asked[what] == 0 {
			t.Errorf("no %s among %v", what, asked)
		}
	}
}

func TestTheLargestIsLargerThanIsKept(t *testing.T) {
	t.Parallel()
	largest := 0
	for r := range traffic.Make(options(1, 1600)) {
		if odd := r.GetTags()[traffic.TagOdd]; odd == "the-largest" || odd == "a-megabyte" {
			request, _ := r.Bodies()
			largest = max(largest, len(request))
		}
	}
	if largest <= event.MaxBody {
		t.Errorf("the largest body has %d bytes, kept are up to %d", largest, event.MaxBody)
	}
}
