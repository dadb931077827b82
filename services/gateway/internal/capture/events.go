package capture

import (
	"loom.internal/services/gateway/internal/lenient"
	"loom.internal/services/gateway/internal/sse"
)

// Events keeps the events of a stream as they are, for an endpoint whose answers come
// in one piece: a provider that streams them all the same is recorded.
type Events struct {
	base
	list []byte // joined by commas
}

// NewEvents keeps at most about limit bytes of the answer.
func NewEvents(limit int) *Events { return &Events{base: newBase(limit)} }

// Event implements [Stream].
func (a *Events) Event(e sse.Event) (token, last bool) {
	if e.Done() {
		return false, true
	}
	v := new(common)
	if len(e.Data) == 0 {
		return false, false
	}
	value := e.Data
	if !a.read(e, v, v) {
		var raw span
		if lenient.Unmarshal(e.Data, &raw) != nil {
			value = lenient.AppendText(nil, string(e.Data))
		}
	}
	if a.charge(len(value) + 1) {
		if len(a.list) > 0 {
			a.list = append(a.list, ',')
		}
		a.list = append(a.list, value...)
	}
	return true, false
}

// Ended implements [Stream]: no event is known to be the last.
func (a *Events) Ended() bool { return true }

// JSON implements [Stream].
func (a *Events) JSON() (answer []byte, truncated bool) {
	b := append([]byte(`{"events":[`), a.list...)
	return append(b, "]}"...), a.truncated
}
