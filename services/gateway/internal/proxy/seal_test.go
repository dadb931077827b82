package proxy

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"loom.internal/pkg/envelope"
	"loom.internal/pkg/event"
	"loom.internal/services/gateway/internal/directory"
)

// kept is a recorder that keeps what ended.
type kept struct{ ended []*event.TraceEvent }

func (*kept) Begin(context.Context, *event.TraceEvent) error { return nil }

func (k *kept) End(_ context.Context, e *event.TraceEvent) error {
	k.ended = append(k.ended, e)
	return nil
}

// A body that cannot be sealed is left out of its trace, said to be missing, and holds up
// nothing: not the other body and not the answer.
func TestBodyThatCannotBeSealed(t *testing.T) {
	t.Parallel()
	const canary = "canary-of-a-body "
	huge := []byte(strings.Repeat(canary, envelope.MaxPlain/len(canary)+1))
	for name, row := range map[string]struct{ request, response []byte }{
		"request":  {huge, []byte("small")},
		"response": {[]byte("small"), huge},
		"both":     {huge, huge},
		"neither":  {[]byte("small"), []byte("small")},
	} {
		var log strings.Builder
		recorder := new(kept)
		p := New(Options{
			Recorder: recorder, Log: slog.New(slog.NewTextHandler(&log, nil)), Metrics: prometheus.NewRegistry(),
			CaptureLimit: len(huge), // no gateway has such a limit
		})
		key, err := envelope.NewDataKey("acme", 1).Trace("t1")
		if err != nil {
			t.Fatal(err)
		}
		x := &exchange{p: p, who: new(directory.Caller), started: time.Now(), key: key, trace: &event.TraceEvent{TraceId: "t1"}}
		x.sealed = x.sealAside(func() []byte { return row.request })
		if !x.end(t.Context(), ending{outcome: event.Outcome_OUTCOME_COMPLETED, status: 200, response: row.response}) {
			t.Errorf("%s: the answer is withheld", name)
		}
		if len(recorder.ended) != 1 {
			t.Fatalf("%s: %d traces", name, len(recorder.ended))
		}
		e := recorder.ended[0]
		if got, want := e.GetRequestBody() != nil, len(row.request) < len(huge); got != want {
			t.Errorf("%s: request recorded: got %v, want %v", name, got, want)
		}
		if got, want := e.GetResponseBody() != nil, len(row.response) < len(huge); got != want {
			t.Errorf("%s: response recorded: got %v, want %v", name, got, want)
		}
		if got, want := strings.Contains(log.String(), "level=ERROR msg=\"body not sealed, so not recorded\" trace_id=t1"), name != "neither"; got != want {
			t.Errorf("%s: said so: got %v, want %v: %s", name, got, want, log.String())
		}
		if strings.Contains(log.String(), canary) {
			t.Errorf("%s: the body is in the log", name)
		}
	}
}
