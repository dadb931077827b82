package form

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"loom.internal/services/gateway/internal/lenient"
)

// maxText is how many bytes of a text field are recorded.
const maxText = 64 << 10

// Describe is the form as a JSON object for its trace: texts as they are, up to 64 KiB
// each, and what files are called, how long they are and what they hash to. The files
// themselves are not recorded. Fields of one name are an array.
func (f *Form) Describe() []byte {
	var names []string
	values := make(map[string][]byte, len(f.Fields)) // joined by commas
	count := make(map[string]int, len(f.Fields))
	for i := range f.Fields {
		field := &f.Fields[i]
		name := strings.ToValidUTF8(field.Name, "\uFFFD")
		if count[name]++; count[name] == 1 {
			names = append(names, name)
		} else {
			values[name] = append(values[name], ',')
		}
		values[name] = field.appendJSON(values[name])
	}
	b := []byte{'{'}
	for i, name := range names {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(lenient.AppendText(b, name), ':')
		if count[name] > 1 {
			b = append(append(append(b, '['), values[name]...), ']')
			continue
		}
		b = append(b, values[name]...)
	}
	return append(b, '}')
}

func (f *Field) appendJSON(b []byte) []byte {
	if !f.File {
		return appendText(b, f.Value)
	}
	sum := sha256.Sum256(f.Value)
	b = lenient.AppendText(append(b, `{"filename":`...), f.Filename)
	b = lenient.AppendText(append(b, `,"content_type":`...), f.ContentType)
	b = strconv.AppendInt(append(b, `,"bytes":`...), int64(len(f.Value)), 10)
	return append(lenient.AppendText(append(b, `,"sha256":`...), hex.EncodeToString(sum[:])), '}')
}

// appendText appends value as a JSON string, cut to a length that may be recorded.
func appendText(b, value []byte) []byte {
	if len(value) <= maxText {
		return lenient.AppendText(b, string(value))
	}
	kept := strings.ToValidUTF8(string(value[:maxText]), "\uFFFD")
	return lenient.AppendText(b, fmt.Sprintf("%s… [left out: %d bytes]", kept, len(value)-maxText))
}
