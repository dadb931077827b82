package capture

import "loom.internal/services/gateway/internal/endpoint"

// Form is how the answers of an endpoint are read.
type Form struct {
	// Stream makes what reads a streamed answer, keeping at most about limit bytes.
	Stream func(limit int) Stream
	// Whole reads an answer that came in one piece.
	Whole func(body []byte) Summary
	// Keep is what of an answer that came in one piece goes into its trace: text as it
	// is, JSON as it is but for pictures and sound, of anything else nothing (nil). It may
	// share the memory of body.
	Keep func(contentType string, body []byte) []byte
	// Last are beginnings of the lines that a stream's last event has: such an event is
	// held back until the trace is safe.
	Last []string
}

var doneLines = []string{"data: [DONE]", "data:[DONE]"}

// FormOf is the form of an endpoint.
func FormOf(e endpoint.Endpoint) Form {
	f := Form{
		Stream: func(limit int) Stream { return NewEvents(limit) },
		Whole:  Summarize,
		Keep:   keeper(),
		Last:   doneLines,
	}
	switch e.Name {
	case endpoint.Chat.Name:
		f.Stream = func(limit int) Stream { return NewChat(limit) }
		f.Keep = keeper(chatBlobs...)
	case endpoint.Completions.Name:
		f.Stream = func(limit int) Stream { return NewCompletions(limit) }
	case endpoint.Responses.Name, endpoint.RetrieveResponse.Name, endpoint.CancelResponse.Name:
		f.Stream = func(limit int) Stream { return NewResponses(limit) }
		f.Whole = SummarizeResponse
		f.Keep = keeper(responseBlobs...)
		f.Last = lastLines("response.completed", "response.incomplete", "response.failed", "error")
	case endpoint.Speech.Name:
		f.Stream = func(limit int) Stream { return NewSpeech(limit) }
		f.Last = lastLines("speech.audio.done")
	case endpoint.Transcriptions.Name, endpoint.Translations.Name:
		f.Stream = func(limit int) Stream { return NewTranscript(limit) }
		f.Last = lastLines("transcript.text.done")
	case endpoint.ImageGenerations.Name, endpoint.ImageEdits.Name:
		f.Stream = func(limit int) Stream { return NewImages(limit) }
		f.Keep = keeper(imageBlobs...)
	case endpoint.Messages.Name, endpoint.CountTokens.Name:
		f.Stream = func(limit int) Stream { return NewMessages(limit) }
		f.Whole = SummarizeMessages
		f.Last = []string{"event: message_stop", "event:message_stop"}
	}
	return f
}

// lastLines are the lines that name an event of one of the given types, whether the
// provider names its events or not.
func lastLines(types ...string) []string {
	lines := append([]string(nil), doneLines...)
	for _, t := range types {
		lines = append(lines,
			"event: "+t, "event:"+t,
			`data: {"type":"`+t+`"`, `data:{"type":"`+t+`"`, `data: {"type": "`+t+`"`)
	}
	return lines
}
