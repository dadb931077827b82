package form

import (
	"bytes"
	"fmt"
	"mime"
	"strings"

	"loom.internal/services/gateway/internal/openai"
)

const crlf = "\r\n"

// boundaryOf is the boundary that a content type names.
func boundaryOf(contentType string) (string, *openai.Error) {
	mediaType, params, err := mime.ParseMediaType(contentType)
	switch boundary := params["boundary"]; {
	case err != nil || mediaType != "multipart/form-data":
		return "", openai.Invalid("", "Content-Type must be 'multipart/form-data' with a boundary.")
	case boundary == "":
		return "", malformed("its Content-Type names no boundary")
	case len(boundary) > 70 || strings.HasSuffix(boundary, " ") || strings.Trim(boundary, boundaryChars) != "":
		return "", malformed("its boundary must be 1 to 70 letters, digits or '()+_,-./:=? and spaces, with no space at the end")
	default:
		return boundary, nil
	}
}

// boundaryChars is what a boundary may be made of (RFC 2046).
const boundaryChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'()+_,-./:=? "

// parts finds what stands between the boundaries, and where the first boundary is.
func parts(body []byte, boundary string) (list []span, first int, fault *openai.Error) {
	dash := []byte("--" + boundary)
	begun, closed := -1, false // where the part in hand begins
	for from := 0; ; {
		n := bytes.Index(body[from:], dash)
		if n < 0 {
			break
		}
		at := from + n
		from = at + 1
		if at > 0 && body[at-1] != '\n' && body[at-1] != '\r' {
			continue // within a line
		}
		if at > 0 && !bytes.HasSuffix(body[:at], []byte(crlf)) {
			return nil, 0, malformed("lines must end in CR LF")
		}
		if closed {
			return nil, 0, malformed("a boundary follows the last one")
		}
		end, last, ok := delimiter(body[at+len(dash):])
		if !ok {
			return nil, 0, malformed("a line begins with the boundary and goes on")
		}
		switch {
		case begun >= 0 && at-len(crlf) < begun:
			return nil, 0, malformed("a part has no header")
		case begun >= 0:
			list = append(list, span{begun, at - len(crlf)})
		case at > maxPreamble:
			return nil, 0, malformed("its first boundary comes too late")
		default:
			first = at
		}
		if len(list) > maxFields {
			return nil, 0, malformed(fmt.Sprintf("it has more than %d fields", maxFields))
		}
		begun, closed = at+len(dash)+end, last
		from = begun
	}
	switch {
	case begun < 0:
		return nil, 0, malformed("the boundary of its Content-Type is not in it")
	case !closed:
		return nil, 0, malformed("its last boundary is missing")
	}
	return list, first, nil
}

// delimiter reads what follows a boundary: blanks and the line's end, with two hyphens
// before them if no part follows. It gives the length of that.
func delimiter(rest []byte) (length int, last, ok bool) {
	after := rest
	if bytes.HasPrefix(after, []byte("--")) {
		after, last = after[2:], true
	}
	after = bytes.TrimLeft(after, " \t")
	switch {
	case bytes.HasPrefix(after, []byte(crlf)):
		return len(rest) - len(after) + len(crlf), last, true
	case last && len(after) == 0:
		return len(rest), true, true
	}
	return 0, false, false
}

// parsePart reads the part at the given place, and where its value is.
func parsePart(body []byte, at span) (f Field, value span, fault *openai.Error) {
	raw := body[at.start:at.end]
	n := bytes.Index(raw, []byte(crlf+crlf))
	switch {
	case n < 0:
		return f, value, malformed("the header of a part has no end")
	case n > maxHeader:
		return f, value, malformed(fmt.Sprintf("the header of a part is over %d bytes", maxHeader))
	}
	value = span{at.start + n + 2*len(crlf), at.end}
	f.Value = body[value.start:value.end:value.end]
	disposition, disposed := "", false
	for line := range strings.SplitSeq(string(raw[:n]), crlf) {
		name, text, ok := strings.Cut(line, ":")
		if !ok || name == "" || strings.ContainsFunc(line, control) || strings.Trim(name, tokenChars) != "" {
			return f, value, malformed("the header of a part has a line that is none")
		}
		text = strings.Trim(text, " \t")
		switch strings.ToLower(name) {
		case "content-disposition":
			if disposed {
				return f, value, malformed("a part has two Content-Dispositions")
			}
			disposition, disposed = text, true
		case "content-type":
			f.ContentType = text
		case "content-transfer-encoding":
			switch strings.ToLower(text) {
			case "binary", "8bit", "7bit":
			default:
				return f, value, malformed("a part is encoded: send it as it is")
			}
		}
	}
	return f, value, f.dispose(disposition)
}

func control(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

// tokenChars is what a header's name may be made of.
const tokenChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~"

// dispose reads the name of a field and of its file.
func (f *Field) dispose(disposition string) *openai.Error {
	kind, params, err := mime.ParseMediaType(disposition)
	if err != nil || kind != "form-data" || params["name"] == "" {
		return malformed("a part must have a Content-Disposition of form-data with a name")
	}
	f.Name = params["name"]
	f.Filename, f.File = params["filename"]
	switch f.Name {
	case "model", "stream", "user":
		// An encoded spelling is not read by everyone.
		lower := strings.ToLower(disposition)
		if !strings.Contains(lower, `name="`+f.Name+`"`) && !strings.Contains(lower, "name="+f.Name) {
			return malformed("the name of a field is encoded")
		}
	}
	return nil
}
