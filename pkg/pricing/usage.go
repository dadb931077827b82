package pricing

import "fmt"

// MaxTokens is the largest count a Usage field may hold.
const MaxTokens = 1 << 40

// Usage counts the tokens of one call in one normal form.
//
// The first five fields are disjoint and are what is billed: their sum is the
// call's tokens. The counts after them are subsets, already inside a billed
// field; adding them would count twice. A field the provider did not report is
// 0 here; a usage object that was not reported at all is not a Usage, and the
// caller keeps that difference.
type Usage struct {
	UncachedInput int64 // input tokens neither read from nor written to a cache
	CacheRead     int64 // input tokens served from the prompt cache
	CacheWrite    int64 // input tokens written to the cache, shortest retention (Anthropic: 5 minutes)
	CacheWrite1h  int64 // input tokens written to the cache for one hour
	Output        int64 // all generated tokens, reasoning and rejected predictions included

	Reasoning          int64 // of Output: hidden reasoning
	AcceptedPrediction int64 // of Output: predicted tokens that were used
	RejectedPrediction int64 // of Output: predicted tokens that were not; billed all the same
	AudioInput         int64 // of Input(): audio
	AudioOutput        int64 // of Output: audio

	WebSearches int64  // searches the provider ran and bills per call, beside the tokens
	ServiceTier string // the tier the usage object names, standard ones as ""; most objects name none
	Surcharge   string // usage field that says token rates differ ("speed", "inference_geo", "iterations"); "" if none
}

// Input is all input tokens: what OpenAI calls prompt_tokens and what price
// tiers compare with.
func (u Usage) Input() int64 {
	return u.UncachedInput + u.CacheRead + u.CacheWrite + u.CacheWrite1h
}

// Validate reports the first count that is out of bounds or larger than the
// count it is part of.
func (u Usage) Validate() error {
	for _, c := range [...]struct {
		name string
		n    int64
	}{
		{"uncached input", u.UncachedInput},
		{"cache read", u.CacheRead},
		{"cache write", u.CacheWrite},
		{"one-hour cache write", u.CacheWrite1h},
		{"output", u.Output},
		{"reasoning", u.Reasoning},
		{"accepted prediction", u.AcceptedPrediction},
		{"rejected prediction", u.RejectedPrediction},
		{"audio input", u.AudioInput},
		{"audio output", u.AudioOutput},
		{"web search", u.WebSearches},
	} {
		if c.n < 0 || c.n > MaxTokens {
			return fmt.Errorf("usage: %s count %d is outside 0 to 2^40", c.name, c.n)
		}
	}
	switch {
	case u.Reasoning > u.Output, u.AudioOutput > u.Output, u.AcceptedPrediction+u.RejectedPrediction > u.Output:
		return fmt.Errorf("usage: %d output tokens are fewer than a part of them (reasoning %d, audio %d, predictions %d)",
			u.Output, u.Reasoning, u.AudioOutput, u.AcceptedPrediction+u.RejectedPrediction)
	case u.AudioInput > u.Input():
		return fmt.Errorf("usage: %d input tokens are fewer than the %d audio tokens among them", u.Input(), u.AudioInput)
	}
	return nil
}
