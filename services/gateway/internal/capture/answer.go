package capture

import (
	"slices"

	"loom.internal/services/gateway/internal/lenient"
)

// Summarize reads what a whole answer says of itself, of whatever endpoint but
// Responses. What is no JSON object has an empty summary.
func Summarize(body []byte) Summary {
	var s Summary
	c := new(chunk)
	if err := lenient.Unmarshal(body, c); err != nil {
		return s
	}
	s.describe(&c.common, body)
	s.Failed = c.failed()
	slices.SortStableFunc(c.Choices.V, func(a, b choice) int { return int(a.Index.N - b.Index.N) })
	for i := range c.Choices.V {
		x := &c.Choices.V[i]
		if x.FinishReason != "" {
			s.FinishReasons = append(s.FinishReasons, clip(string(x.FinishReason)))
		}
		for j := range x.Message.V.ToolCalls.V {
			t := &x.Message.V.ToolCalls.V[j]
			s.tool(clip(string(t.Function.V.Name)))
			s.tool(clip(string(t.Custom.V.Name)))
		}
		s.tool(clip(string(x.Message.V.FunctionCall.V.Name)))
	}
	return s
}
