package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/event"
)

// TestOperate follows an event that cannot be stored from the broker to loom verify,
// and back.
func TestOperate(t *testing.T) {
	t.Parallel()
	dir, addr := dataDir(t), freeAddr(t)
	in := up(t, dir, nil, "--nats-addr", addr, "--log-level", "error")
	env := []string{"LOOM_DATA_DIR=" + dir}
	key, _ := in.tenant(t, "acme")
	for range 5 {
		if got := in.ask(t, key, "loom-demo", "hello"); got != http.StatusOK {
			t.Fatalf("status %d", got)
		}
	}
	var report struct {
		State     string
		Producers []struct{ Recorded, Highest, Watermark int64 }
		Days      []struct{ Traces, Facts int64 }
	}
	eventually(t, 20*time.Second, func() error {
		if err := json.Unmarshal([]byte(in.cli(t, "verify", "--json", "--days", "2")), &report); err != nil {
			return err
		}
		if report.State != "complete" || len(report.Producers) != 1 || report.Producers[0].Recorded != 5 {
			return fmt.Errorf("got %+v", report)
		}
		return nil
	})
	if n := report.Days[0].Traces + report.Days[1].Traces; n != 5 || report.Days[0].Facts+report.Days[1].Facts != 5 {
		t.Errorf("got %+v, want 5 traces and facts", report)
	}
	out := in.cli(t, "verify")
	for _, want := range []string{"GATEWAY", "WATERMARK", "TRACES", "recorder", "analytics", "Complete: nothing is missing"} {
		if !strings.Contains(out, want) {
			t.Errorf("want %q in\n%s", want, out)
		}
	}

	publishJunk(t, addr)
	var dead []struct {
		ID       int64
		Consumer string
		Data     string
		Producer *struct{ Seq int64 }
	}
	list := func(want int) func() error {
		return func() error {
			if err := json.Unmarshal([]byte(in.cli(t, "dead", "list", "--json")), &dead); err != nil {
				return err
			}
			if len(dead) != want {
				return fmt.Errorf("%d dead events, want %d", len(dead), want)
			}
			return nil
		}
	}
	eventually(t, 10*time.Second, list(2)) // one of each consumer
	r := loom(t, env, "verify", "--days", "1")
	if r.code != 1 || !strings.Contains(r.stdout, "MISSING:\n  - 2 events were set aside") || !strings.Contains(r.stdout, "loom dead list") || !strings.Contains(r.stderr, "not everything is there") {
		t.Errorf("verify: exit code %d, want 1:\n%s%s", r.code, r.stdout, r.stderr)
	}
	if out := in.cli(t, "dead", "list", "--consumer", "recorder"); !strings.Contains(out, "loom.trace.v1.acme.completed") || strings.Contains(out, "analytics") {
		t.Errorf("list: got\n%s", out)
	}
	if out := in.cli(t, "dead", "show", fmt.Sprint(dead[0].ID)); !strings.Contains(out, "anVuaw==") || !strings.Contains(out, "gw-junk/1, number 1") {
		t.Errorf("show: got\n%s", out)
	}
	// Junk dies again, under a new id and at the same place.
	first := dead[1].ID
	if out := in.cli(t, "dead", "retry", "--all"); strings.Count(out, "is on the stream again") != 2 || !strings.Contains(out, "2 sent again.") {
		t.Errorf("retry: got\n%s", out)
	}
	eventually(t, 10*time.Second, list(4)) // both sent to both
	for _, e := range dead {
		if e.ID <= first+1 || e.Producer == nil || e.Producer.Seq != 1 {
			t.Errorf("after the retry: %+v", e)
		}
	}
	r = loom(t, env, "dead", "retry", "1", fmt.Sprint(dead[0].ID))
	if r.code != 1 || !strings.Contains(r.stderr, "event 1: the dashboard answered 404") || strings.Count(r.stdout, "is on the stream again") != 1 {
		t.Errorf("retry: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}

	// And what is worth nothing goes.
	eventually(t, 10*time.Second, list(5))
	discard := []string{"dead", "discard"}
	for _, e := range dead {
		discard = append(discard, fmt.Sprint(e.ID))
	}
	if out := in.cli(t, discard...); strings.Count(out, "is gone.") != 5 {
		t.Errorf("discard: got\n%s", out)
	}
	if out := in.cli(t, "verify", "--days", "1"); !strings.Contains(out, "Complete: nothing is missing") {
		t.Errorf("verify after all is discarded: got\n%s", out)
	}
	r = loom(t, env, discard[:3]...)
	if r.code != 1 || !strings.Contains(r.stderr, "the dashboard answered 404") {
		t.Errorf("discard again: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	r = loom(t, env, "verify", "acknowledge", "gw-junk", "1", "1-2", "--reason", "a test")
	if r.code != 1 || !strings.Contains(r.stderr, "none of these numbers is missing") {
		t.Errorf("acknowledge what is there: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	for _, given := range [][]string{{"gw-junk", "1", "2-1", "--reason", "x"}, {"gw-junk", "1", "1"}, {"gw-junk", "x", "1", "--reason", "x"}} {
		if r := loom(t, env, append([]string{"verify", "acknowledge"}, given...)...); r.code != 2 {
			t.Errorf("acknowledge %v: exit code %d, want 2\n%s", given, r.code, r.stderr)
		}
	}
}

// publishJunk puts what no consumer can read on the stream.
func publishJunk(t *testing.T, addr string) {
	t.Helper()
	nc, err := nats.Connect("nats://" + addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	msg := &nats.Msg{Subject: event.SubjectPrefix + "acme.completed", Data: []byte("junk"), Header: nats.Header{
		event.HeaderProducer: {"gw-junk/1"}, event.HeaderSeq: {"1"},
	}}
	if _, err := js.PublishMsg(t.Context(), msg, jetstream.WithExpectStream(bus.StreamTrace)); err != nil {
		t.Fatal(err)
	}
}
