package openai

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"loom.internal/services/gateway/internal/lenient"
)

const (
	maxDepth    = 64  // nesting of a request body
	maxModel    = 512 // bytes of a model's name
	maxMetadata = 64  // members of metadata that are kept
)

// Request is what the gateway reads of a request with a JSON body. The body itself is
// kept as it came: what is not named here is never decoded.
type Request struct {
	Model            string
	Stream           bool
	AsksUsage        bool     // stream_options.include_usage is true
	Metadata         []Member // members with a string as value, in the body's order
	User             string
	SafetyIdentifier string
	PreviousResponse string // id of the stored response that this one goes on from
	Conversation     bool   // it goes on a stored conversation
	Background       bool   // the answer is fetched later

	body          []byte
	seen          []string // names of the members read
	empty         bool     // the object has no member
	model         span
	streamOptions span // of the whole value; empty when absent
	optionsKind   jsontext.Kind
	optionsEmpty  bool
	includeUsage  span // of the value within stream_options; empty when absent
	includeKind   jsontext.Kind
}

// Facts are what the gateway acts on and records of a request, whatever its shape.
type Facts struct {
	Model            string
	Stream           bool
	EndUser          string
	Metadata         []Member
	PreviousResponse string
	Conversation     bool
	Background       bool
}

// Facts are those of the request.
func (r *Request) Facts() Facts {
	f := Facts{
		Model: r.Model, Stream: r.Stream, EndUser: r.SafetyIdentifier, Metadata: r.Metadata,
		PreviousResponse: r.PreviousResponse, Conversation: r.Conversation, Background: r.Background,
	}
	if f.EndUser == "" {
		f.EndUser = r.User
	}
	for _, m := range r.Metadata { // where Anthropic has it
		if m.Name == "user_id" && f.EndUser == "" {
			f.EndUser = m.Value
		}
	}
	return f
}

// Record is the body as it came.
func (r *Request) Record() []byte { return r.body }

// Member is a name and its string in a JSON object.
type Member struct{ Name, Value string }

type span struct{ start, end int }

func (s span) empty() bool { return s.end == 0 }

type splice struct {
	span
	text string
}

// ParseRequest checks that body is one JSON object, nested at most 64 deep, and reads
// what the gateway acts on. A member it acts on may stand there only once: two
// readers could otherwise see two different requests. The model is the one named, such
// as by the path, and only where that is empty the body's. The Request keeps body.
func ParseRequest(body []byte, named string) (*Request, *Error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, Invalid("", "The request body is empty: send a JSON object.")
	}
	if tooDeep(body) {
		return nil, Invalid("", fmt.Sprintf("The request body is nested more than %d levels deep.", maxDepth))
	}
	dec := lenient.NewDecoder(body)
	if dec.PeekKind() != '{' {
		if _, err := dec.ReadValue(); err != nil {
			return nil, malformed(err)
		}
		return nil, Invalid("", "The request body must be a JSON object.")
	}
	r := &Request{body: body, empty: true}
	var fault *Error
	err := lenient.EachMember(dec, func(name string) error {
		r.empty = false
		fault = r.member(dec, name)
		if fault != nil {
			return fault
		}
		return nil
	})
	if err == nil {
		_, err = dec.ReadToken()
		if errors.Is(err, io.EOF) {
			err = nil
		} else if err == nil {
			return nil, Invalid("", "The request body must be one JSON object and nothing after it.")
		}
	}
	switch {
	case fault != nil:
		return nil, fault
	case err != nil:
		return nil, malformed(err)
	case named != "":
		r.Model = named
	case r.model.empty():
		return nil, Invalid("model", "You must provide a model parameter.")
	}
	return r, CheckModel(r.Model)
}

// acted are the top-level members that the gateway acts on.
var acted = []string{
	"model", "stream", "stream_options", "metadata", "user", "safety_identifier", "previous_response_id", "conversation", "background",
}

// member reads the value of a top-level member.
func (r *Request) member(dec *jsontext.Decoder, name string) *Error {
	if !slices.Contains(acted, name) {
		// Some readers take names without regard to case, and would see another request.
		if i := slices.IndexFunc(acted, func(a string) bool { return strings.EqualFold(a, name) }); i >= 0 {
			return Invalid(acted[i], fmt.Sprintf("The request body has '%s' where '%s' is meant.", quoted(name), acted[i]))
		}
		return skip(dec)
	}
	if slices.Contains(r.seen, name) {
		return duplicate(name)
	}
	r.seen = append(r.seen, name)
	kind := dec.PeekKind()
	value, err := dec.ReadValue()
	if err != nil {
		return malformed(err)
	}
	at := span{int(dec.InputOffset()) - len(value), int(dec.InputOffset())}
	switch name {
	case "model":
		r.model, r.Model = at, lenient.Text(value) // any other kind reads as empty, which is refused
	case "stream":
		r.Stream = kind == 't'
	case "stream_options":
		r.streamOptions, r.optionsKind = at, kind
		if err := r.options(value, at.start); err != nil {
			return err
		}
	case "metadata":
		if kind == '{' {
			r.Metadata = stringMembers(value)
		}
	case "user":
		r.User = lenient.Text(value)
	case "safety_identifier":
		r.SafetyIdentifier = lenient.Text(value)
	case "previous_response_id":
		r.PreviousResponse = lenient.Text(value)
	case "conversation":
		r.Conversation = kind != 'n'
	case "background":
		r.Background = kind == 't'
	}
	return nil
}

// CheckModel judges a model's name.
func CheckModel(name string) *Error {
	if name == "" || len(name) > maxModel || !utf8.ValidString(name) || strings.IndexByte(name, 0) >= 0 {
		return Invalid("model", fmt.Sprintf("model must be a string of 1 to %d bytes of text.", maxModel))
	}
	return nil
}

// options reads stream_options, whose value stands at offset base of the body.
func (r *Request) options(value jsontext.Value, base int) *Error {
	if r.optionsKind != '{' {
		return nil
	}
	r.optionsEmpty = true
	dec := lenient.NewDecoder(value)
	err := lenient.EachMember(dec, func(name string) error {
		r.optionsEmpty = false
		kind := dec.PeekKind()
		v, err := dec.ReadValue()
		if err != nil || name != "include_usage" {
			return err
		}
		if !r.includeUsage.empty() {
			return duplicate("stream_options.include_usage")
		}
		end := base + int(dec.InputOffset())
		r.includeUsage, r.includeKind = span{end - len(v), end}, kind
		r.AsksUsage = kind == 't'
		return nil
	})
	if fault, ok := errors.AsType[*Error](err); ok {
		return fault
	}
	if err != nil {
		return malformed(err)
	}
	return nil
}

// Rewrite gives the body to send: for that model, and asking for usage if askUsage is
// set. Every other byte stays; without a change it is the body itself.
func (r *Request) Rewrite(model string, askUsage bool) []byte {
	var edits []splice
	var first []string // members to begin the object with
	text := string(lenient.AppendText(nil, model))
	switch {
	case r.model.empty():
		first = append(first, `"model":`+text)
	case lenient.Text(r.body[r.model.start:r.model.end]) != model:
		edits = append(edits, splice{r.model, text})
	}
	if askUsage {
		switch edit, ok := r.usageEdit(); {
		case ok && edit.empty():
			first = append(first, edit.text)
		case ok:
			edits = append(edits, edit)
		}
	}
	if len(first) > 0 {
		open := bytes.IndexByte(r.body, '{') + 1
		if !r.empty {
			first = append(first, "")
		}
		edits = append(edits, splice{span{open, open}, strings.Join(first, ",")})
	}
	return apply(r.body, edits)
}

// CanAskUsage reports whether Rewrite can make the request ask for usage where it
// did not: it streams, and its stream_options are none or fit to be changed.
func (r *Request) CanAskUsage() bool {
	if !r.Stream || r.AsksUsage {
		return false
	}
	_, ok := r.usageEdit()
	return ok
}

// usageEdit is the edit that asks for usage; with an empty span it is a member to add.
func (r *Request) usageEdit() (splice, bool) {
	const option = `"include_usage":true`
	switch {
	case r.streamOptions.empty():
		return splice{text: `"stream_options":{` + option + `}`}, true
	case r.optionsKind == 'n':
		return splice{r.streamOptions, `{` + option + `}`}, true
	case r.optionsKind != '{':
		return splice{}, false // the provider is to refuse it
	case r.includeUsage.empty():
		inside := r.streamOptions.start + 1
		comma := ","
		if r.optionsEmpty {
			comma = ""
		}
		return splice{span{inside, inside}, option + comma}, true
	case r.includeKind == 'f' || r.includeKind == 'n':
		return splice{r.includeUsage, "true"}, true
	default:
		return splice{}, false
	}
}

func apply(body []byte, edits []splice) []byte {
	if len(edits) == 0 {
		return body
	}
	slices.SortFunc(edits, func(a, b splice) int { return a.start - b.start })
	size := len(body)
	for _, e := range edits {
		size += len(e.text)
	}
	out, last := make([]byte, 0, size), 0
	for _, e := range edits {
		out = append(append(out, body[last:e.start]...), e.text...)
		last = e.end
	}
	return append(out, body[last:]...)
}

// stringMembers are the members of an object that are strings.
func stringMembers(object jsontext.Value) []Member {
	var members []Member
	dec := lenient.NewDecoder(object)
	_ = lenient.EachMember(dec, func(name string) error { // the object has been read before
		kind := dec.PeekKind()
		value, err := dec.ReadValue()
		if err == nil && kind == '"' && len(members) < maxMetadata {
			members = append(members, Member{name, lenient.Text(value)})
		}
		return err
	})
	return members
}

func skip(dec *jsontext.Decoder) *Error {
	if err := dec.SkipValue(); err != nil {
		return malformed(err)
	}
	return nil
}

func malformed(err error) *Error {
	message := "The request body is not valid JSON."
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		message = fmt.Sprintf("The request body is not valid JSON: error at byte %d.", syntax.ByteOffset)
	}
	return Invalid("", message)
}

func duplicate(name string) *Error {
	return Invalid(name, fmt.Sprintf("The request body has '%s' more than once.", name))
}

// tooDeep reports whether objects and arrays nest beyond maxDepth. It looks past
// strings and judges nothing else.
func tooDeep(body []byte) bool {
	depth := 0
	for i := 0; i < len(body); i++ {
		switch body[i] {
		case '"':
			i = stringEnd(body, i+1)
		case '{', '[':
			if depth++; depth > maxDepth {
				return true
			}
		case '}', ']':
			depth--
		}
	}
	return false
}

// stringEnd is the index of the quote that ends the string whose text starts at i.
func stringEnd(body []byte, i int) int {
	for {
		n := bytes.IndexByte(body[i:], '"')
		if n < 0 {
			return len(body)
		}
		end := i + n
		slashes := 0
		for slashes < n && body[end-1-slashes] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return end
		}
		i = end + 1
	}
}
