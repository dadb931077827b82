package catalog

import "slices"

// Preset is what is known of a service or server that speaks OpenAI's API, so that a
// provider of kind Compatible need not be told.
type Preset struct {
	Name         string
	BaseURL      string   // empty: there is no one address, the provider must be given its own
	IncludeUsage bool     // streams of chat completions understand stream_options.include_usage
	Endpoints    []string // those it serves, by their names in traces
	Private      bool     // at home on a private network, over plain http
	NeedsSecret  bool     // answers nobody without a key
}

// Endpoints as traces name them.
const (
	chat             = "chat.completions"
	completions      = "completions"
	responses        = "responses"
	embeddings       = "embeddings"
	moderations      = "moderations"
	speech           = "audio.speech"
	transcriptions   = "audio.transcriptions"
	translations     = "audio.translations"
	imageGenerations = "images.generations"
)

// Presets lists every preset by name. Each says what the provider's own documentation
// says; what it leaves open is taken for no: a stream without usage costs less than
// one that is refused, and inject_usage is there to turn it on.
func Presets() []Preset {
	return []Preset{
		// Amazon's user guide: Chat Completions and Responses below /openai/v1 of a region's
		// runtime endpoint, by an API key of Bedrock. It says nothing of stream_options.
		{Name: "bedrock", Endpoints: []string{chat, responses}, NeedsSecret: true},
		// Cerebras' inference documentation names the base URL and chat completions; that
		// its streams take stream_options is not said.
		{Name: "cerebras", BaseURL: "https://api.cerebras.ai/v1", Endpoints: []string{chat}, NeedsSecret: true},
		// DeepSeek's API reference: chat completions with stream_options.include_usage. Text
		// completion is a beta below another base URL.
		{Name: "deepseek", BaseURL: "https://api.deepseek.com", IncludeUsage: true, Endpoints: []string{chat}, NeedsSecret: true},
		// Fireworks' guide to OpenAI compatibility; usage comes with the last chunk of every
		// stream, unasked.
		{
			Name: "fireworks", BaseURL: "https://api.fireworks.ai/inference/v1",
			Endpoints: []string{chat, completions, responses, embeddings}, NeedsSecret: true,
		},
		// Google's guide to the Gemini API's OpenAI compatibility: chat, embeddings and images.
		// stream_options is not among the parameters it lists.
		{
			Name: "gemini", BaseURL: "https://generativelanguage.googleapis.com/v1beta/openai",
			Endpoints: []string{chat, embeddings, imageGenerations}, NeedsSecret: true,
		},
		// Groq's API reference, which has stream_options among the parameters of chat.
		{
			Name: "groq", BaseURL: "https://api.groq.com/openai/v1", IncludeUsage: true,
			Endpoints: []string{chat, responses, speech, transcriptions, translations}, NeedsSecret: true,
		},
		// LM Studio's developer documentation; its API changelog has stream_options.include_usage
		// since 0.3.18. Port 1234 is the server's own default.
		{
			Name: "lmstudio", BaseURL: "http://localhost:1234/v1", IncludeUsage: true,
			Endpoints: []string{chat, completions, responses, embeddings}, Private: true,
		},
		// Mistral's API reference. It refuses a request with include_usage as having an unknown
		// field; usage comes with the last chunk, unasked.
		{
			Name: "mistral", BaseURL: "https://api.mistral.ai/v1",
			Endpoints: []string{chat, embeddings, moderations, transcriptions}, NeedsSecret: true,
		},
		// Ollama's page on OpenAI compatibility lists stream_options.include_usage for chat.
		// Port 11434 is the server's own default.
		{
			Name: "ollama", BaseURL: "http://localhost:11434/v1", IncludeUsage: true,
			Endpoints: []string{chat, completions, responses, embeddings}, Private: true,
		},
		// OpenRouter's API reference: usage comes with the last chunk of every stream, and
		// stream_options.include_usage has no effect any more.
		{
			Name: "openrouter", BaseURL: "https://openrouter.ai/api/v1",
			Endpoints: []string{chat, completions, responses, embeddings}, NeedsSecret: true,
		},
		// Perplexity's documentation: chat completions stand below the host itself, and usage
		// comes with the chunks, unasked.
		{Name: "perplexity", BaseURL: "https://api.perplexity.ai", Endpoints: []string{chat}, NeedsSecret: true},
		// SGLang's documentation of its OpenAI-compatible server, which takes stream_options.
		// Port 30000 is the server's own default.
		{
			Name: "sglang", BaseURL: "http://localhost:30000/v1", IncludeUsage: true,
			Endpoints: []string{chat, completions, embeddings}, Private: true,
		},
		// Together's guide to OpenAI compatibility; it does not speak of stream_options.
		{
			Name: "together", BaseURL: "https://api.together.ai/v1",
			Endpoints: []string{chat, completions, embeddings, speech, imageGenerations}, NeedsSecret: true,
		},
		// vLLM's documentation of its OpenAI-compatible server, which takes stream_options.
		// Port 8000 is the server's own default.
		{
			Name: "vllm", BaseURL: "http://localhost:8000/v1", IncludeUsage: true,
			Endpoints: []string{chat, completions, responses, embeddings, transcriptions, translations}, Private: true,
		},
		// xAI's API reference, which has stream_options.include_usage. Its image edits take
		// JSON where OpenAI's take a form, and its completions are a legacy endpoint.
		{
			Name: "xai", BaseURL: "https://api.x.ai/v1", IncludeUsage: true,
			Endpoints: []string{chat, responses, imageGenerations}, NeedsSecret: true,
		},
	}
}

// FindPreset finds a preset by its name.
func FindPreset(name string) (Preset, bool) {
	all := Presets()
	i := slices.IndexFunc(all, func(p Preset) bool { return p.Name == name })
	if i < 0 {
		return Preset{}, false
	}
	return all[i], true
}
