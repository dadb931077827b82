package capture

import (
	"github.com/go-json-experiment/json/jsontext"

	"loom.internal/services/gateway/internal/lenient"
)

// chunk is a chat completion chunk or a whole chat completion: they differ in delta
// and message only. A member of another kind than expected counts as absent, so that
// one odd field does not hide the rest.
type chunk struct {
	ID                lenient.Str          `json:"id"`
	Created           lenient.Integer      `json:"created"`
	Model             lenient.Str          `json:"model"`
	SystemFingerprint lenient.Str          `json:"system_fingerprint"`
	ServiceTier       lenient.Str          `json:"service_tier"`
	Choices           lenient.List[choice] `json:"choices"`
	Usage             jsontext.Value       `json:"usage"`
	Error             jsontext.Value       `json:"error"`
	Type              lenient.Str          `json:"type"`
}

type choice struct {
	Index        lenient.Integer       `json:"index"`
	Delta        lenient.Object[delta] `json:"delta"`
	Message      lenient.Object[delta] `json:"message"`
	FinishReason lenient.Str           `json:"finish_reason"`
	Logprobs     lenient.Object[probs] `json:"logprobs"`
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
	ID         lenient.Str `json:"id"`
	Data       lenient.Str `json:"data"`
	Transcript lenient.Str `json:"transcript"`
}

type probs struct {
	Content lenient.List[jsontext.Value] `json:"content"`
	Refusal lenient.List[jsontext.Value] `json:"refusal"`
}

// failed reports whether the value is an error: present and not null.
func (c *chunk) failed() bool { return c.Error != nil && c.Error.Kind() != 'n' }

func decodeChunk(data []byte) (*chunk, error) {
	c := new(chunk)
	err := lenient.Unmarshal(data, c)
	return c, err
}
