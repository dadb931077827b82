package capture

import "loom.internal/services/gateway/internal/lenient"

// responseEvent is an event of the Responses API. Which of its members it has depends
// on its type.
type responseEvent struct {
	common
	OutputIndex  lenient.Integer `json:"output_index"`
	ContentIndex lenient.Integer `json:"content_index"`
	SummaryIndex lenient.Integer `json:"summary_index"`
	Delta        lenient.Str     `json:"delta"`
	Text         lenient.Str     `json:"text"`
	Refusal      lenient.Str     `json:"refusal"`
	Arguments    lenient.Str     `json:"arguments"`
	Input        lenient.Str     `json:"input"`
	Code         lenient.Str     `json:"code"`
	Picture      span            `json:"partial_image_b64"` // measured, not kept
	Item         span            `json:"item"`
	Response     span            `json:"response"`
}

// response is the answer that the terminal event holds, or that came in one piece.
type response struct {
	common
	CreatedAt  lenient.Integer                   `json:"created_at"`
	Status     lenient.Str                       `json:"status"`
	Incomplete lenient.Object[incompleteDetails] `json:"incomplete_details"`
	Output     lenient.List[responseItem]        `json:"output"`
}

type incompleteDetails struct {
	Reason lenient.Str `json:"reason"`
}

// responseItem is one item of an answer's output.
type responseItem struct {
	ID     lenient.Str `json:"id"`
	Type   lenient.Str `json:"type"`
	CallID lenient.Str `json:"call_id"`
	Name   lenient.Str `json:"name"`
	Server lenient.Str `json:"server_label"`
}

// place is where in an item the text of an event belongs.
type place uint8

const (
	inContent place = iota
	inSummary
	inCall // arguments, input or code: what a tool is called with
)

// piece is what an event with text is a piece of.
type piece struct {
	item  string // the kind of item, if it was not told before
	where place
	part  string // the kind of part, or the member of a call
}

var (
	outputText    = piece{"message", inContent, "output_text"}
	refusal       = piece{"message", inContent, "refusal"}
	summaryText   = piece{"reasoning", inSummary, "summary_text"}
	reasoningText = piece{"reasoning", inContent, "reasoning_text"}
	functionCall  = piece{"function_call", inCall, "arguments"}
	mcpCall       = piece{"mcp_call", inCall, "arguments"}
	customCall    = piece{"custom_tool_call", inCall, "input"}
	codeCall      = piece{"code_interpreter_call", inCall, "code"}
)

// pieces are the events with text, by type without ".delta" or ".done".
var pieces = map[string]piece{
	"response.output_text":                outputText,
	"response.refusal":                    refusal,
	"response.reasoning_summary_text":     summaryText,
	"response.reasoning_text":             reasoningText,
	"response.function_call_arguments":    functionCall,
	"response.mcp_call_arguments":         mcpCall,
	"response.custom_tool_call_input":     customCall,
	"response.code_interpreter_call_code": codeCall,
}
