package pricing

import (
	"encoding/json"
	"errors"
	"fmt"
)

const (
	maxUsageBytes = 64 << 10
	maxTierBytes  = 64
)

// ErrNoTokens says that a usage object holds no token counts in a known form,
// such as {"type":"duration","seconds":12}.
var ErrNoTokens = errors.New("usage holds no token counts Loom knows")

// ParseUsage reads the usage object of a provider's answer. The form is told
// from the field names:
//
//   - prompt_tokens: OpenAI chat completions and embeddings, and the providers
//     that copy them (DeepSeek's prompt_cache_hit_tokens, Moonshot's cached_tokens).
//   - input_tokens with a cache_… field: Anthropic, where input_tokens exclude the cache.
//   - input_tokens otherwise: OpenAI responses, where they include it.
//
// A count is a whole JSON number from 0 to 2^40; "12.0" is whole, "12e0", "-1"
// and "\"12\"" are errors. null is as good as absent. A required count that is
// absent, counts that contradict each other, and a total_tokens that is not
// input plus output are errors: a usage that cannot be trusted is not priced.
func ParseUsage(raw []byte) (Usage, error) {
	if len(raw) > maxUsageBytes {
		return Usage{}, fmt.Errorf("usage: %d bytes are more than %d", len(raw), maxUsageBytes)
	}
	var w wireUsage
	if err := json.Unmarshal(raw, &w); err != nil {
		return Usage{}, fmt.Errorf("usage: %w", err)
	}
	r := reader{wireUsage: &w}
	var u Usage
	switch {
	case w.PromptTokens.state != absent:
		u = r.chat()
	case w.InputTokens.state == absent:
		return Usage{}, ErrNoTokens
	case w.CacheCreationInput.seen || w.CacheReadInput.seen || w.CacheCreation != nil:
		u = r.anthropic()
	default:
		u = r.responses()
	}
	u.WebSearches = r.optional("web_search_requests", w.ServerToolUse.WebSearches)
	r.checkTotal(u)
	if r.err != nil {
		return Usage{}, r.err
	}
	if err := u.Validate(); err != nil {
		return Usage{}, err
	}
	return u, nil
}

// wireUsage is the union of the fields of all forms.
type wireUsage struct {
	PromptTokens      count   `json:"prompt_tokens"`
	CompletionTokens  count   `json:"completion_tokens"`
	TotalTokens       count   `json:"total_tokens"`
	PromptDetails     details `json:"prompt_tokens_details"`
	CompletionDetails details `json:"completion_tokens_details"`
	CacheHit          count   `json:"prompt_cache_hit_tokens"`
	CacheMiss         count   `json:"prompt_cache_miss_tokens"`
	CachedTokens      count   `json:"cached_tokens"`

	InputTokens   count   `json:"input_tokens"`
	OutputTokens  count   `json:"output_tokens"`
	InputDetails  details `json:"input_tokens_details"`
	InputDetail   details `json:"input_token_details"` // transcriptions spell it so
	OutputDetails details `json:"output_tokens_details"`

	CacheCreationInput count `json:"cache_creation_input_tokens"`
	CacheReadInput     count `json:"cache_read_input_tokens"`
	CacheCreation      *struct {
		Write5m count `json:"ephemeral_5m_input_tokens"`
		Write1h count `json:"ephemeral_1h_input_tokens"`
	} `json:"cache_creation"`
	ServerToolUse struct {
		WebSearches count `json:"web_search_requests"`
	} `json:"server_tool_use"`
	ServiceTier  word       `json:"service_tier"`
	InferenceGeo word       `json:"inference_geo"`
	Speed        word       `json:"speed"`
	Iterations   iterations `json:"iterations"`
}

type details struct {
	Cached        count `json:"cached_tokens"`
	CacheWrite    count `json:"cache_write_tokens"`
	CacheCreation count `json:"cache_creation_tokens"`
	Audio         count `json:"audio_tokens"`
	Reasoning     count `json:"reasoning_tokens"`
	Thinking      count `json:"thinking_tokens"`
	Accepted      count `json:"accepted_prediction_tokens"`
	Rejected      count `json:"rejected_prediction_tokens"`
}

// reader keeps the first error, so that the forms below read as plain lists.
type reader struct {
	*wireUsage
	err error
}

func (r *reader) chat() Usage {
	input := r.required("prompt_tokens", r.PromptTokens)
	read := r.agree("cached tokens", r.PromptDetails.Cached, r.CacheHit, r.CachedTokens, r.CacheReadInput)
	write := r.agree("cache write tokens", r.PromptDetails.CacheWrite, r.PromptDetails.CacheCreation, r.CacheCreationInput)
	if r.CacheMiss.state != absent && read+r.optional("prompt_cache_miss_tokens", r.CacheMiss) != input {
		r.fail("prompt_cache_hit_tokens and prompt_cache_miss_tokens do not add up to prompt_tokens")
	}
	u := Usage{
		UncachedInput: r.subtract("prompt_tokens", input, read, write),
		CacheRead:     read,
		CacheWrite:    write,
		AudioInput:    r.optional("prompt_tokens_details.audio_tokens", r.PromptDetails.Audio),
	}
	total := r.optional("total_tokens", r.TotalTokens)
	if r.CompletionTokens.state == absent && r.TotalTokens.state != absent && total == input {
		return u // embeddings: nothing is generated
	}
	u.Output = r.required("completion_tokens", r.CompletionTokens)
	r.outputParts(&u, r.CompletionDetails)
	// Some compatible providers leave reasoning out of completion_tokens; the total tells.
	if r.TotalTokens.state != absent && u.Reasoning > 0 && total == input+u.Output+u.Reasoning {
		u.Output += u.Reasoning
	}
	return u
}

func (r *reader) responses() Usage {
	input := r.required("input_tokens", r.InputTokens)
	read := r.agree("cached tokens", r.InputDetails.Cached, r.InputDetail.Cached, r.CachedTokens)
	write := r.agree("cache write tokens", r.InputDetails.CacheWrite, r.InputDetail.CacheWrite)
	u := Usage{
		UncachedInput: r.subtract("input_tokens", input, read, write),
		CacheRead:     read,
		CacheWrite:    write,
		AudioInput:    r.agree("audio tokens", r.InputDetails.Audio, r.InputDetail.Audio),
		Output:        r.required("output_tokens", r.OutputTokens),
	}
	r.outputParts(&u, r.OutputDetails)
	r.conditions(&u)
	return u
}

func (r *reader) anthropic() Usage {
	u := Usage{
		UncachedInput: r.required("input_tokens", r.InputTokens),
		CacheRead:     r.optional("cache_read_input_tokens", r.CacheReadInput),
		CacheWrite:    r.optional("cache_creation_input_tokens", r.CacheCreationInput),
		Output:        r.required("output_tokens", r.OutputTokens),
	}
	if c := r.CacheCreation; c != nil {
		write5m := r.optional("ephemeral_5m_input_tokens", c.Write5m)
		write1h := r.optional("ephemeral_1h_input_tokens", c.Write1h)
		if r.CacheCreationInput.state != absent && u.CacheWrite != write5m+write1h {
			r.fail("cache_creation does not add up to cache_creation_input_tokens")
		}
		u.CacheWrite, u.CacheWrite1h = write5m, write1h
	}
	if r.optional("input_tokens_details.cached_tokens", r.InputDetails.Cached) > 0 {
		r.fail("both cache_… fields and input_tokens_details: unclear whether input_tokens include the cache")
	}
	r.outputParts(&u, r.OutputDetails)
	r.conditions(&u)
	return u
}

func (r *reader) outputParts(u *Usage, d details) {
	u.Reasoning = r.agree("reasoning tokens", d.Reasoning, d.Thinking)
	u.AudioOutput = r.optional("audio_tokens", d.Audio)
	u.AcceptedPrediction = r.optional("accepted_prediction_tokens", d.Accepted)
	u.RejectedPrediction = r.optional("rejected_prediction_tokens", d.Rejected)
}

// conditions notes what Anthropic says, beside the counts, about their rates.
func (r *reader) conditions(u *Usage) {
	if len(r.ServiceTier) > maxTierBytes {
		r.fail("service_tier is longer than 64 bytes")
		return
	}
	u.ServiceTier = standardTier(string(r.ServiceTier))
	switch {
	case r.Speed != "" && r.Speed != "standard":
		u.Surcharge = "speed"
	case r.InferenceGeo != "" && r.InferenceGeo != "global" && r.InferenceGeo != "not_available":
		u.Surcharge = "inference_geo"
	case r.Iterations.extra: // calls beside the main one, not in the counts
		u.Surcharge = "iterations"
	}
}

func (r *reader) checkTotal(u Usage) {
	if r.TotalTokens.state == absent {
		return
	}
	if r.optional("total_tokens", r.TotalTokens) != u.Input()+u.Output {
		r.fail("total_tokens is not input plus output")
	}
}

func (r *reader) fail(what string) {
	if r.err == nil {
		r.err = errors.New("usage: " + what)
	}
}

func (r *reader) required(name string, c count) int64 {
	if c.state == absent {
		r.fail(name + " is missing")
	}
	return r.optional(name, c)
}

func (r *reader) optional(name string, c count) int64 {
	if c.state == malformed {
		r.fail(name + " is not a whole number from 0 to 2^40")
	}
	return c.n
}

// agree returns the one value of a count that providers spell differently.
func (r *reader) agree(name string, spellings ...count) int64 {
	var found count
	for _, c := range spellings {
		if n := r.optional(name, c); c.state == absent || (found.state != absent && found.n == n) {
			continue
		}
		if found.state != absent {
			r.fail(name + " are given twice and differ")
		}
		found = c
	}
	return found.n
}

// subtract takes the parts that are billed on their own out of a total.
func (r *reader) subtract(name string, total, read, write int64) int64 {
	if read+write > total {
		r.fail(name + " are fewer than the cached ones among them")
	}
	return total - read - write
}
