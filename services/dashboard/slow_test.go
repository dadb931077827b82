package dashboard_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"loom.internal/pkg/testkit"
)

// hold locks a table, as a statement that takes very long would, until let go.
func (r *rig) hold(t *testing.T, table string) (let func()) {
	t.Helper()
	tx, err := r.db.Pool("").Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }) // of a test that fails meanwhile
	if _, err := tx.Exec(t.Context(), `LOCK TABLE `+table+` IN ACCESS EXCLUSIVE MODE`); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := tx.Rollback(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}
}

// start sends calls, and returns where their answers come.
func (r *rig) start(t *testing.T, calls ...call) <-chan reply {
	t.Helper()
	replies := make(chan reply, len(calls))
	for _, c := range calls {
		go func() { replies <- r.do(t, c) }()
	}
	return replies
}

// waiting awaits that so many statements wait for a table.
func (r *rig) waiting(t *testing.T, table string, n int64) {
	t.Helper()
	testkit.Await(t, "statements wait for "+table, func(context.Context) bool {
		return r.count(t, `SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = $1::regclass`, table) >= n
	})
}

// Sums that take long leave connections for what is quick, and turns for other tenants.
func TestSlowSumsHoldUpNobodyElse(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.trace(time.Now())
	r.insert(t, s)
	let := r.hold(t, "rollups")
	calls := make([]call, 12)
	for i := range calls {
		calls[i] = call{method: http.MethodGet, path: "/api/v1/summary", key: r.acme}
	}
	replies := r.start(t, calls...)
	r.waiting(t, "rollups", 2)
	for range 5 {
		var page struct{ Items []traceItem }
		r.get(t, r.acme, "/api/v1/traces?range=1h", &page)
		if len(page.Items) != 1 {
			t.Errorf("got %d traces", len(page.Items))
		}
		r.get(t, r.acme, "/api/v1/traces/"+s.id.String(), nil)
		r.get(t, r.other, "/api/v1/models?min_latency_ms=1", nil) // of the ledger
	}
	let()
	for range calls {
		if out := <-replies; out.status != http.StatusOK {
			t.Errorf("got %d %s", out.status, out.body)
		}
	}
}

// Sums are not said to be fresher than what was known before they were read.
func TestFreshToIsOfBefore(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	fresh := func() *time.Time {
		var got struct {
			FreshTo *time.Time `json:"fresh_to"`
		}
		r.get(t, r.other, "/api/v1/models?min_latency_ms=1", &got) // of the ledger
		return got.FreshTo
	}
	testkit.Await(t, "the bus has said how far it is", func(context.Context) bool { return fresh() != nil })
	let := r.hold(t, "rollups")
	paths := []string{"summary", "costs", "models"}
	calls := make([]call, len(paths))
	for i, path := range paths {
		calls[i] = call{method: http.MethodGet, path: "/api/v1/" + path, key: []string{r.acme, r.other, r.acme}[i]}
	}
	replies := r.start(t, calls...)
	r.waiting(t, "rollups", int64(len(calls)))
	read := r.clock.now()
	testkit.Await(t, "it is further", func(context.Context) bool { to := fresh(); return to != nil && to.After(read) })
	let()
	for range calls {
		out := <-replies
		var got struct {
			FreshTo *time.Time `json:"fresh_to"`
		}
		if err := json.Unmarshal(out.body, &got); err != nil || got.FreshTo == nil || got.FreshTo.After(read) {
			t.Errorf("fresh to %v, but read before %s: %d %v", got.FreshTo, read, out.status, err)
		}
	}
}

// dial sends a request and reads no more than the first line of its answer.
func (r *rig) dial(t *testing.T, request string) {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(r.base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReaderSize(conn, 16).ReadString('\n'); err != nil || !strings.Contains(line, "200") {
		t.Fatalf("got %q, %v", line, err)
	}
}

// Who asks for a file and does not take it does not keep a connection to Postgres.
func TestCostsFileForASlowReader(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.manyGroups(t, 60_000, 500)
	r.dial(t, "GET /api/v1/costs.csv?by=tag%3Auser HTTP/1.1\r\nHost: loom\r\nAuthorization: Bearer "+r.acme+"\r\n\r\n")
	const busy = `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = 'loom_dashboard' AND state <> 'idle'`
	testkit.Await(t, "nothing is read any more", func(context.Context) bool { return r.count(t, busy) == 0 })
}

// Nor does he keep a gateway busy.
func TestPlaygroundForASlowReader(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{})
	r := withGateway(t, func(w http.ResponseWriter, _ *http.Request) {
		defer close(gone)
		w.Header().Set("Content-Type", "text/event-stream")
		for {
			if _, err := io.WriteString(w, "data: "+strings.Repeat("x", 1<<16)+"\n\n"); err != nil {
				return
			}
		}
	})
	r.dial(t, "POST "+playing+" HTTP/1.1\r\nHost: loom\r\nAuthorization: Bearer "+r.acme+
		"\r\nX-Loom-Key: k\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
	select {
	case <-gone:
	case <-time.After(30 * time.Second):
		t.Error("the gateway still sends")
	}
}

// To find out who calls takes bounded time, also where the rest of a request does not.
func TestNoCallerWaitsForEver(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	defer r.hold(t, "api_keys")()
	replies := r.start(t, call{method: http.MethodGet, path: "/api/v1/traces/tail", key: r.acme},
		call{method: http.MethodPost, path: playing, key: r.acme, body: `{}`, header: map[string]string{"X-Loom-Key": "k"}})
	for range 2 {
		select {
		case out := <-replies:
			if out.status != http.StatusServiceUnavailable || !strings.Contains(string(out.body), `"timeout"`) {
				t.Errorf("got %d %s", out.status, out.body)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("no answer after 30 s")
		}
	}
}
