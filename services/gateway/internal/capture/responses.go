package capture

import (
	"bytes"
	"strings"

	"loom.internal/services/gateway/internal/lenient"
	"loom.internal/services/gateway/internal/sse"
)

// Responses reads a stream of the Responses API. Its last event holds the whole answer,
// which is kept as it is if there is room for it; until then, and if it never comes, the
// answer is put together from the pieces.
type Responses struct {
	base
	limit   int
	answer  []byte // the provider's own, of the last event
	created int64
	status  string
	reason  string // why it is incomplete
	items   map[int64]*item
}

// NewResponses keeps at most about limit bytes of the answer.
func NewResponses(limit int) *Responses {
	return &Responses{base: newBase(limit), limit: limit, items: make(map[int64]*item)}
}

// Event implements [Stream]. Events of kinds that are not known are passed over.
func (a *Responses) Event(e sse.Event) (token, last bool) {
	if e.Done() { // compatible providers send one
		return false, true
	}
	v := new(responseEvent)
	if !a.read(e, v, &v.common) {
		if e.Name == "error" {
			a.ended = true
		}
		return false, e.Name == "error"
	}
	kind := string(v.Type)
	if kind == "" {
		kind = e.Name
	}
	switch kind {
	case "response.completed", "response.incomplete", "response.failed":
		a.ended, a.status = true, strings.TrimPrefix(kind, "response.")
		a.sum.Failed = a.sum.Failed || kind == "response.failed"
		return a.final(v, e.Data), true
	case "error":
		a.ended = true
		return false, true
	case "response.output_item.added":
		return a.added(v, e.Data), false
	case "response.output_item.done":
		return a.done(v, e.Data), false
	case "response.image_generation_call.partial_image":
		return v.Picture.size() > 0, false
	case "response.audio.delta", "response.audio.transcript.delta": // of no item
		return v.Delta != "", false
	}
	if v.Response.present() {
		a.describe(v.Response.of(e.Data))
	}
	if name, ok := strings.CutSuffix(kind, ".delta"); ok {
		if p, ok := pieces[name]; ok {
			return a.piece(v, p, v.Delta), false
		}
	} else if name, ok := strings.CutSuffix(kind, ".done"); ok {
		if p, ok := pieces[name]; ok {
			return a.whole(v, p), false
		}
	}
	return false, false
}

// describe takes over what a response says of itself, and reports whether it has any
// output.
func (a *Responses) describe(raw []byte) (output bool) {
	var r response
	if lenient.Unmarshal(raw, &r) != nil {
		return false
	}
	r.into(&a.sum, raw)
	if r.Error.present() {
		a.fail(r.Error.of(raw))
	}
	if a.created == 0 {
		a.created = r.CreatedAt.N
	}
	if r.Status != "" {
		a.status = clip(string(r.Status))
	}
	a.reason = clip(string(r.Incomplete.V.Reason))
	return len(r.Output.V) > 0
}

// final takes the event that ends the stream. Some providers leave the output out of
// it: then it is only what it says of the answer that counts.
func (a *Responses) final(v *responseEvent, data []byte) (token bool) {
	if v.Response.kind != '{' {
		return false
	}
	raw := v.Response.of(data)
	output := a.describe(raw)
	if !output && len(a.items) > 0 {
		return false
	}
	token = output && len(a.items) == 0
	answer := withoutBlobs(raw, responseBlobs)
	if len(answer) > a.limit {
		a.truncated = true
		return token
	}
	a.answer, a.items, a.truncated = bytes.Clone(answer), nil, false
	return token
}

// item finds the item that an event belongs to, or begins one; nil when there is no
// room.
func (a *Responses) item(v *responseEvent, kind string) *item {
	index := max(v.OutputIndex.N, 0)
	if x := a.items[index]; x != nil {
		return x
	}
	if index >= maxIndex {
		a.truncated = true
		return nil
	}
	if a.items == nil || !a.charge(entryCost) { // nothing follows the last event
		return nil
	}
	x := &item{kind: kind}
	a.items[index] = x
	return x
}

// added begins an item. A call with a name is something the client can read.
func (a *Responses) added(v *responseEvent, data []byte) (token bool) {
	var in responseItem
	if v.Item.kind != '{' || lenient.Unmarshal(v.Item.of(data), &in) != nil {
		return false
	}
	x := a.item(v, "")
	if x == nil || x.done != nil {
		return false
	}
	before := a.left
	x.kind, x.id, x.callID = a.name(in.Type), a.name(in.ID), a.name(in.CallID)
	x.name, x.server = a.name(in.Name), a.name(in.Server)
	x.spent += before - a.left
	a.sum.tool(clip(string(in.Name)))
	return in.Name != ""
}

// done takes an item that is complete, in place of its pieces.
func (a *Responses) done(v *responseEvent, data []byte) (token bool) {
	var in responseItem
	if v.Item.kind != '{' || lenient.Unmarshal(v.Item.of(data), &in) != nil {
		return false
	}
	a.sum.tool(clip(string(in.Name)))
	x := a.item(v, "")
	if x == nil {
		return false
	}
	token = x.empty() && x.done == nil
	raw := withoutBlobs(v.Item.of(data), responseBlobs)
	if spent := x.cost(); len(raw) <= a.left+spent {
		a.left += spent - len(raw)
		*x = item{done: bytes.Clone(raw), spent: len(raw)}
	} else {
		a.truncated = true
	}
	return token
}

// piece adds text to the part or the call it belongs to.
func (a *Responses) piece(v *responseEvent, p piece, s lenient.Str) (token bool) {
	if t := a.text(v, p); t != nil {
		a.add(t, s)
	}
	return s != ""
}

// whole takes the whole text of a part or a call, if none of it came before.
func (a *Responses) whole(v *responseEvent, p piece) (token bool) {
	var s lenient.Str
	switch p {
	case refusal:
		s = v.Refusal
	case functionCall, mcpCall:
		s = v.Arguments
	case customCall:
		s = v.Input
	case codeCall:
		s = v.Code
	default:
		s = v.Text
	}
	if t := a.text(v, p); t != nil && t.Len() == 0 {
		a.add(t, s)
		return s != ""
	}
	return false
}

// text finds the text that an event adds to; nil when there is no room for it, or when
// it is complete.
func (a *Responses) text(v *responseEvent, p piece) *text {
	x := a.item(v, p.item)
	if x == nil || x.done != nil {
		return nil
	}
	if x.kind == "" {
		x.kind = p.item
	}
	switch p.where {
	case inCall:
		return &x.call
	case inSummary:
		return a.part(&x.summary, v.SummaryIndex.N, p.part)
	default:
		return a.part(&x.content, v.ContentIndex.N, p.part)
	}
}

func (a *Responses) part(list *[]*part, index int64, kind string) *text {
	index = max(index, 0)
	for _, p := range *list {
		if p.index == index && p.kind == kind {
			return &p.text
		}
	}
	if index >= maxIndex || len(*list) >= maxIndex {
		a.truncated = true
		return nil
	}
	if !a.charge(entryCost) {
		return nil
	}
	p := &part{index: index, kind: kind}
	*list = append(*list, p)
	return &p.text
}

// Summary implements [Stream].
func (a *Responses) Summary() Summary {
	s := a.sum
	s.FinishReasons = finishOf(a.status, a.reason)
	return s
}

// finishOf is why a response ended: its status, or the reason it is incomplete for. One
// that has not ended has none.
func finishOf(status, reason string) []string {
	switch {
	case status == "", status == "queued", status == "in_progress":
		return nil
	case status == "incomplete" && reason != "":
		return []string{reason}
	default:
		return []string{status}
	}
}

// into adds what a response says of itself to a summary.
func (r *response) into(s *Summary, raw []byte) {
	s.describe(&r.common, raw)
	s.Failed = s.Failed || r.failed() || r.Status == "failed"
	for i := range r.Output.V {
		s.tool(clip(string(r.Output.V[i].Name)))
	}
}

// SummarizeResponse is [Summarize] for the Responses API.
func SummarizeResponse(body []byte) Summary {
	var s Summary
	var r response
	if lenient.Unmarshal(body, &r) != nil {
		return s
	}
	r.into(&s, body)
	s.FinishReasons = finishOf(clip(string(r.Status)), clip(string(r.Incomplete.V.Reason)))
	return s
}
