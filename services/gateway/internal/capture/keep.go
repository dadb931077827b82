package capture

import (
	"bytes"
	"mime"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"loom.internal/services/gateway/internal/lenient"
)

// maxBlob is how many bytes of base64 may stand in a trace.
const maxBlob = 256

// leftOut stands in a trace for n bytes of base64.
func leftOut(n int) string { return "[left out: " + strconv.Itoa(n) + " bytes of base64]" }

// blob is a member that holds a picture or sound.
type blob struct {
	object string // that it is in is the value of a member of this name; empty for any
	name   string
}

var (
	chatBlobs     = []blob{{"audio", "data"}}
	responseBlobs = []blob{{"", "result"}} // of an image_generation_call
	imageBlobs    = []blob{{"", "b64_json"}}
)

// keeper makes a [Form.Keep] for answers with the given blobs.
func keeper(blobs ...blob) func(contentType string, body []byte) []byte {
	return func(contentType string, body []byte) []byte {
		if !readable(contentType, body) {
			return nil
		}
		return withoutBlobs(body, blobs)
	}
}

// readable reports whether a body is text: by its content type, and by its bytes where
// that says nothing.
func readable(contentType string, body []byte) bool {
	mediaType, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		mediaType, _, _ = strings.Cut(contentType, ";")
		mediaType = strings.ToLower(strings.TrimSpace(mediaType))
	}
	switch {
	case bytes.IndexByte(body, 0) >= 0:
		return false
	case mediaType == "", mediaType == "application/octet-stream":
		return utf8.Valid(body)
	}
	return strings.HasPrefix(mediaType, "text/") || strings.HasSuffix(mediaType, "+json") || strings.HasSuffix(mediaType, "+xml") ||
		slices.Contains([]string{"application/json", "application/x-ndjson", "application/xml", "application/x-subrip", "application/srt"}, mediaType)
}

// withoutBlobs is body with a note in place of every blob that is longer than maxBlob;
// all other bytes stay. What is no JSON stays up to where that shows. The result may be
// body itself.
func withoutBlobs(body []byte, blobs []blob) []byte {
	if !slices.ContainsFunc(blobs, func(b blob) bool { return bytes.Contains(body, []byte(b.name)) }) {
		return body
	}
	var out []byte
	last := 0
	eachBlob(body, blobs, func(start, end, n int) {
		out = append(out, body[last:start]...)
		out = lenient.AppendText(out, leftOut(n))
		last = end
	})
	if last == 0 {
		return body
	}
	return append(out, body[last:]...)
}

// eachBlob calls f for every blob over maxBlob: where its value begins and ends, and how long it is. One
// that the body breaks off in goes to the body's end.
func eachBlob(body []byte, blobs []blob, f func(start, end, n int)) {
	dec := lenient.NewDecoder(body)
	var objects []string // the name of every open object and array
	name, object := "", ""
	for {
		kind := dec.PeekKind()
		parent, n := dec.StackIndex(dec.StackDepth())
		switch {
		case kind == '"' && parent == '{' && n%2 == 0:
			token, err := dec.ReadToken()
			if err != nil {
				return
			}
			name = token.String()
			continue
		case kind == '{' || kind == '[':
			objects = append(objects, object)
			if parent == '{' {
				object = name
			}
		case kind == '}' || kind == ']':
			if len(objects) == 0 {
				return
			}
			object, objects = objects[len(objects)-1], objects[:len(objects)-1]
		case kind == '"' && parent == '{' && isBlob(blobs, object, name):
			before := int(dec.InputOffset())
			value, err := dec.ReadValue()
			switch {
			case err != nil:
				if at := bytes.IndexByte(body[before:], '"'); at >= 0 && len(body)-before-at-1 > maxBlob {
					f(before+at, len(body), len(body)-before-at-1)
				}
				return
			case len(value)-2 > maxBlob && looksEncoded(value[1:len(value)-1]):
				end := int(dec.InputOffset())
				f(end-len(value), end, len(value)-2)
			}
			continue
		}
		if _, err := dec.ReadToken(); err != nil {
			return
		}
	}
}

func isBlob(blobs []blob, object, name string) bool {
	return slices.ContainsFunc(blobs, func(b blob) bool {
		return b.name == name && (b.object == "" || b.object == object)
	})
}

// looksEncoded reports whether text begins as base64 or as a data URL does: under the
// same names other things may be sent that are to be read.
func looksEncoded(text []byte) bool {
	if bytes.HasPrefix(text, []byte("data:")) {
		return true
	}
	for _, c := range text[:min(len(text), maxBlob)] {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte(`+/=-_\`, c) >= 0:
		default:
			return false
		}
	}
	return true
}
