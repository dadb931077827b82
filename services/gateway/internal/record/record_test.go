package record_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"loom.internal/pkg/event"
	"loom.internal/pkg/testkit"
	"loom.internal/services/gateway/internal/record"
	"loom.internal/services/gateway/internal/spool"
)

// life is one process on a spool's directory.
type life struct {
	*record.Recorder
	spool *spool.Spool
	end   func()
}

func live(t *testing.T, dir string) *life {
	t.Helper()
	r := record.New(record.Options{
		Dir: dir, Durability: spool.Process, MaxBytes: 16 << 20, Policy: record.Required, Captured: 64 << 10,
		Log: testkit.Log(t), Metrics: prometheus.NewRegistry(),
	})
	s, err := r.Open()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	return &life{Recorder: r, spool: s, end: func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}}
}

// begun is what the gateway knows of a request before it calls the provider.
func begun() *event.TraceEvent {
	e := testkit.Event("acme", time.Now())
	return &event.TraceEvent{
		TraceId: uuid.Must(uuid.NewV7()).String(), TenantId: e.GetTenantId(), KeyId: e.GetKeyId(), Endpoint: e.GetEndpoint(),
		Route: e.GetRoute(), ModelRequested: e.GetModelRequested(), Provider: e.GetProvider(), ProviderKind: e.GetProviderKind(),
		StartedAtUs: e.GetStartedAtUs(), RequestBytes: 120, ContentMode: event.ContentMode_CONTENT_MODE_FULL,
	}
}

// decode reads an entry as a consumer would read the event in it.
func decode(t *testing.T, s *spool.Spool, e spool.Entry) *event.TraceEvent {
	t.Helper()
	place := event.Place{ProducerID: s.Producer(), Epoch: int64(e.Epoch), Seq: int64(e.Seq)}
	data, err := event.WithPlace(e.Payload, place)
	if err != nil {
		t.Fatal(err)
	}
	kind := "completed"
	if e.Interrupted {
		kind = "interrupted"
	}
	got, err := event.Decode(event.SubjectPrefix+"acme."+kind, data)
	if err != nil {
		t.Fatal(err)
	}
	if got.Place() != place {
		t.Errorf("place %+v, want %+v", got.Place(), place)
	}
	return got
}

// A process that dies between the beginning and the end of a request leaves a trace
// that says so, with what was known; one that ended is as it was.
func TestWhatDiedIsInterrupted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := live(t, dir)
	ended, died := begun(), begun()
	for _, e := range []*event.TraceEvent{ended, died} {
		if err := first.Begin(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	whole := testkit.Event("acme", ended.StartedAt(), func(e *event.TraceEvent) { e.TraceId, e.Producer = ended.GetTraceId(), nil })
	if err := first.End(t.Context(), whole); err != nil {
		t.Fatal(err)
	}
	first.end()

	second := live(t, dir)
	defer second.end()
	var entries []spool.Entry
	for after := (spool.Position{}); len(entries) < 2; after = entries[len(entries)-1].Position {
		next, err := second.spool.Next(t.Context(), after, 10, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, next...)
	}
	if got := decode(t, second.spool, entries[0]); got.GetTraceId() != ended.GetTraceId() || got.GetOutcome() != event.Outcome_OUTCOME_COMPLETED || len(got.GetUsageRaw()) == 0 {
		t.Errorf("the one that ended: %v", got)
	}
	got := decode(t, second.spool, entries[1])
	if got.GetTraceId() != died.GetTraceId() || got.GetOutcome() != event.Outcome_OUTCOME_INTERRUPTED || got.GetErrorClass() != "gateway_died" ||
		got.GetModelRequested() != died.GetModelRequested() || got.GetUsageSource() != event.UsageSource_USAGE_SOURCE_NONE {
		t.Errorf("the one that died: %v", got)
	}
}

func TestRefusesBeforeOpenAndInvalidEvents(t *testing.T) {
	t.Parallel()
	r := record.New(record.Options{Dir: t.TempDir(), Policy: record.Required, Log: testkit.Log(t), Metrics: prometheus.NewRegistry()})
	if err := r.Begin(t.Context(), begun()); err == nil {
		t.Error("a trace was begun before the spool was open")
	}
	l := live(t, t.TempDir())
	defer l.end()
	bad := begun()
	bad.TraceId = "7"
	if err := l.Begin(t.Context(), bad); err == nil {
		t.Error("a trace without an id was begun")
	}
	e := begun()
	if err := l.Begin(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if err := l.End(t.Context(), e); err == nil {
		t.Error("a trace without an outcome was ended")
	}
	e.Outcome, e.UsageSource, e.HttpStatus = event.Outcome_OUTCOME_COMPLETED, event.UsageSource_USAGE_SOURCE_NONE, 200
	if err := l.End(t.Context(), e); err != nil {
		t.Error(err)
	}
}

// A spool without room for an answer keeps what was set aside for: the trace and its
// request.
func TestFullSpoolDropsTheAnswerFirst(t *testing.T) {
	t.Parallel()
	l := live(t, t.TempDir())
	defer l.end()
	first, other := begun(), begun()
	first.RequestBytes, other.RequestBytes = 48<<10, 48<<10
	for _, e := range []*event.TraceEvent{first, other} {
		if err := l.Begin(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	for i, sizes := range [][2]int{{48 << 10, 16 << 20}, {16 << 20, 0}} {
		e := testkit.Event("acme", time.Now(), func(e *event.TraceEvent) {
			e.TraceId, e.Producer = []*event.TraceEvent{first, other}[i].GetTraceId(), nil
			e.RequestBody, e.ResponseBody = testkit.Body(sizes[0]), nil
			if sizes[1] > 0 {
				e.ResponseBody = testkit.Body(sizes[1])
			}
		})
		if err := l.End(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := l.spool.Next(t.Context(), spool.Position{}, 10, 1<<20)
	if err != nil || len(entries) != 2 {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	if got := decode(t, l.spool, entries[0]); len(got.GetRequestBody().GetCiphertext()) != 48<<10 || got.GetResponseBody() != nil {
		t.Errorf("without room for the answer: request %d bytes, response %v", len(got.GetRequestBody().GetCiphertext()), got.GetResponseBody() != nil)
	}
	if got := decode(t, l.spool, entries[1]); got.GetRequestBody() != nil || got.GetResponseBody() != nil {
		t.Error("without room for either: a body is kept")
	}
}

// A trace with all that its metadata may hold fits what is set aside for it, although its
// spool is full.
func TestLongestMetadataFitAFullSpool(t *testing.T) {
	t.Parallel()
	l := live(t, t.TempDir())
	defer l.end()
	first := begun()
	if err := l.Begin(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	for {
		if err := l.Begin(t.Context(), begun()); errors.Is(err, spool.ErrFull) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	long := strings.Repeat("x", event.MaxText)
	e := testkit.Event("acme", first.StartedAt(), func(e *event.TraceEvent) {
		e.TraceId, e.Producer, e.RequestBody, e.ResponseBody = first.GetTraceId(), nil, nil, nil
		e.FinishReasons, e.ToolNames = slices.Repeat([]string{long}, event.MaxList), slices.Repeat([]string{long}, event.MaxList)
		e.Attempts = slices.Repeat([]*event.Attempt{{Provider: long, Model: long, ErrorClass: long, Status: 500}}, 8)
		e.UsageRaw = []byte(`"` + strings.Repeat("1", event.MaxUsageRaw-2) + `"`)
		e.EndUser, e.SessionId, e.Route, e.ModelUpstream, e.ModelAnswered = long, long, long, long, long
		e.Tags = map[string]string{}
		for i := range event.MaxTags {
			e.Tags[strconv.Itoa(100+i)+long[:event.MaxTagKey-3]] = long[:event.MaxTagValue]
		}
	})
	if err := l.End(t.Context(), e); err != nil {
		t.Error(err)
	}
}
