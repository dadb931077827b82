package capture

import (
	"loom.internal/services/gateway/internal/lenient"
)

// chunk is a chunk of a chat completion or of a completion of the older kind, or a
// whole one: they differ in delta, message and text only.
type chunk struct {
	common
	Created           lenient.Integer      `json:"created"`
	SystemFingerprint lenient.Str          `json:"system_fingerprint"`
	Choices           lenient.List[choice] `json:"choices"`
}

type choice struct {
	Index        lenient.Integer       `json:"index"`
	Delta        lenient.Object[delta] `json:"delta"`
	Message      lenient.Object[delta] `json:"message"`
	Text         lenient.Str           `json:"text"`
	FinishReason lenient.Str           `json:"finish_reason"`
	Logprobs     span                  `json:"logprobs"` // see probs
}

type delta struct {
	Role             lenient.Str                   `json:"role"`
	Content          lenient.Str                   `json:"content"`
	Refusal          lenient.Str                   `json:"refusal"`
	ReasoningContent lenient.Str                   `json:"reasoning_content"`
	Reasoning        lenient.Str                   `json:"reasoning"`
	ToolCalls        lenient.List[toolCall]        `json:"tool_calls"`
	FunctionCall     lenient.Object[function]      `json:"function_call"`
	Audio            lenient.Object[audioFragment] `json:"audio"`
}

type toolCall struct {
	Index    lenient.Integer          `json:"index"`
	ID       lenient.Str              `json:"id"`
	Type     lenient.Str              `json:"type"`
	Function lenient.Object[function] `json:"function"`
	Custom   lenient.Object[function] `json:"custom"`
}

type function struct {
	Name      lenient.Str `json:"name"`
	Arguments lenient.Str `json:"arguments"`
	Input     lenient.Str `json:"input"`
}

type audioFragment struct {
	ID         lenient.Str     `json:"id"`
	Data       span            `json:"data"` // sound: measured, not kept
	Transcript lenient.Str     `json:"transcript"`
	ExpiresAt  lenient.Integer `json:"expires_at"`
}

// probs are log probabilities: of a chat the first two, of a completion of the older
// kind the others.
type probs struct {
	Content       span `json:"content"`
	Refusal       span `json:"refusal"`
	Tokens        span `json:"tokens"`
	TokenLogprobs span `json:"token_logprobs"`
	TopLogprobs   span `json:"top_logprobs"`
	TextOffset    span `json:"text_offset"`
}

// probNames are the lists of log probabilities, in the order of probs.lists.
var probNames = [...]string{"content", "refusal", "tokens", "token_logprobs", "top_logprobs", "text_offset"}

func (p *probs) lists() [len(probNames)]span {
	return [...]span{p.Content, p.Refusal, p.Tokens, p.TokenLogprobs, p.TopLogprobs, p.TextOffset}
}
