package dashboard_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/event"
	"loom.internal/pkg/testkit"
)

type deadEvent struct {
	ID                              int64
	Consumer, Subject, Reason, Data string
	MsgID                           string `json:"msg_id"`
	Size                            int64
	Producer                        *struct {
		ID         string
		Epoch, Seq int64
	}
}

type deadPage struct {
	Items      []deadEvent
	NextCursor *string `json:"next_cursor"`
}

func TestDeadEventsArePaged(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var want []int64
	for i := range 5 {
		want = append(want, r.died(t, []string{"recorder", "analytics"}[i%2], testkit.Event("acme", time.Now())))
	}
	slices.Reverse(want)
	var got []int64
	for path := "/api/v1/admin/dead?limit=2"; path != ""; {
		var page deadPage
		r.get(t, r.admin, path, &page)
		for _, e := range page.Items {
			got = append(got, e.ID)
			if e.Data != "" || e.Size == 0 || e.Reason != "of a test" || e.Producer == nil || e.Producer.ID != "gw-test" {
				t.Errorf("listed %+v", e)
			}
		}
		path = ""
		if page.NextCursor != nil {
			path = "/api/v1/admin/dead?limit=2&cursor=" + *page.NextCursor
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	var page deadPage
	r.get(t, r.admin, "/api/v1/admin/dead?consumer=analytics", &page)
	if len(page.Items) != 2 {
		t.Errorf("of analytics: got %+v, want 2", page.Items)
	}
	for _, query := range []string{"cursor=x", "cursor=0", "limit=201", "consumer=nobody", "after=1"} {
		r.fails(t, call{method: http.MethodGet, path: "/api/v1/admin/dead?" + query, key: r.admin}, http.StatusBadRequest, "invalid_parameter")
	}
	for _, id := range []string{"0", "x", "99999999999999999999", "999"} {
		r.fails(t, call{method: http.MethodGet, path: "/api/v1/admin/dead/" + id, key: r.admin}, http.StatusNotFound, "not_found")
		r.fails(t, call{method: http.MethodPost, path: "/api/v1/admin/dead/" + id + "/retry", key: r.admin}, http.StatusNotFound, "not_found")
	}
}

// What is sent again is what came, at its place in the sequence, and its row is gone.
func TestDeadEventIsRetried(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := testkit.Event("acme", time.Now())
	id := r.died(t, "recorder", e)
	junk := r.diedAs(t, "analytics", event.Dead{
		StreamSeq: 7, Subject: event.Subject(e), MsgID: "m", Data: []byte{0xff}, Place: event.Place{ProducerID: "gw-j", Epoch: 3, Seq: 9},
	})
	nowhere := r.diedAs(t, "analytics", event.Dead{StreamSeq: 8, Subject: event.Subject(e), Data: []byte{}})

	var full struct {
		deadEvent
		Data []byte
	}
	r.get(t, r.admin, fmt.Sprintf("/api/v1/admin/dead/%d", id), &full)
	want, err := event.Marshal(e)
	if err != nil || !bytes.Equal(full.Data, want) || full.Size != int64(len(want)) {
		t.Errorf("shown: %d bytes, %v, want %d", len(full.Data), err, len(want))
	}
	for i, c := range []struct {
		id                       int64
		data                     []byte
		msgID, producer, seq, ce string
	}{
		{id, want, e.GetTraceId(), "gw-test/1", strconv.FormatUint(e.GetProducer().GetSeq(), 10), e.GetTraceId()},
		{junk, []byte{0xff}, "m", "gw-j/3", "9", ""},
		{nowhere, []byte{}, "", "", "", ""},
	} {
		var out struct {
			ID    int64
			Seq   uint64 `json:"stream_seq"`
			MsgID string `json:"msg_id"`
		}
		retry := call{method: http.MethodPost, path: fmt.Sprintf("/api/v1/admin/dead/%d/retry", c.id), key: r.admin}
		r.ok(t, retry, &out)
		if out.ID != c.id || out.Seq != uint64(i+1) || out.MsgID != fmt.Sprintf("%s.retry-%d", c.msgID, c.id) {
			t.Errorf("answer: got %+v", out)
		}
		stream, err := r.js.Stream(t.Context(), bus.StreamTrace)
		if err != nil {
			t.Fatal(err)
		}
		msg, err := stream.GetMsg(t.Context(), out.Seq)
		if err != nil {
			t.Fatal(err)
		}
		if msg.Subject != event.Subject(e) || !bytes.Equal(msg.Data, c.data) || msg.Header.Get(nats.MsgIdHdr) != out.MsgID ||
			msg.Header.Get(event.HeaderProducer) != c.producer || msg.Header.Get(event.HeaderSeq) != c.seq || msg.Header.Get(event.HeaderCEID) != c.ce {
			t.Errorf("published: got %s %d bytes %v", msg.Subject, len(msg.Data), msg.Header)
		}
		r.fails(t, retry, http.StatusNotFound, "not_found")
	}
	if n := r.count(t, `SELECT count(*) FROM dead_events`); n != 0 {
		t.Errorf("%d rows left", n)
	}
	if n := r.count(t, `SELECT count(*) FROM access_log WHERE action = 'dead.retry' AND tenant_id = 'acme' AND actor LIKE 'adm:%'`); n != 3 {
		t.Errorf("%d lines in the access log, want 3", n)
	}
}

// An event whose body is in the object store comes again as it was: without it.
func TestDeadEventWithADetachedBodyIsRetried(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := testkit.Event("acme", time.Now(), func(e *event.TraceEvent) { e.RequestBody = testkit.Body(1 << 20) })
	testkit.Detach(t, r.nats, e)
	id := r.died(t, "recorder", e)
	var out struct {
		Seq uint64 `json:"stream_seq"`
	}
	r.ok(t, call{method: http.MethodPost, path: fmt.Sprintf("/api/v1/admin/dead/%d/retry", id), key: r.admin}, &out)
	stream, err := r.js.Stream(t.Context(), bus.StreamTrace)
	if err != nil {
		t.Fatal(err)
	}
	msg, err := stream.GetMsg(t.Context(), out.Seq)
	if err != nil {
		t.Fatal(err)
	}
	want, err := event.Marshal(e)
	if err != nil || !bytes.Equal(msg.Data, want) {
		t.Errorf("published: %d bytes that are not the event, %v", len(msg.Data), err)
	}
	if got, err := event.Decode(msg.Subject, msg.Data); err != nil || got.DetachedBytes() == 0 || msg.Header.Get(event.HeaderCEID) != e.GetTraceId() {
		t.Errorf("a consumer reads %v, %v with headers %v", got.DetachedBytes(), err, msg.Header)
	}
}

// What cannot be sent again stays, and leaves no line that says it was.
func TestDeadEventStays(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	foreign := r.diedAs(t, "recorder", event.Dead{StreamSeq: 1, Subject: "loom.trace.v1.a.b.c", Data: []byte{1}})
	good := r.died(t, "recorder", testkit.Event("acme", time.Now()))
	retry := func(id int64) call {
		return call{method: http.MethodPost, path: fmt.Sprintf("/api/v1/admin/dead/%d/retry", id), key: r.admin}
	}
	r.fails(t, retry(foreign), http.StatusConflict, "not_retryable")
	r.broker.Stop()
	testkit.Await(t, "the connection lost", func(context.Context) bool { return bus.Ready(r.nats) != nil })
	r.fails(t, retry(good), http.StatusServiceUnavailable, "unavailable")
	if n := r.count(t, `SELECT count(*) FROM dead_events`); n != 2 {
		t.Errorf("%d rows left, want 2", n)
	}
	if n := r.count(t, `SELECT count(*) FROM access_log WHERE action = 'dead.retry'`); n != 0 {
		t.Errorf("%d lines in the access log, want none", n)
	}
}

// What is discarded is gone, and the access log says what it was.
func TestDeadEventIsDiscarded(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := testkit.Event("acme", time.Now())
	good := r.died(t, "recorder", e)
	foreign := r.diedAs(t, "analytics", event.Dead{StreamSeq: 1, Subject: "loom.trace.v1.a.b.c", Data: []byte{1}})
	kept := r.died(t, "recorder", testkit.Event("acme", time.Now()))
	for _, id := range []int64{good, foreign} {
		discard := call{method: http.MethodDelete, path: fmt.Sprintf("/api/v1/admin/dead/%d", id), key: r.admin}
		r.ok(t, discard, nil)
		r.fails(t, discard, http.StatusNotFound, "not_found")
	}
	if n := r.count(t, `SELECT count(*) FROM dead_events WHERE id = $1`, kept); n != 1 || r.count(t, `SELECT count(*) FROM dead_events`) != 1 {
		t.Error("another event than those discarded is gone, or one of them is not")
	}
	if n := r.count(t, `SELECT count(*) FROM access_log WHERE action = 'dead.discard' AND actor LIKE 'adm:%' AND tenant_id = 'acme'
		AND detail->>'msg_id' = $1 AND detail->>'reason' = 'of a test'`, e.GetTraceId()); n != 1 {
		t.Errorf("%d lines of it in the access log, want 1", n)
	}
	if n := r.count(t, `SELECT count(*) FROM access_log WHERE action = 'dead.discard' AND tenant_id = ''`); n != 1 {
		t.Errorf("%d lines of the one of no tenant, want 1", n)
	}
}
