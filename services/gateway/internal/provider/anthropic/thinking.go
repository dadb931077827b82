package anthropic

import (
	"fmt"
	"strconv"
	"strings"

	"loom.internal/services/gateway/internal/lenient"
	"loom.internal/services/gateway/internal/openai"
)

const (
	minBudget       = 1024 // tokens: Anthropic refuses less
	minThinkingTopP = 0.95 // Anthropic refuses less beside thinking
)

// generation is what comes after "claude" in a model's name, such as 4 and 5 in
// claude-sonnet-4-5-20250929 and 3 and 7 in claude-3-7-sonnet; zeros where it is
// unknown.
func generation(model string) (major, minor int) {
	_, rest, ok := strings.Cut(model, "claude")
	if !ok {
		return 0, 0
	}
	found := false
	for part := range strings.FieldsFuncSeq(rest, func(r rune) bool { return strings.ContainsRune("-.@:", r) }) {
		n, err := strconv.Atoi(part)
		switch {
		case err != nil && !found:
			continue
		case err != nil || n < 0 || n > 99: // a date
			return major, minor
		case found:
			return major, n
		}
		major, found = n, true
	}
	return major, minor
}

// defaultMaxTokens is for a request without a limit: as much as every model of the
// generation can give, since OpenAI's models then answer at any length.
func defaultMaxTokens(model string) int64 {
	switch major, minor := generation(model); {
	case major >= 4, major == 3 && minor >= 7:
		return 32000
	case major == 3 && minor == 5:
		return 8192
	default:
		return 4096
	}
}

// adaptive reports whether a model takes an effort and decides on its thinking itself;
// those before take a budget of tokens.
func adaptive(model string) bool {
	major, minor := generation(model)
	return major > 4 || major == 4 && minor >= 6
}

// thinking translates reasoning_effort.
func (w *writer) thinking() *openai.Error {
	if w.q.reasoningEffort == nil {
		return nil
	}
	var budget int64
	effort := lenient.Text(w.q.reasoningEffort)
	switch effort {
	case "none":
		return nil
	case "minimal":
		effort, budget = "low", minBudget
	case "low":
		budget = 2048
	case "medium":
		budget = 8192
	case "high":
		budget = 16384
	case "xhigh":
		effort, budget = "high", 24576
	default:
		return openai.Invalid("reasoning_effort", fmt.Sprintf("reasoning_effort '%s' is not supported: use none, minimal, low, medium, high or xhigh.", cut(effort)))
	}
	forced := w.toolChoice == "any" || w.toolChoice == "tool" // which Anthropic refuses beside thinking
	if adaptive(w.model) {
		w.config = lenient.AppendText(append(comma(w.config), `"effort":`...), effort)
		if w.thinks = !forced; w.thinks {
			w.member("thinking", []byte(`{"type":"adaptive"}`))
		}
		return nil
	}
	// A turn that calls tools must begin with its thinking, which chat completions do not
	// carry; and what is left of max_tokens is for the answer.
	if forced || w.toolLoop || w.maxTokens <= minBudget {
		return nil
	}
	budget = min(budget, max(minBudget, w.maxTokens/2))
	w.thinks = true
	w.member("thinking", append(strconv.AppendInt([]byte(`{"type":"enabled","budget_tokens":`), budget, 10), '}'))
	return nil
}
