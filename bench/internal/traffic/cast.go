package traffic

import (
	"loom.internal/pkg/catalog"
	"loom.internal/pkg/event"
	"loom.internal/pkg/manifest"
	"loom.internal/pkg/tenant"
)

// Endpoints as traces name them.
const (
	chat       = "chat.completions"
	responses  = "responses"
	messages   = "messages"
	embeddings = "embeddings"
)

// provider is who answers.
type provider struct {
	name string
	kind catalog.Kind
}

var (
	openAI    = &provider{"openai", catalog.OpenAI}
	anthropic = &provider{"anthropic", catalog.Anthropic}
	azure     = &provider{"azure-eu", catalog.Azure}
	groq      = &provider{"groq", catalog.Compatible}
)

// target is a model at a provider, and how fast it is.
type target struct {
	*provider
	model    string  // as it is asked for there
	answered string  // as the provider names it in its answer
	ttft     float64 // median milliseconds to the first token
	speed    float64 // median tokens a second
}

// model is a name that clients ask for.
type model struct {
	name, route, endpoint string
	targets               []target // in the order they are tried
	reasons               bool
}

var (
	gpt = &model{name: "gpt-5.4", route: "gpt-5*", endpoint: chat, targets: []target{
		{openAI, "gpt-5.4", "gpt-5.4-2026-03-05", 620, 78},
		{azure, "gpt-5.4", "gpt-5.4-2026-03-05", 540, 66},
	}}
	gptMini = &model{name: "gpt-5.4-mini", route: "gpt-5*", endpoint: chat, targets: []target{
		{openAI, "gpt-5.4-mini", "gpt-5.4-mini-2026-03-17", 330, 140},
		{azure, "gpt-5.4-mini", "gpt-5.4-mini-2026-03-17", 300, 115},
	}}
	gptEurope = &model{name: "gpt-5.4-eu", route: "gpt-5.4-eu", endpoint: chat, targets: []target{
		{azure, "gpt-5.4", "gpt-5.4-2026-03-05", 540, 66},
	}}
	o4 = &model{name: "o4-mini", route: "o4*", endpoint: responses, reasons: true, targets: []target{
		{openAI, "o4-mini", "o4-mini-2025-04-16", 480, 120},
	}}
	sonnet = &model{name: "claude-sonnet-4-5", route: "claude-*", endpoint: messages, targets: []target{
		{anthropic, "claude-sonnet-4-5", "claude-sonnet-4-5-20250929", 900, 70},
	}}
	haiku = &model{name: "claude-haiku-4-5", route: "claude-*", endpoint: messages, targets: []target{
		{anthropic, "claude-haiku-4-5", "claude-haiku-4-5-20251001", 420, 150},
	}}
	llama = &model{name: "llama-3.3-70b-versatile", route: "llama-*", endpoint: chat, targets: []target{
		{groq, "llama-3.3-70b-versatile", "llama-3.3-70b-versatile", 140, 310},
	}}
	qwen = &model{name: "qwen3-32b", route: "qwen*", endpoint: chat, targets: []target{ // nobody has set its price
		{groq, "qwen3-32b", "qwen3-32b", 160, 380},
	}}
	embedding = &model{name: "text-embedding-3-small", route: "text-embedding-*", endpoint: embeddings, targets: []target{
		{openAI, "text-embedding-3-small", "text-embedding-3-small", 110, 0},
	}}
)

// app is what uses one key.
type app struct {
	tenant, key string
	weight      float64 // of all requests of all tenants
	rhythm      rhythm
	models      []*model // the first most often
	env, team   string
	features    []string
	script      *script
	stream      float64 // share of streams
	goesOn      float64 // chance that a session has another turn
	in, out     float64 // median tokens
	cached      float64 // chance that most of the prompt is cached
	users       int
	mode        event.ContentMode
}

const (
	full     = event.ContentMode_CONTENT_MODE_FULL
	metadata = event.ContentMode_CONTENT_MODE_METADATA
	nothing  = event.ContentMode_CONTENT_MODE_NONE
)

// Tenants are who sends, the largest first.
func Tenants() []string { return []string{"northwind", "acme", "globex"} }

var names = map[string]string{"northwind": "Northwind Traders", "acme": "Acme Corp", "globex": "Globex"}

var apps = []*app{
	{
		tenant: "northwind", key: "checkout-prod", weight: 22, rhythm: shop, models: []*model{gptMini, gptMini, gpt},
		env: "prod", team: "checkout", features: []string{"address-check", "fraud-hint", "cart-summary"}, script: extraction,
		stream: .1, in: 520, out: 90, cached: .45, users: 900, mode: full,
	},
	{
		tenant: "northwind", key: "support-bot", weight: 18, rhythm: shop, models: []*model{sonnet, sonnet, haiku},
		env: "prod", team: "support", features: []string{"chat-widget", "email-reply"}, script: support,
		stream: .92, goesOn: .72, in: 1900, out: 210, cached: .7, users: 400, mode: full,
	},
	{
		tenant: "northwind", key: "search-rerank", weight: 14, rhythm: shop, models: []*model{llama, llama, qwen},
		env: "prod", team: "search", features: []string{"rerank", "query-rewrite"}, script: ranking,
		stream: 0, in: 1300, out: 60, users: 0, mode: full,
	},
	{
		tenant: "northwind", key: "catalog-indexer", weight: 6, rhythm: night, models: []*model{embedding},
		env: "prod", team: "search", features: []string{"index"}, script: indexing, in: 900, mode: full,
	},
	{
		tenant: "northwind", key: "staging", weight: 2, rhythm: office, models: []*model{gptMini, haiku, llama},
		env: "staging", team: "platform", features: []string{"smoke-test", "chat-widget"}, script: support,
		stream: .6, goesOn: .3, in: 400, out: 120, users: 6, mode: full,
	},
	{
		tenant: "northwind", key: "hr-assistant", weight: 1.5, rhythm: office, models: []*model{gpt},
		env: "prod", team: "people", features: []string{"policy-questions"}, script: support,
		stream: .9, goesOn: .5, in: 1100, out: 260, cached: .3, users: 60, mode: metadata,
	},
	{
		tenant: "acme", key: "docs-copilot", weight: 13, rhythm: office, models: []*model{gptEurope, gptEurope, gptMini},
		env: "prod", team: "docs", features: []string{"answer", "summarise", "translate"}, script: prose,
		stream: .95, goesOn: .55, in: 3200, out: 380, cached: .5, users: 220, mode: full,
	},
	{
		tenant: "acme", key: "code-review", weight: 10, rhythm: office, models: []*model{sonnet, o4},
		env: "prod", team: "developer-tools", features: []string{"pull-request", "explain-diff"}, script: code,
		stream: .3, goesOn: .4, in: 6200, out: 620, cached: .6, users: 85, mode: full,
	},
	{
		tenant: "acme", key: "ticket-triage", weight: 5, rhythm: steady, models: []*model{haiku},
		env: "prod", team: "support", features: []string{"triage"}, script: extraction,
		stream: 0, in: 700, out: 70, cached: .4, users: 0, mode: full,
	},
	{
		tenant: "acme", key: "nightly-reports", weight: 4, rhythm: night, models: []*model{o4, gpt},
		env: "prod", team: "finance", features: []string{"month-close", "variance"}, script: prose,
		stream: 0, in: 8400, out: 1500, users: 0, mode: full,
	},
	{
		tenant: "globex", key: "lab-notebook", weight: 4, rhythm: office, models: []*model{gpt, sonnet},
		env: "prod", team: "research", features: []string{"hypotheses", "literature"}, script: prose,
		stream: .85, goesOn: .6, in: 4100, out: 720, cached: .3, users: 24, mode: full,
	},
	{
		tenant: "globex", key: "ops-agent", weight: 3, rhythm: steady, models: []*model{gpt, o4},
		env: "prod", team: "operations", features: []string{"runbook", "alert-summary"}, script: operations,
		stream: .2, goesOn: .8, in: 2600, out: 160, cached: .65, users: 0, mode: full,
	},
	{
		tenant: "globex", key: "dev", weight: 1.5, rhythm: office, models: []*model{qwen, gptMini, haiku},
		env: "dev", team: "research", features: []string{"scratch"}, script: code,
		stream: .5, goesOn: .3, in: 350, out: 240, users: 8, mode: full,
	},
	{
		tenant: "globex", key: "legal-review", weight: 1, rhythm: office, models: []*model{sonnet},
		env: "prod", team: "legal", features: []string{"contracts"}, script: prose,
		stream: .4, goesOn: .2, in: 9000, out: 800, users: 5, mode: nothing,
	},
}

// Key names an API key.
type Key struct{ Tenant, Name string }

// Manifest is what has to be configured for the traffic: tenants with their keys, and
// prices of those providers that have no list price. The addresses of those lead nowhere.
func Manifest() manifest.Manifest {
	m := manifest.Manifest{
		Providers: []manifest.Provider{
			{Name: azure.name, Kind: azure.kind, BaseURL: "https://azure-eu.invalid/openai/v1", Secret: "not-a-secret"},
			{Name: groq.name, Kind: groq.kind, BaseURL: "https://groq.invalid/v1", Secret: "not-a-secret"},
		},
		Prices: []manifest.Price{
			{Provider: azure.name, Model: "gpt-5.4", From: "2025-01-01", Input: "2.75", CachedInput: "0.275", Output: "16.50"},
			{Provider: azure.name, Model: "gpt-5.4-mini", From: "2025-01-01", Input: "0.825", CachedInput: "0.0825", Output: "4.95"},
			{Provider: groq.name, Model: "llama-3.3-70b-versatile", From: "2025-01-01", Input: "0.59", Output: "0.79"},
		},
	}
	for _, id := range Tenants() {
		t := manifest.Tenant{ID: id, Name: names[id]}
		for _, a := range apps {
			if a.tenant == id {
				t.Keys = append(t.Keys, manifest.Key{
					Name: a.key, ContentMode: a.mode.Name(),
					Scopes: []tenant.Scope{tenant.ScopeChat, tenant.ScopeEmbeddings, tenant.ScopeModels},
				})
			}
		}
		m.Tenants = append(m.Tenants, t)
	}
	return m
}
