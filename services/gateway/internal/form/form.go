// Package form reads multipart/form-data requests without copying or changing them: the
// gateway acts on the field "model" and a few others, and sends the files on as they
// came.
package form

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"loom.internal/services/gateway/internal/openai"
)

const (
	maxFields   = 64
	maxHeader   = 8 << 10 // bytes of a part's header
	maxPreamble = 1 << 10 // bytes before the first boundary
	maxModel    = 512     // bytes of a model's name
)

// Form is what the gateway reads of a form. It shares the memory of the body.
type Form struct {
	Model  string // empty when there is no such field
	Stream bool
	User   string
	Fields []Field // in the body's order

	body     []byte
	boundary string
	first    int  // where the first boundary begins, with its two hyphens
	model    span // of the model's value; of no use when there is none
}

// Field is one part of a form.
type Field struct {
	Name        string
	File        bool
	Filename    string // as the client says; often empty
	ContentType string // likewise
	Value       []byte // of the body
}

type span struct{ start, end int }

// Options say what a form need not have.
type Options struct {
	// ModelElsewhere is for requests that name their model outside of the form.
	ModelElsewhere bool
}

// Parse reads the form that contentType and body are. It takes only what every reader
// would see in the same way: lines end in CRLF, nothing looks like a boundary that is
// none, and a field that the gateway acts on stands there only once. The Form keeps
// body.
func Parse(contentType string, body []byte, o Options) (*Form, *openai.Error) {
	boundary, fault := boundaryOf(contentType)
	if fault != nil {
		return nil, fault
	}
	f := &Form{body: body, boundary: boundary}
	spans, first, fault := parts(body, boundary)
	if fault != nil {
		return nil, fault
	}
	f.first = first
	seen := make(map[string]bool)
	for _, at := range spans {
		field, value, fault := parsePart(body, at)
		if fault != nil {
			return nil, fault
		}
		switch field.Name {
		case "model", "stream", "user":
			if seen[field.Name] {
				return nil, openai.Invalid(field.Name, fmt.Sprintf("The form has the field '%s' more than once.", field.Name))
			}
			seen[field.Name] = true
			if field.File {
				return nil, openai.Invalid(field.Name, fmt.Sprintf("The field '%s' must be text, not a file.", field.Name))
			}
			if fault := f.field(field, value); fault != nil {
				return nil, fault
			}
		}
		f.Fields = append(f.Fields, field)
	}
	if !seen["model"] && !o.ModelElsewhere {
		return nil, openai.Invalid("model", "You must provide a model parameter.")
	}
	return f, nil
}

// field takes a field that the gateway acts on.
func (f *Form) field(field Field, at span) *openai.Error {
	value := string(field.Value)
	switch field.Name {
	case "model":
		if value == "" || len(value) > maxModel || !utf8.ValidString(value) || strings.ContainsAny(value, "\x00\r\n") {
			return openai.Invalid("model", fmt.Sprintf("model must be one line of 1 to %d bytes of text.", maxModel))
		}
		f.Model, f.model = value, at
	case "stream":
		f.Stream = strings.EqualFold(value, "true") || value == "1"
	case "user":
		f.User = value
	}
	return nil
}

// Rewrite gives the body to send: for another model if model, which must be one line, is
// not empty. A form without a model gets one in front of its fields. Every other byte
// stays; without a change it is the body itself.
func (f *Form) Rewrite(model string) []byte {
	switch {
	case model == "" || model == f.Model:
		return f.body
	case f.Model != "":
		return splice(f.body, f.model, []byte(model))
	}
	part := "--" + f.boundary + "\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n" + model + "\r\n"
	return splice(f.body, span{f.first, f.first}, []byte(part))
}

func splice(body []byte, at span, text []byte) []byte {
	return bytes.Join([][]byte{body[:at.start], text, body[at.end:]}, nil)
}

func malformed(why string) *openai.Error {
	return openai.Invalid("", "The request body is not a valid multipart/form-data form: "+why+".")
}
