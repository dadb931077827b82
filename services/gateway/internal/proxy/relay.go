package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"loom.internal/pkg/event"
	"loom.internal/services/gateway/internal/capture"
	"loom.internal/services/gateway/internal/endpoint"
	"loom.internal/services/gateway/internal/failure"
	"loom.internal/services/gateway/internal/openai"
	"loom.internal/services/gateway/internal/sse"
)

const (
	copyBuffer = 32 << 10
	// afterDone is how long a provider may take to end its stream after the end
	// marker. Most end at once, and then the connection can be used again.
	afterDone = 250 * time.Millisecond
)

// relay copies a stream to the client: its bytes as they come, its last event only once
// the trace is safe. A copy of every event goes to what records the answer.
type relay struct {
	clientWriter
	a    *answer
	hide bool // usage was asked for by the gateway, not by the client

	events sse.Events
	record capture.Stream
	gaps   gaps
	ttft   *time.Duration
	out    []byte // of the piece in hand, to be sent
	held   int    // bytes at the end of the event begun that are held back
	done   []byte // the last event and what came with it, held back until the trace is safe
	isDone bool
	known  bool // who keeps the response is noted down
}

func newRelay(a *answer, hide bool) *relay {
	return &relay{clientWriter: newClientWriter(a.x), a: a, hide: hide, record: a.x.form.Stream(a.x.p.opt.CaptureLimit)}
}

func (s *relay) run(ctx context.Context) {
	h := s.x.w.Header()
	clientHeader(h, s.a.resp.Header)
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Accel-Buffering", "no")
	s.x.w.WriteHeader(s.a.resp.StatusCode)
	if err := s.write(nil); err != nil { // the header goes out at once
		s.broken(ctx, err)
		return
	}
	buf := make([]byte, copyBuffer)
	for {
		n, readErr := s.a.up.Read(buf)
		if n > 0 {
			if err := s.piece(buf[:n]); err != nil {
				s.broken(ctx, err)
				return
			}
			if s.isDone {
				s.finish(ctx, buf)
				return
			}
		}
		switch {
		case readErr == io.EOF: //nolint:errorlint // readers return it bare
			s.finish(ctx, nil)
			return
		case readErr != nil:
			s.broken(ctx, readErr)
			return
		}
	}
}

// piece takes what one read brought: it sends what may go and keeps the rest.
func (s *relay) piece(p []byte) error {
	now := time.Now()
	s.out = s.out[:0]
	if s.hide {
		return s.pieceHiding(p, now)
	}
	// Bytes go out as they came, unless they are, or may become, the end marker.
	begun := s.events.Rest()
	sent := len(begun) - s.held // of the event begun
	s.out = append(append(s.out, begun[sent:]...), p...)
	end := -sent // in s.out: of the last whole event before the marker
	err := s.events.Feed(p, func(e sse.Event) error {
		switch {
		case s.isDone: // nothing follows the last event
		case s.event(e, now):
			s.isDone = true
		default:
			end += len(e.Raw)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if s.isDone {
		end = max(end, 0)
		s.done, s.held = bytes.Clone(s.out[end:]), 0
		return s.write(s.out[:end])
	}
	s.held = min(sse.MayBecome(s.events.Rest(), s.x.form.Last), len(s.out))
	return s.write(s.out[:len(s.out)-s.held])
}

// pieceHiding sends whole events only, without the usage nobody asked for.
func (s *relay) pieceHiding(p []byte, now time.Time) error {
	err := s.events.Feed(p, func(e sse.Event) error {
		switch {
		case s.isDone:
			s.done = append(s.done, e.Raw...)
		case s.event(e, now):
			s.isDone = true
			s.done = append(s.done, e.Raw...)
		default:
			s.out = append(s.out, openai.HideUsage(e)...)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(s.out) == 0 {
		return nil
	}
	return s.write(s.out)
}

// event takes note of a whole event, and reports whether the stream ends with it.
func (s *relay) event(e sse.Event, now time.Time) (last bool) {
	if len(e.Data) == 0 {
		return false
	}
	token, last := s.record.Event(e)
	if s.x.op == endpoint.Responses && !s.known {
		id := s.record.Summary().ID
		s.known = id != ""
		s.x.remember(id, false)
	}
	if !e.Done() {
		s.x.trace.Chunks++
		s.gaps.add(now)
	}
	if token && s.ttft == nil {
		ttft := now.Sub(s.x.started)
		s.ttft = &ttft
	}
	return last
}

// finish ends a stream that the provider has ended, by its marker or by its end. buf
// is nil when there is nothing more to read.
func (s *relay) finish(ctx context.Context, buf []byte) {
	e := s.ending(event.Outcome_OUTCOME_COMPLETED, "")
	switch {
	case e.summary.Failed:
		e.outcome, e.class = event.Outcome_OUTCOME_FAILED, failure.InsideAnswer
	case !s.isDone && !s.record.Ended():
		e.outcome, e.class = event.Outcome_OUTCOME_FAILED, failure.Truncated
	}
	if s.gone = s.gone || s.x.target.Finish && clientGone(s.x.r.Context()); s.gone { //nolint:contextcheck // of the client, not of the call
		e.outcome, e.class = event.Outcome_OUTCOME_CANCELED, failure.ClientGone
		s.end(ctx, e)
		panic(http.ErrAbortHandler)
	}
	if !s.end(ctx, e) {
		s.abort(openai.Internal())
	}
	if !s.isDone {
		if rest := s.events.Rest(); s.hide {
			_ = s.write(rest)
		} else {
			_ = s.write(rest[len(rest)-s.held:])
		}
		return
	}
	if s.write(s.done) != nil {
		return
	}
	s.a.up.hurry(afterDone)
	for deadline := time.Now().Add(afterDone); buf != nil && time.Now().Before(deadline); {
		n, err := s.a.up.Read(buf)
		if n > 0 && s.write(buf[:n]) != nil {
			return
		}
		if err != nil {
			return // by its own end or by ours: the marker has been sent
		}
	}
}

// broken ends a stream that did not come to its end: the client is gone, or the
// provider, or the gateway stops. The client is never shown an end that looks clean.
func (s *relay) broken(ctx context.Context, err error) {
	class := s.x.classify(ctx, err)
	switch {
	case errors.Is(err, errClientGone):
		class = failure.ClientGone
	case errors.Is(err, sse.ErrEventTooLarge):
		class = failure.TooLarge
	case class == failure.Upstream:
		class = failure.Cut
	}
	if class == failure.ClientGone {
		s.end(ctx, s.ending(event.Outcome_OUTCOME_CANCELED, class))
		panic(http.ErrAbortHandler)
	}
	s.end(ctx, s.ending(event.Outcome_OUTCOME_FAILED, class))
	s.abort(faultOf(class))
}

// abort tells the client by an error event and breaks the connection.
func (s *relay) abort(fault *openai.Error) {
	var b []byte
	if !s.hide && len(s.events.Rest()) > s.held {
		b = append(b, "\n\n"...) // end the event that was begun
	}
	_ = s.write(append(b, faultEvent(s.x.op.Dialect, fault)...)) // a client that left cannot be told
	panic(http.ErrAbortHandler)
}

func (s *relay) ending(outcome event.Outcome, class string) ending {
	response, truncated := s.record.JSON()
	e := ending{
		outcome: outcome, status: s.a.resp.StatusCode, class: class,
		response: response, truncated: truncated, summary: s.record.Summary(), ttft: s.ttft,
	}
	s.a.translated(&e)
	return e
}

func (s *relay) end(ctx context.Context, e ending) bool {
	s.a.note(e.class)
	if s.known && !usable(e.summary.Usage) {
		s.x.remember(e.summary.ID, true)
	}
	if p50, p99, ok := s.gaps.quantiles(); ok {
		s.x.trace.GapP50Us, s.x.trace.GapP99Us = &p50, &p99
	}
	return s.x.end(ctx, e)
}
