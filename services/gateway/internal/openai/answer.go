package openai

import "slices"

// Summarize reads what a whole answer says of itself. What is no chat completion has
// an empty summary.
func Summarize(body []byte) Summary {
	var s Summary
	c, err := decodeChunk(body)
	if err != nil {
		return s
	}
	s.describe(c)
	s.Failed = c.failed()
	slices.SortStableFunc(c.Choices.v, func(a, b choice) int { return int(a.Index.n - b.Index.n) })
	for i := range c.Choices.v {
		x := &c.Choices.v[i]
		if x.FinishReason != "" {
			s.FinishReasons = append(s.FinishReasons, clip(string(x.FinishReason)))
		}
		for j := range x.Message.v.ToolCalls.v {
			t := &x.Message.v.ToolCalls.v[j]
			s.tool(clip(string(t.Function.v.Name)))
			s.tool(clip(string(t.Custom.v.Name)))
		}
		s.tool(clip(string(x.Message.v.FunctionCall.v.Name)))
	}
	return s
}
