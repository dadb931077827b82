package anthropic_test

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"loom.internal/services/gateway/internal/anthropic"
)

func TestUsageIsOverwrittenAndNeverAdded(t *testing.T) {
	t.Parallel()
	large := `{"a":"` + strings.Repeat("x", anthropic.MaxUsage) + `"}`
	for name, row := range map[string]struct{ sofar, later, want string }{
		"the first":          {"", `{ "input_tokens": 10 }`, `{ "input_tokens": 10 }`},
		"repeated and grown": {`{"input_tokens":10,"output_tokens":1}`, `{"input_tokens":10,"output_tokens":25}`, `{"input_tokens":10,"output_tokens":25}`},
		"a new member":       {`{"input_tokens":10}`, `{"server_tool_use":{"web_search_requests":1}}`, `{"input_tokens":10,"server_tool_use":{"web_search_requests":1}}`},
		"null says nothing":  {`{"input_tokens":10}`, `{"input_tokens":null,"x":null}`, `{"input_tokens":10,"x":null}`},
		"digits stay":        {`{"a":1.0}`, `{"b":12345678901234567890}`, `{"a":1.0,"b":12345678901234567890}`},
		"given twice":        {`{"a":1}`, `{"a":2,"a":3}`, `{"a":3}`},
		"no object":          {`{"a":1}`, `[2]`, `{"a":1}`},
		"none":               {`{"a":1}`, "", `{"a":1}`},
		"too large":          {`{"a":1}`, large, `{"a":1}`},
		"too large together": {large[:anthropic.MaxUsage-10] + `"}`, `{"bbbbbbbbbb":1}`, large[:anthropic.MaxUsage-10] + `"}`},
	} {
		var sofar jsontext.Value
		if row.sofar != "" {
			sofar = jsontext.Value(row.sofar)
		}
		if got := string(anthropic.MergeUsage(sofar, jsontext.Value(row.later))); got != row.want {
			t.Errorf("%s: got %s, want %s", name, got, row.want)
		}
	}
}
