package capture

import (
	"bytes"

	"loom.internal/services/gateway/internal/lenient"
	"loom.internal/services/gateway/internal/sse"
)

// transcriptEvent is an event of a stream of transcribed or translated speech.
type transcriptEvent struct {
	common
	Delta     lenient.Str `json:"delta"`
	Text      lenient.Str `json:"text"`
	Logprobs  span        `json:"logprobs"`
	Languages span        `json:"languages"`
}

// Transcript reads a stream of transcribed or translated speech. Its last event has the
// whole text; if that never comes, or does not fit, it is put together from the pieces.
type Transcript struct {
	base
	text      text
	probs     []byte // entries, with commas
	segments  []byte // likewise
	languages []byte
}

// NewTranscript keeps at most about limit bytes of the answer.
func NewTranscript(limit int) *Transcript { return &Transcript{base: newBase(limit)} }

// Event implements [Stream].
func (a *Transcript) Event(e sse.Event) (token, last bool) {
	if e.Done() {
		return false, true
	}
	v := new(transcriptEvent)
	if !a.read(e, v, &v.common) {
		return false, false
	}
	kind := string(v.Type)
	if kind == "" {
		kind = e.Name
	}
	switch kind {
	case "transcript.text.delta":
		a.add(&a.text, v.Delta)
		a.probs = a.values(a.probs, e.Data, v.Logprobs)
		return v.Delta != "", false
	case "transcript.text.segment":
		a.segment(e.Data)
		return v.Text != "", false
	case "transcript.text.done":
		first := a.text.Len() == 0 && len(a.segments) == 0
		a.done(v, e.Data)
		return first && v.Text != "", true
	}
	return false, false
}

// segment takes a part of the speech that one speaker said.
func (a *Transcript) segment(data []byte) {
	data = bytes.TrimSpace(data)
	if !a.charge(len(data) + 1) {
		return
	}
	if len(a.segments) > 0 {
		a.segments = append(a.segments, ',')
	}
	a.segments = append(a.segments, data...)
}

// done takes the whole text, and what is said of it, in place of the pieces.
func (a *Transcript) done(v *transcriptEvent, data []byte) {
	a.ended = true
	if v.Text != "" {
		a.left += a.text.spent
		a.text = text{}
		a.add(&a.text, v.Text)
	}
	if v.Logprobs.kind == '[' {
		if len(a.probs) > 0 {
			a.left += len(a.probs) + 1
			a.probs = nil
		}
		a.probs = a.values(a.probs, data, v.Logprobs)
	}
	if raw := v.Languages.of(data); v.Languages.kind == '[' && a.charge(len(raw)) {
		a.languages = bytes.Clone(raw)
	}
}

// JSON implements [Stream]: the answer is in the shape of one that came in one piece.
func (a *Transcript) JSON() (answer []byte, truncated bool) {
	b := lenient.AppendText([]byte(`{"text":`), a.text.String())
	b = appendRaw(b, "languages", a.languages)
	b = appendList(b, "logprobs", a.probs)
	b = appendList(b, "segments", a.segments)
	return a.end(b), a.truncated
}
