package dashboard_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"loom.internal/pkg/bus"
)

// gap is the request that acknowledges numbers of a gateway's first epoch.
func gap(producer string, from, to int64) map[string]any {
	return map[string]any{"producer_id": producer, "epoch": 1, "from": from, "to": to, "reason": "its disk died"}
}

// What an operator has acknowledged is missing no more; the rest is, and what comes all
// the same is recorded.
func TestGapIsAcknowledged(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.produced(t, "gw-gap", "{[1,3),[5,7),[9,10)}", time.Now())
	r.produced(t, "gw-whole", "{[1,10)}", time.Now())
	r.clock.forward(time.Hour)
	acknowledge := func(body map[string]any) call {
		return call{method: http.MethodPost, path: "/api/v1/admin/gaps", key: r.admin, body: body}
	}
	var out struct{ From, To, Numbers int64 }
	r.ok(t, acknowledge(gap("gw-gap", 4, 7)), &out)
	if out.From != 4 || out.To != 7 || out.Numbers != 2 {
		t.Errorf("answer: got %+v, want the 2 that are missing of 4 to 7", out)
	}
	got := r.verify(t)
	if p := got.Producers[0]; got.State != "missing" || p.Missing != 2 || p.Acknowledged != 2 || fmt.Sprint(p.Gaps) != "[{3 3} {8 8}]" {
		t.Errorf("with half of it acknowledged: got %+v", got)
	}
	for _, body := range []map[string]any{gap("gw-gap", 4, 7), gap("gw-gap", 10, 99), gap("gw-whole", 1, 99), gap("gw-none", 1, 9)} {
		r.fails(t, acknowledge(body), http.StatusConflict, "not_missing")
	}
	r.ok(t, acknowledge(gap("gw-gap", 1, 99)), &out)
	got = r.verify(t)
	if p := got.Producers[0]; got.State != "complete" || got.checks() != "" || p.Missing != 0 || p.Acknowledged != 4 || len(p.Gaps) != 0 || p.State != "complete" || p.Watermark != 2 {
		t.Errorf("with all of it acknowledged: got %+v", got)
	}
	if n := r.count(t, `SELECT count(*) FROM access_log WHERE action = 'gap.acknowledge' AND actor LIKE 'adm:%'
		AND detail->>'reason' = 'its disk died' AND detail->>'producer_id' = 'gw-gap'`); n != 2 {
		t.Errorf("%d lines in the access log, want 2", n)
	}
	// One comes late, and one is missing that nobody has acknowledged.
	r.exec(t, `UPDATE producers SET recorded = recorded + '{[3,4),[11,12)}' WHERE producer_id = 'gw-gap'`)
	got = r.verify(t)
	if p := got.Producers[0]; got.State != "missing" || p.Recorded != 7 || p.Missing != 1 || p.Acknowledged != 3 || p.Watermark != 3 || fmt.Sprint(p.Gaps) != "[{10 10}]" {
		t.Errorf("after one came late and another not: got %+v", got)
	}
}

func TestGapIsAcknowledgedWithAReason(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.produced(t, "gw-gap", "{[1,3),[5,7)}", time.Now())
	for field, value := range map[string]any{
		"producer_id": "a.b", "epoch": -1, "from": 0, "to": 1, "reason": "  ",
	} {
		body := gap("gw-gap", 3, 4)
		body[field] = value
		out := r.do(t, call{method: http.MethodPost, path: "/api/v1/admin/gaps", key: r.admin, body: body, raw: true})
		if out.status != http.StatusBadRequest || !strings.Contains(string(out.body), `"path":"`+field+`"`) {
			t.Errorf("%s %v: got %d %s", field, value, out.status, out.body)
		}
	}
	body := gap("gw-gap", 3, 4)
	body["reason"] = strings.Repeat("x", 501)
	r.fails(t, call{method: http.MethodPost, path: "/api/v1/admin/gaps", key: r.admin, body: body, raw: true}, http.StatusBadRequest, "invalid_body")
	if n := r.count(t, `SELECT count(*) FROM producer_gaps_acknowledged`); n != 0 {
		t.Errorf("%d rows, want none", n)
	}
}

// Numbers above all that has come, which only their gateway's word tells of, can be
// acknowledged as well; beyond its word none can.
func TestTailIsAcknowledged(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.produced(t, "gw-tail", "{[1,5)}", time.Now())
	r.told(t, "gw-tail", bus.Numbered{Highest: 9})
	r.told(t, "gw-silent", bus.Numbered{Highest: 3})
	r.clock.forward(time.Hour)
	var out struct{ Numbers int64 }
	for producer, want := range map[string]int64{"gw-tail": 5, "gw-silent": 3} {
		call := call{method: http.MethodPost, path: "/api/v1/admin/gaps", key: r.admin, body: gap(producer, 1, 99)}
		if r.ok(t, call, &out); out.Numbers != want {
			t.Errorf("%s: got %d, want %d", producer, out.Numbers, want)
		}
		r.fails(t, call, http.StatusConflict, "not_missing")
	}
	if got := r.verify(t); got.State != "complete" {
		t.Errorf("got %+v", got)
	}
}
