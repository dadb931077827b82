package script

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"sync"
	"time"
)

const maxRequest = 4 << 20

// Upstream is the provider. It keeps in mind which requests came to it.
type Upstream struct {
	canary string

	mu      sync.Mutex
	reached map[uint64]int
}

// NewUpstream makes a provider whose answers hold the canary.
func NewUpstream(canary string) *Upstream {
	return &Upstream{canary: canary, reached: make(map[uint64]int)}
}

// Reached says how often the request of this seed has come.
func (u *Upstream) Reached(seed uint64) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.reached[seed]
}

// ServeHTTP plays the plan of the request.
func (u *Upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		return // the gateway went away while sending
	}
	var req request
	var seed uint64
	if err = json.Unmarshal(body, &req); err == nil && len(req.Messages) == 1 {
		_, err = fmt.Sscanf(req.Messages[0].Content, "seed=%d ", &seed)
	}
	if err != nil || seed == 0 {
		http.Error(w, `{"error":{"message":"no plan in this request"}}`, http.StatusBadRequest)
		return
	}
	u.mu.Lock()
	u.reached[seed]++
	u.mu.Unlock()
	p := New(seed, u.canary)
	switch {
	case p.Kind == Refused:
		fault(w, http.StatusTooManyRequests, "rate_limit_exceeded")
	case p.Kind == Broken, !p.Stream && (p.Kind == Garbage || p.Kind == Complaint):
		fault(w, http.StatusInternalServerError, "server_error")
	case p.Kind == Page:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(http.StatusBadGateway)
		_, _ = io.WriteString(w, "<html><body><h1>502 Bad Gateway</h1></body></html>")
	case p.Stream:
		p.stream(r.Context(), w, req.StreamOptions["include_usage"])
	default:
		p.plain(r.Context(), w)
	}
}

func fault(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"error":{"message":"scripted","type":%q,"param":null,"code":%q}}`, code, code)
}

func (p *Plan) usage() any {
	if p.Kind == Uncounted {
		return []any{nil, "plenty", map[string]any{"prompt_tokens": "many", "completion_tokens": -1}}[p.Usage.Prompt%3]
	}
	return map[string]any{
		"prompt_tokens": p.Usage.Prompt, "completion_tokens": p.Usage.Completion, "total_tokens": p.Usage.Prompt + p.Usage.Completion,
		"prompt_tokens_details": map[string]int64{"cached_tokens": p.Usage.Cached},
	}
}

func (p *Plan) plain(ctx context.Context, w http.ResponseWriter) {
	if !pause(ctx, p.Pause) {
		return
	}
	b, err := json.Marshal(map[string]any{
		"id": p.id(), "object": "chat.completion", "created": 1, "model": p.Model, "usage": p.usage(),
		"choices": []any{map[string]any{
			"index": 0, "finish_reason": "stop", "message": message{Role: "assistant", Content: p.Text()},
		}},
	})
	if err != nil {
		panic(err) // strings and numbers always encode
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", fmt.Sprint(len(b)))
	if p.Kind == Cut {
		_, _ = w.Write(b[:len(b)/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	_, _ = w.Write(b)
}

func (p *Plan) id() string { return fmt.Sprintf("chatcmpl-%d", p.Seed) }

func (p *Plan) stream(ctx context.Context, w http.ResponseWriter, usage bool) {
	w.Header().Set("Content-Type", "text/event-stream")
	flush := http.NewResponseController(w)
	send := func(choices []any, more map[string]any) {
		chunk := map[string]any{"id": p.id(), "object": "chat.completion.chunk", "created": 1, "model": p.Model, "choices": choices}
		maps.Copy(chunk, more)
		b, err := json.Marshal(chunk)
		if err != nil {
			panic(err) // strings and numbers always encode
		}
		_, _ = fmt.Fprintf(w, "data: %s\n\n", b)
		_ = flush.Flush() // a gateway that left cannot be told
	}
	for i, word := range p.Words {
		if i == len(p.Words)/2 && p.misbehave(w) {
			return
		}
		send([]any{map[string]any{"index": 0, "delta": map[string]string{"content": word}, "finish_reason": nil}}, nil)
		if len(p.Words) < 100 && !pause(ctx, p.Pause) {
			return
		}
	}
	send([]any{map[string]any{"index": 0, "delta": map[string]string{}, "finish_reason": "stop"}}, nil)
	if usage {
		send([]any{}, map[string]any{"usage": p.usage()})
	}
	if p.Kind != Endless {
		_, _ = io.WriteString(w, "data: [DONE]\n\n")
	}
}

// misbehave does in the middle of a stream what its plan says, and reports whether that
// was the end of it.
func (p *Plan) misbehave(w http.ResponseWriter) (ended bool) {
	switch p.Kind {
	case Cut:
		panic(http.ErrAbortHandler)
	case Garbage:
		_, _ = io.WriteString(w, "data: {\"choices\": [\n\n: \x00\xff\n\nevent\n\ndata: }{\n\nda")
		return true
	case Complaint:
		_, _ = io.WriteString(w, "data: {\"error\": {\"message\": \"scripted\", \"type\": \"server_error\"}}\n\ndata: [DONE]\n\n")
		return true
	default:
		return false
	}
}

// pause waits; false if the gateway has left meanwhile.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
