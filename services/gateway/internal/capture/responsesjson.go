package capture

import (
	"maps"
	"slices"
	"strconv"

	"loom.internal/services/gateway/internal/lenient"
)

// item is one item of the output so far.
type item struct {
	kind, id, callID, name, server string
	content, summary               []*part
	call                           text
	done                           []byte // the provider's own, once it is complete
	spent                          int    // beside texts and parts
}

type part struct {
	index int64
	kind  string
	text  text
}

func (x *item) empty() bool { return x.name == "" && len(x.content)+len(x.summary)+x.call.Len() == 0 }

// cost is what the item has been charged with, without its entry.
func (x *item) cost() int {
	n := x.spent + x.call.spent
	for _, list := range [][]*part{x.content, x.summary} {
		for _, p := range list {
			n += entryCost + p.text.spent
		}
	}
	return n
}

// JSON implements [Stream]: the answer is the provider's own, or in its shape.
func (a *Responses) JSON() (answer []byte, truncated bool) {
	if a.answer != nil {
		return a.answer, a.truncated
	}
	status := a.status
	if status == "" {
		status = "in_progress"
	}
	b := lenient.AppendText([]byte(`{"id":`), a.sum.ID)
	b = strconv.AppendInt(append(b, `,"object":"response","created_at":`...), a.created, 10)
	b = lenient.AppendText(append(b, `,"status":`...), status)
	if a.reason != "" {
		b = append(lenient.AppendText(append(b, `,"incomplete_details":{"reason":`...), a.reason), '}')
	}
	b = lenient.AppendText(append(b, `,"model":`...), a.sum.Model)
	b = append(b, `,"output":[`...)
	for i, index := range slices.Sorted(maps.Keys(a.items)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = a.items[index].appendJSON(b)
	}
	return a.end(append(b, ']')), a.truncated
}

func (x *item) appendJSON(b []byte) []byte {
	if x.done != nil {
		return append(b, x.done...)
	}
	b = lenient.AppendText(append(b, `{"type":`...), x.kind)
	b = appendMember(b, "id", x.id)
	switch x.kind {
	case "message":
		b = append(b, `,"role":"assistant","status":"in_progress"`...)
	case "reasoning":
		b = appendParts(b, "summary", x.summary)
	}
	if x.kind == "message" || len(x.content) > 0 {
		b = appendParts(b, "content", x.content)
	}
	b = appendMember(b, "call_id", x.callID)
	b = appendMember(b, "server_label", x.server)
	b = appendMember(b, "name", x.name)
	switch x.kind {
	case "custom_tool_call":
		b = appendMember(b, "input", x.call.String())
	case "code_interpreter_call":
		b = appendMember(b, "code", x.call.String())
	default:
		b = appendMember(b, "arguments", x.call.String())
	}
	return append(b, '}')
}

func appendParts(b []byte, name string, parts []*part) []byte {
	b = append(append(append(b, `,"`...), name...), `":[`...)
	order := slices.Clone(parts)
	slices.SortStableFunc(order, func(x, y *part) int { return int(x.index - y.index) })
	for i, p := range order {
		if i > 0 {
			b = append(b, ',')
		}
		member := `,"text":`
		if p.kind == "refusal" {
			member = `,"refusal":`
		}
		b = lenient.AppendText(append(b, `{"type":`...), p.kind)
		b = append(lenient.AppendText(append(b, member...), p.text.String()), '}')
	}
	return append(b, ']')
}
