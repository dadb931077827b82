package capture

import "loom.internal/services/gateway/internal/endpoint"

// Form is how the answers of an endpoint are read.
type Form struct {
	// Stream makes what reads a streamed answer, keeping at most about limit bytes.
	Stream func(limit int) Stream
	// Whole reads an answer that came in one piece.
	Whole func(body []byte) Summary
	// Last are beginnings of the lines that a stream's last event has: such an event is
	// held back until the trace is safe.
	Last []string
}

// FormOf is the form of an endpoint.
func FormOf(e endpoint.Endpoint) Form {
	switch e.Name {
	case endpoint.Messages.Name, endpoint.CountTokens.Name:
		return Form{
			Stream: func(limit int) Stream { return NewMessages(limit) },
			Whole:  SummarizeMessages,
			Last:   []string{"event: message_stop", "event:message_stop"},
		}
	default:
		return Form{
			Stream: func(limit int) Stream { return NewChat(limit) },
			Whole:  Summarize,
			Last:   []string{"data: [DONE]", "data:[DONE]"},
		}
	}
}
