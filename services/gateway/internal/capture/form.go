package capture

import "loom.internal/services/gateway/internal/endpoint"

// Form is how the answers of an endpoint are read.
type Form struct {
	// Stream makes what reads a streamed answer, keeping at most about limit bytes.
	Stream func(limit int) Stream
	// Whole reads an answer that came in one piece.
	Whole func(body []byte) Summary
	// Keep is what of such an answer goes into the trace, cut to about limit bytes; nil
	// when it is not to be recorded.
	Keep func(contentType string, body []byte, limit int) (kept []byte, truncated bool)
	// Last are beginnings of the lines that a stream's last event has: such an event is
	// held back until the trace is safe.
	Last []string
}

// FormOf is the form of an endpoint.
func FormOf(e endpoint.Endpoint) Form {
	switch e.Name {
	default:
		return Form{
			Stream: func(limit int) Stream { return NewChat(limit) },
			Whole:  Summarize,
			Keep:   func(_ string, body []byte, _ int) ([]byte, bool) { return body, false },
			Last:   []string{"data: [DONE]", "data:[DONE]"},
		}
	}
}
