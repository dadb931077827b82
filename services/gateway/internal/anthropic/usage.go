package anthropic

import (
	"bytes"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"loom.internal/services/gateway/internal/lenient"
)

// MaxUsage bounds a usage object, in bytes.
const MaxUsage = 16 << 10

// MergeUsage is the usage so far overwritten, member by member, by a later one: a
// stream's counts are cumulative and repeat each other, so they are never added. The
// numbers keep the provider's digits. A null says nothing, and what is no object or
// too large is passed over.
func MergeUsage(sofar, later jsontext.Value) jsontext.Value {
	if later.Kind() != '{' || len(later) > MaxUsage {
		return sofar
	}
	if sofar == nil {
		return bytes.Clone(later)
	}
	members := membersOf(sofar)
	for _, m := range membersOf(later) {
		at := slices.IndexFunc(members, func(o member) bool { return o.name == m.name })
		switch {
		case at < 0:
			members = append(members, m)
		case m.value.Kind() != 'n':
			members[at] = m
		}
	}
	b := []byte{'{'}
	for i, m := range members {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(lenient.AppendText(b, m.name), ':'), m.value...)
	}
	if b = append(b, '}'); len(b) > MaxUsage {
		return sofar
	}
	return b
}

type member struct {
	name  string
	value jsontext.Value
}

// membersOf are the members of an object that is valid; of equal names the last.
func membersOf(object jsontext.Value) []member {
	var members []member
	dec := lenient.NewDecoder(object)
	_ = lenient.EachMember(dec, func(name string) error {
		value, err := dec.ReadValue()
		if err != nil {
			return err
		}
		m := member{name, bytes.Clone(value)}
		if at := slices.IndexFunc(members, func(o member) bool { return o.name == name }); at >= 0 {
			members[at] = m
		} else {
			members = append(members, m)
		}
		return nil
	})
	return members
}

// Counts are the tokens of a usage object.
type Counts struct {
	Input       lenient.Integer         `json:"input_tokens"` // without the cached ones
	CacheWrite  lenient.Integer         `json:"cache_creation_input_tokens"`
	CacheRead   lenient.Integer         `json:"cache_read_input_tokens"`
	Output      lenient.Integer         `json:"output_tokens"`
	Details     lenient.Object[Details] `json:"output_tokens_details"`
	ServiceTier lenient.Str             `json:"service_tier"`
}

// Details are parts of the output.
type Details struct {
	Thinking  lenient.Integer `json:"thinking_tokens"`
	Reasoning lenient.Integer `json:"reasoning_tokens"`
}

// ReadCounts reads a usage object; without one, or where it is none, nothing is set.
func ReadCounts(usage jsontext.Value) Counts {
	var c Counts
	if usage.Kind() == '{' {
		_ = lenient.Unmarshal(usage, &c) // it has been read before
	}
	return c
}
