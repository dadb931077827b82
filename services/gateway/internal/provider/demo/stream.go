package demo

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"time"
)

type usage struct {
	Prompt     int `json:"prompt_tokens"`
	Completion int `json:"completion_tokens"`
	Total      int `json:"total_tokens"`
}

func (a *answer) usage() *usage { return &usage{a.prompt, a.completion, a.prompt + a.completion} }

type completion struct {
	ID      string          `json:"id"`
	Object  string          `json:"object"`
	Created int64           `json:"created"`
	Model   string          `json:"model"`
	Choices []any           `json:"choices"`
	Usage   json.RawMessage `json:"usage,omitempty"`
}

type object map[string]any

func (a *answer) whole() []byte {
	return mustJSON(completion{
		a.id, "chat.completion", created, a.model,
		[]any{object{
			"index": 0, "finish_reason": a.finish, "logprobs": nil,
			"message": object{"role": "assistant", "content": strings.Join(a.words, ""), "refusal": nil},
		}},
		mustJSON(a.usage()),
	})
}

// chunks are the events of the answer as a stream, one for each word.
func (a *answer) chunks(withUsage bool) [][]byte {
	var usage json.RawMessage // absent unless it was asked for, else null until the end
	if withUsage {
		usage = json.RawMessage("null")
	}
	event := func(choices []any, usage json.RawMessage) []byte {
		c := completion{a.id, "chat.completion.chunk", created, a.model, choices, usage}
		return append(append([]byte("data: "), mustJSON(c)...), "\n\n"...)
	}
	choice := func(delta object, finish any) []any {
		return []any{object{"index": 0, "delta": delta, "logprobs": nil, "finish_reason": finish}}
	}
	chunks := [][]byte{event(choice(object{"role": "assistant", "content": "", "refusal": nil}, nil), usage)}
	for _, word := range a.words {
		chunks = append(chunks, event(choice(object{"content": word}, nil), usage))
	}
	chunks = append(chunks, event(choice(object{}, a.finish), usage))
	if withUsage {
		chunks = append(chunks, event([]any{}, mustJSON(a.usage())))
	}
	return append(chunks, []byte("data: [DONE]\n\n"))
}

// stream is a body that brings one chunk at a time.
type stream struct {
	ctx    context.Context // a body ends with its request
	chunks [][]byte
	begun  bool
	rest   []byte
	pace   time.Duration
}

// Read waits for the next chunk.
func (s *stream) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		if len(s.chunks) == 0 {
			return 0, io.EOF
		}
		if err := s.wait(); err != nil {
			return 0, err
		}
		s.rest, s.chunks = s.chunks[0], s.chunks[1:]
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

func (s *stream) wait() error {
	if !s.begun || s.pace <= 0 {
		s.begun = true
		return context.Cause(s.ctx)
	}
	timer := time.NewTimer(s.pace)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-s.ctx.Done():
		return context.Cause(s.ctx)
	}
}

// Close ends the stream.
func (s *stream) Close() error {
	s.chunks, s.rest = nil, nil
	return nil
}
