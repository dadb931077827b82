package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"loom.internal/pkg/event"
	"loom.internal/pkg/tenant"
	"loom.internal/services/gateway"
)

// raw is a connection of its own to the gateway.
func (w *world) raw() net.Conn {
	w.tb.Helper()
	var d net.Dialer
	conn, err := d.DialContext(w.tb.Context(), "tcp", strings.TrimPrefix(w.url, "http://"))
	w.must(err)
	w.tb.Cleanup(func() { _ = conn.Close() })
	w.must(conn.SetDeadline(time.Now().Add(patience)))
	return conn
}

// What is left of a refused request's body is never taken for a request of its own.
func TestRefusedBodyIsNoRequest(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	conn := w.raw()
	_, err := io.WriteString(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: loom\r\nContent-Length: 100000\r\n\r\n{")
	w.must(err)
	answers := bufio.NewReader(conn)
	first, err := http.ReadResponse(answers, nil)
	w.must(err)
	_, err = io.ReadAll(first.Body)
	w.must(err)
	w.must(first.Body.Close())
	equal(t, "status", first.StatusCode, 401)
	_, _ = io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: loom\r\n\r\n")
	if rest, _ := io.ReadAll(answers); len(rest) > 0 {
		t.Errorf("answered: %q", rest)
	}
}

// A client that does not read its answer does not keep it, nor the memory of its request,
// for longer than the time to write; one that reads slowly gets all of it.
func TestClientThatDoesNotRead(t *testing.T) {
	t.Parallel()
	long := `{"choices":[],"x":"` + strings.Repeat("x", 32<<20) + `"}`
	up := respond(t, 200, "application/json", long)
	w := start(t, setup{upstream: up.URL, change: func(c *gateway.Config) { c.WriteTimeout = 300 * time.Millisecond }})
	conn := w.raw()
	_, err := fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: loom\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", w.key, len(asked), asked)
	w.must(err)
	inFlight := func() float64 {
		families, err := w.metrics.Gather()
		w.must(err)
		for _, f := range families {
			if f.GetName() == "loom_gateway_requests_in_flight" {
				return f.GetMetric()[0].GetGauge().GetValue()
			}
		}
		t.Fatal("no such metric")
		return 0
	}
	w.eventually("recorded", func() bool { return w.trace().GetOutcome() == event.Outcome_OUTCOME_COMPLETED })
	w.eventually("over", func() bool { return inFlight() == 0 })
	equal(t, "one that reads", len(w.chat(asked).body), len(long))
}

// Headers that readers could take differently are refused.
func TestTwoContentTypes(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	req := w.request(t.Context(), http.MethodPost, "/v1/chat/completions", []byte(demoChat))
	req.Header["Content-Type"] = []string{"application/json", "multipart/form-data; boundary=x"}
	a := w.do(req)
	equal(t, "status", a.status, 400)
	w.envelope(a, "invalid_request_error", "")
}

// A size that is only claimed takes no memory from others: it is set aside as bytes come.
func TestClaimedSizeTakesNoMemory(t *testing.T) {
	t.Parallel()
	const claims = 8
	w := start(t, setup{change: func(c *gateway.Config) { c.MaxBody, c.BodyMemory = 4<<20, 16<<20 }})
	for range claims {
		_, err := fmt.Fprintf(w.raw(), "POST /v1/chat/completions HTTP/1.1\r\nHost: loom\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n{", w.key, 4<<20)
		w.must(err)
	}
	w.eventually("claims are being read", func() bool { return w.metric("loom_gateway_requests_in_flight") == claims })
	other := w.addKey(tenant.Key{TenantID: "acme", Scopes: tenant.Scopes()})
	equal(t, "beside them", w.chat(demoChat, "Authorization", "Bearer "+other).status, 200)
}
