package openai

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"

	"loom.internal/services/gateway/internal/lenient"
	"loom.internal/services/gateway/internal/sse"
)

// HideUsage takes the usage that the gateway asked for out of an event: what is left
// are the bytes the provider would have sent to a client that did not ask. An event
// that only carries usage vanishes (nil); everything else stays as it is.
func HideUsage(e sse.Event) []byte {
	if !bytes.Contains(e.Data, []byte(`"usage"`)) {
		return e.Raw
	}
	at := bytes.Index(e.Raw, e.Data)
	if at < 0 { // several data lines: no provider that is asked for usage sends such
		return e.Raw
	}
	u, ok := findUsage(e.Data)
	switch {
	case !ok:
		return e.Raw
	case u.kind == 'n':
		out := make([]byte, 0, len(e.Raw))
		out = append(out, e.Raw[:at+u.member.start]...)
		return append(out, e.Raw[at+u.member.end:]...)
	case u.kind == '{' && u.noChoices:
		return nil
	default:
		return e.Raw
	}
}

type usageMember struct {
	member    span // with the comma that goes with it
	kind      jsontext.Kind
	noChoices bool // "choices" is there, and empty
}

// findUsage finds the member "usage" of the object in data.
func findUsage(data []byte) (u usageMember, ok bool) {
	dec := lenient.NewDecoder(data)
	if dec.PeekKind() != '{' {
		return u, false
	}
	first, openFirst := true, false
	if _, err := dec.ReadToken(); err != nil {
		return u, false
	}
	for dec.PeekKind() == '"' {
		before := int(dec.InputOffset())
		token, err := dec.ReadToken()
		if err != nil {
			return u, false
		}
		name := token.String()
		if openFirst { // usage came first: its comma is the one after it
			u.member.end = int(dec.InputOffset()) - nameLength(data[:dec.InputOffset()])
			openFirst = false
		}
		kind := dec.PeekKind()
		value, err := dec.ReadValue()
		if err != nil {
			return u, false
		}
		switch name {
		case "usage":
			u.member, u.kind, ok = span{before, int(dec.InputOffset())}, kind, true
			openFirst = first
		case "choices":
			u.noChoices = kind == '[' && len(bytes.TrimSpace(value[1:len(value)-1])) == 0
		}
		first = false
	}
	_, err := dec.ReadToken()
	return u, ok && err == nil
}

// nameLength is the length, quotes included, of the name that data ends with.
func nameLength(data []byte) int {
	for i := len(data) - 2; i >= 0; i-- {
		if data[i] != '"' {
			continue
		}
		slashes := 0
		for i-1-slashes >= 0 && data[i-1-slashes] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return len(data) - i
		}
	}
	return len(data)
}
