package anthropic

import (
	"bytes"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"

	"loom.internal/services/gateway/internal/lenient"
	"loom.internal/services/gateway/internal/openai"
)

const pdf = "application/pdf"

// pdfBegins is how every PDF begins in base64.
var pdfBegins = []byte("JVBERi")

// part is one part of a message's content.
type part struct {
	path, kind                 string
	text, refusal, image, file jsontext.Value
}

func readPart(v jsontext.Value, path string) (part, *openai.Error) {
	p := part{path: path}
	var kind jsontext.Value
	fault := object(v, path, field{"type", &kind}, field{"text", &p.text}, field{"refusal", &p.refusal},
		field{"image_url", &p.image}, field{"file", &p.file})
	p.kind = lenient.Text(kind)
	return p, fault
}

func (p *part) unsupported() *openai.Error {
	return openai.Invalid(p.path+".type", fmt.Sprintf("%s of type '%s' is not supported for this model.", p.path, cut(p.kind)))
}

// appendParts writes the parts of a content as blocks.
func appendParts(b []byte, parts jsontext.Value, path string) ([]byte, *openai.Error) {
	fault := each(parts, path, func(i int, v jsontext.Value) *openai.Error {
		p, fault := readPart(v, at(path, i))
		if fault != nil {
			return fault
		}
		switch p.kind {
		case "text":
			if p.text.Kind() != '"' {
				return openai.Invalid(p.path+".text", p.path+".text must be a string.")
			}
			b = appendTextBlock(b, p.text)
		case "refusal":
			if p.refusal.Kind() != '"' {
				return openai.Invalid(p.path+".refusal", p.path+".refusal must be a string.")
			}
			b = appendTextBlock(b, p.refusal)
		case "image_url":
			b, fault = p.appendImage(b)
		case "file":
			b, fault = p.appendFile(b)
		default:
			fault = p.unsupported()
		}
		return fault
	})
	return b, fault
}

// appendTextBlock writes a string as a block; one without text, which Anthropic
// refuses, is left out.
func appendTextBlock(b []byte, s jsontext.Value) []byte {
	const short = 64 // longer ones are hardly white space alone
	if len(s) < short && len(bytes.TrimSpace(unquoted(s))) == 0 {
		return b
	}
	return append(append(append(comma(b), `{"type":"text","text":`...), s...), '}')
}

func (p *part) appendImage(b []byte) ([]byte, *openai.Error) {
	path := p.path + ".image_url"
	var url jsontext.Value
	if fault := object(p.image, path, field{"url", &url}); fault != nil {
		return b, fault
	}
	path += ".url"
	if url.Kind() != '"' {
		return b, openai.Invalid(path, path+" must be a string.")
	}
	s := unquoted(url)
	if scheme := s[:min(len(s), len("https://"))]; bytes.EqualFold(scheme, []byte("https://")) {
		return append(append(append(comma(b), `{"type":"image","source":{"type":"url","url":`...), url...), "}}"...), nil
	}
	mediaType, data, ok := dataURL(s)
	if !ok {
		return b, openai.Invalid(path, path+" must be an https URL or a data URL in base64.")
	}
	return appendSource(append(comma(b), `{"type":"image","source":`...), mediaType, data, '}'), nil
}

func (p *part) appendFile(b []byte) ([]byte, *openai.Error) {
	path := p.path + ".file"
	var data, name jsontext.Value
	if fault := object(p.file, path, field{"file_data", &data}, field{"filename", &name}); fault != nil {
		return b, fault
	}
	path += ".file_data"
	if data.Kind() != '"' {
		return b, openai.Invalid(path, path+" must hold the file: this model cannot read files that were uploaded elsewhere.")
	}
	content := unquoted(data)
	mediaType, content64, ok := dataURL(content)
	if !ok && bytes.HasPrefix(content, pdfBegins) {
		mediaType, content64, ok = pdf, content, true
	}
	if !ok || mediaType != pdf {
		return b, openai.Invalid(path, path+" must be a PDF as a data URL: data:application/pdf;base64,….")
	}
	b = appendSource(append(comma(b), `{"type":"document","source":`...), mediaType, content64, ',')
	if name.Kind() == '"' && len(name) > len(`""`) {
		return append(append(append(b, `"title":`...), name...), '}'), nil
	}
	b[len(b)-1] = '}'
	return b, nil
}

// appendSource writes a source, and then what follows it.
func appendSource(b []byte, mediaType string, data []byte, then byte) []byte {
	b = lenient.AppendText(append(b, `{"type":"base64","media_type":`...), mediaType)
	b, _ = jsontext.AppendQuote(append(b, `,"data":`...), data) // bytes that are not UTF-8 are replaced
	return append(b, '}', then)
}

// unquoted is the text of a JSON string.
func unquoted(v jsontext.Value) []byte {
	if inner := v[1 : len(v)-1]; bytes.IndexByte(inner, '\\') < 0 {
		return inner // images are long: no copy without need
	}
	b, _ := jsontext.AppendUnquote(nil, v) // bytes that are not UTF-8 are replaced
	return b
}

// dataURL takes a data URL with base64 in it apart.
func dataURL(s []byte) (mediaType string, data []byte, ok bool) {
	const scheme, base64 = "data:", ";base64"
	if len(s) < len(scheme) || !bytes.EqualFold(s[:len(scheme)], []byte(scheme)) {
		return "", nil, false
	}
	head, data, found := bytes.Cut(s[len(scheme):], []byte{','})
	if !found || len(head) < len(base64) || !bytes.EqualFold(head[len(head)-len(base64):], []byte(base64)) {
		return "", nil, false
	}
	head, _, _ = bytes.Cut(head[:len(head)-len(base64)], []byte{';'}) // parameters, such as a charset
	return string(bytes.ToLower(bytes.TrimSpace(head))), data, len(head) > 0
}
