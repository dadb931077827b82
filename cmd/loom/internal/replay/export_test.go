package replay_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/testing/protocmp"

	"loom.internal/cmd/loom/internal/replay"
	"loom.internal/pkg/event"
	"loom.internal/pkg/testkit"
)

func (r *rig) export(t *testing.T, scope replay.Scope) (replay.ExportReport, []replay.Line) {
	t.Helper()
	var out bytes.Buffer
	report, err := replay.Export(t.Context(), replay.Config{JS: r.js, Log: testkit.Log(t)}, scope, &out)
	if err != nil {
		t.Fatal(err)
	}
	var lines []replay.Line
	text := bufio.NewScanner(&out)
	text.Buffer(nil, 64<<20)
	for text.Scan() {
		var l replay.Line
		if err := json.Unmarshal(text.Bytes(), &l); err != nil {
			t.Fatalf("%s: %v", text.Text(), err)
		}
		lines = append(lines, l)
	}
	if err := text.Err(); err != nil {
		t.Fatal(err)
	}
	return report, lines
}

// Every event comes out as it went in, the large bodies within it.
func TestExportRoundTrip(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	sent := mixed(1500, 21)
	r.publish(t, sent...)
	large := testkit.Event("acme", time.Now(), func(e *event.TraceEvent) { e.ResponseBody = testkit.Body(900 << 10) })
	whole := large.GetResponseBody().GetCiphertext()
	testkit.Detach(t, r.js.Conn(), large)
	testkit.Publish(t, r.js, large)
	testkit.PublishRaw(t, r.js, event.SubjectPrefix+"acme.completed", []byte("junk"))
	sent = append(sent, large)

	report, lines := r.export(t, replay.Scope{})
	if report.Read != 1502 || report.Written != 1502 || report.Unread != 1 || report.LastSeq != 1502 {
		t.Errorf("got %+v", report)
	}
	if len(lines) != 1502 {
		t.Fatalf("%d lines, want 1502", len(lines))
	}
	junk := lines[1501]
	if string(junk.Data) != "junk" || junk.Error == "" || junk.Event != nil {
		t.Errorf("what cannot be read: got %+v", junk)
	}
	for i, l := range lines[:1501] {
		got := new(event.TraceEvent)
		if err := protojson.Unmarshal(l.Event, got); err != nil {
			t.Fatal(err)
		}
		if l.Seq != uint64(i+1) || l.Subject != event.Subject(sent[i]) || time.Since(l.Time) > time.Hour {
			t.Fatalf("line %d: %d %s %s", i, l.Seq, l.Subject, l.Time)
		}
		want := sent[i]
		if want == large {
			if !bytes.Equal(got.GetResponseBody().GetCiphertext(), whole) {
				t.Error("the large body is not the one that was sealed")
			}
			got.ResponseBody.Detach()
			got.RequestBody.Detach() // as testkit.Detach did to both
		}
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Fatalf("event %d (-sent +exported):\n%s", i, diff)
		}
	}
}

func TestExportScope(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	sent := mixed(200, 22)
	r.publish(t, sent...)
	testkit.PublishRaw(t, r.js, event.SubjectPrefix+"bolt.completed", []byte("junk"))
	yesterday := time.Now().UTC().Truncate(oneDay).Add(-oneDay)
	for name, scope := range map[string]replay.Scope{
		"tenant": {Tenant: "bolt"}, "day": {From: yesterday, To: yesterday}, "both": {Tenant: "acme", From: yesterday}, "nobody": {Tenant: "nobody"},
	} {
		want := 0
		for _, e := range sent {
			if scope.Holds(e.GetTenantId(), e.StartedAt()) {
				want++
			}
		}
		if name == "tenant" {
			want++ // what cannot be read came on its subject
		}
		if report, lines := r.export(t, scope); len(lines) != want || report.Written != int64(want) || report.Read != 201 {
			t.Errorf("%s: %d lines, %+v, want %d", name, len(lines), report, want)
		}
	}
}

func TestExportOfNothing(t *testing.T) {
	t.Parallel()
	if report, lines := newRig(t).export(t, replay.Scope{}); len(lines) != 0 || report.Read != 0 {
		t.Errorf("got %+v", report)
	}
}
