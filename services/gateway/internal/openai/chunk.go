package openai

import (
	"errors"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// chunk is a chat completion chunk or a whole chat completion: they differ in delta
// and message only. A member of another kind than expected counts as absent, so that
// one odd field does not hide the rest.
type chunk struct {
	ID                str            `json:"id"`
	Created           integer        `json:"created"`
	Model             str            `json:"model"`
	SystemFingerprint str            `json:"system_fingerprint"`
	ServiceTier       str            `json:"service_tier"`
	Choices           list[choice]   `json:"choices"`
	Usage             jsontext.Value `json:"usage"`
	Error             jsontext.Value `json:"error"`
	Type              str            `json:"type"`
}

type choice struct {
	Index        integer       `json:"index"`
	Delta        object[delta] `json:"delta"`
	Message      object[delta] `json:"message"`
	FinishReason str           `json:"finish_reason"`
	Logprobs     object[probs] `json:"logprobs"`
}

type delta struct {
	Role             str                   `json:"role"`
	Content          str                   `json:"content"`
	Refusal          str                   `json:"refusal"`
	ReasoningContent str                   `json:"reasoning_content"`
	Reasoning        str                   `json:"reasoning"`
	ToolCalls        list[toolCall]        `json:"tool_calls"`
	FunctionCall     object[function]      `json:"function_call"`
	Audio            object[audioFragment] `json:"audio"`
}

type toolCall struct {
	Index    integer          `json:"index"`
	ID       str              `json:"id"`
	Type     str              `json:"type"`
	Function object[function] `json:"function"`
	Custom   object[function] `json:"custom"`
}

type function struct {
	Name      str `json:"name"`
	Arguments str `json:"arguments"`
	Input     str `json:"input"`
}

type audioFragment struct {
	ID         str `json:"id"`
	Data       str `json:"data"`
	Transcript str `json:"transcript"`
}

type probs struct {
	Content list[jsontext.Value] `json:"content"`
	Refusal list[jsontext.Value] `json:"refusal"`
}

// failed reports whether the value is an error: present and not null.
func (c *chunk) failed() bool { return c.Error != nil && c.Error.Kind() != 'n' }

func decodeChunk(data []byte) (*chunk, error) {
	c := new(chunk)
	err := json.Unmarshal(data, c, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	return c, err
}

// str is a string; any other kind reads as empty.
type str string

// UnmarshalJSONFrom implements [json.UnmarshalerFrom].
func (s *str) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	if dec.PeekKind() != '"' {
		return dec.SkipValue()
	}
	token, err := dec.ReadToken()
	if err == nil {
		*s = str(token.String())
	}
	return err
}

// integer is a number, and whether there was one.
type integer struct {
	n   int64
	set bool
}

// UnmarshalJSONFrom implements [json.UnmarshalerFrom].
func (i *integer) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	if dec.PeekKind() != '0' {
		return dec.SkipValue()
	}
	token, err := dec.ReadToken()
	if err != nil {
		return err
	}
	if f, err := token.Float(); err == nil && f >= -1<<53 && f <= 1<<53 {
		i.n, i.set = int64(f), true
	}
	return nil
}

// object is a T, and whether there was one; any kind but an object reads as absent.
type object[T any] struct {
	v   T
	set bool
}

// UnmarshalJSONFrom implements [json.UnmarshalerFrom].
func (o *object[T]) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	if dec.PeekKind() != '{' {
		return dec.SkipValue()
	}
	o.set = true
	return json.UnmarshalDecode(dec, &o.v)
}

// maxEntries bounds the entries of one list in one chunk.
const maxEntries = 128

var errTooMany = errors.New("list over 128 entries")

// list is an array, and whether there was one; any other kind reads as absent.
type list[T any] struct {
	v   []T
	set bool
}

// UnmarshalJSONFrom implements [json.UnmarshalerFrom].
func (l *list[T]) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	if dec.PeekKind() != '[' {
		return dec.SkipValue()
	}
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	l.set = true
	for dec.PeekKind() != ']' {
		if dec.PeekKind() == 0 {
			_, err := dec.ReadToken()
			return err
		}
		if len(l.v) == maxEntries {
			return errTooMany
		}
		var entry T
		if err := json.UnmarshalDecode(dec, &entry); err != nil {
			return err
		}
		l.v = append(l.v, entry)
	}
	_, err := dec.ReadToken()
	return err
}
