package proxy

import (
	"context"
	"errors"
	"io"
	"net/http"

	"loom.internal/pkg/event"
	"loom.internal/services/gateway/internal/capture"
	"loom.internal/services/gateway/internal/failure"
)

// pass copies bytes that are no text, such as speech, as they come. They are counted and
// not recorded. The trace is safe before the client learns that they have ended.
func (a *answer) pass(ctx context.Context) {
	x := a.x
	out := newClientWriter(x)
	h := x.w.Header()
	clientHeader(h, a.resp.Header)
	x.w.WriteHeader(a.resp.StatusCode)
	e := ending{outcome: event.Outcome_OUTCOME_COMPLETED, status: a.resp.StatusCode, summary: capture.Summary{}}
	err := out.write(nil) // the header goes out at once
	// The last byte of what has come is held back: it may be the last of all.
	buf, held := make([]byte, copyBuffer), 0
	for err == nil {
		n, readErr := a.up.Read(buf[held:])
		if n > 0 {
			if err = out.write(buf[:held+n-1]); err != nil {
				break
			}
			buf[0], held = buf[held+n-1], 1
		}
		if err = readErr; err == io.EOF { //nolint:errorlint // readers return it bare
			break
		}
	}
	switch {
	case err == io.EOF: //nolint:errorlint // as above
		if out.gone {
			e.outcome, e.class = event.Outcome_OUTCOME_CANCELED, failure.ClientGone
		}
	case errors.Is(err, errClientGone):
		e.outcome, e.class = event.Outcome_OUTCOME_CANCELED, failure.ClientGone
	default:
		e.outcome, e.class = event.Outcome_OUTCOME_FAILED, x.classify(ctx, err)
		switch e.class {
		case failure.ClientGone:
			e.outcome = event.Outcome_OUTCOME_CANCELED
		case failure.Upstream:
			e.class = failure.Cut
		}
	}
	a.note(e.class)
	if !x.end(ctx, e) || e.class != "" {
		panic(http.ErrAbortHandler) // never an end that looks clean
	}
	_ = out.write(buf[:held]) // a client that left cannot be told
}
