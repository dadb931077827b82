package capture

import (
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"loom.internal/services/gateway/internal/lenient"
)

// bytesPerToken is a rule of thumb for English text.
const bytesPerToken = 4

// maxEstimated is how much of a body is looked at: bytes.
const maxEstimated = 32 << 20

// texts are the members whose strings a model reads or writes.
var texts = map[string]bool{
	"content": true, "text": true, "input": true, "prompt": true, "instructions": true, "system": true, "arguments": true,
	"refusal": true, "reasoning_content": true, "thinking": true, "transcript": true, "description": true,
}

// Estimate is a usage object for an exchange of which nobody reported the usage: one
// token for every four bytes of the text that was sent and that came back, each rounded
// up. Images, audio and other data count nothing.
func Estimate(request, response []byte) []byte {
	in, out := tokens(request), tokens(response)
	b := strconv.AppendInt([]byte(`{"prompt_tokens":`), in, 10)
	b = strconv.AppendInt(append(b, `,"completion_tokens":`...), out, 10)
	b = strconv.AppendInt(append(b, `,"total_tokens":`...), in+out, 10)
	return append(b, '}')
}

func tokens(body []byte) int64 {
	return (textBytes(body[:min(len(body), maxEstimated)]) + bytesPerToken - 1) / bytesPerToken
}

// textBytes counts the text in a JSON document as far as it can be read. A string counts
// when the nearest member it stands in is one for text.
func textBytes(body []byte) (n int64) {
	dec := lenient.NewDecoder(body)
	var names []string // of the members that the value being read stands in
	name := ""
	for {
		token, err := dec.ReadToken()
		if err != nil {
			return n
		}
		kind := token.Kind()
		switch {
		case kind == '{' || kind == '[':
			names = append(names, name)
		case kind == '}' || kind == ']':
			name, names = names[len(names)-1], names[:len(names)-1]
		case kind == '"' && isName(dec):
			name = token.String()
		case kind == '"' && texts[name]:
			n += int64(len(token.String()))
		}
	}
}

// isName reports whether the string just read is a member's name.
func isName(dec *jsontext.Decoder) bool {
	kind, length := dec.StackIndex(dec.StackDepth())
	return kind == '{' && length%2 == 1
}
