package measure_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"loom.internal/bench/internal/measure"
)

// dashboard answers lists of as many pages as there are, and counts what it is asked.
type dashboard struct {
	pages int

	mu    sync.Mutex
	asked map[string]int
}

func (d *dashboard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	d.asked[r.URL.Path]++
	if r.URL.Query().Get("cursor") == strconv.Itoa(d.pages-1) {
		d.asked["last page"]++
	}
	d.mu.Unlock()
	switch {
	case r.Header.Get("Authorization") != "Bearer loom_sk_x":
		w.WriteHeader(http.StatusUnauthorized)
	case r.URL.Path == "/api/v1/facets":
		http.NotFound(w, r)
	case r.URL.Path == "/api/v1/traces":
		n, _ := strconv.Atoi(r.URL.Query().Get("cursor"))
		next := "null"
		if n+1 < d.pages {
			next = fmt.Sprintf("%q", strconv.Itoa(n+1))
		}
		items := ""
		if d.pages > 0 {
			items = `{"id":"t1"}`
		}
		_, _ = fmt.Fprintf(w, `{"items":[%s],"next_cursor":%s}`, items, next)
	default:
		_, _ = w.Write([]byte("{}"))
	}
}

func run(t *testing.T, d *dashboard, key string) (string, error) {
	t.Helper()
	srv := httptest.NewServer(d)
	t.Cleanup(srv.Close)
	var out strings.Builder
	err := measure.Run(t.Context(), measure.Options{Dashboard: srv.URL + "/", Key: key, Times: 5, Out: &out})
	return out.String(), err
}

func TestEveryQuestionIsAskedAndPrinted(t *testing.T) {
	t.Parallel()
	d := &dashboard{pages: 1200, asked: make(map[string]int)}
	out, err := run(t, d, "loom_sk_x")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"summary 24h", "summary 30d", "cost by model 30d", "latency 24h", "requests by outcome 30d", "costs 30d", "costs by tag 24h", "models 30d",
		"list page 1 ", "list page 1000", "trace detail", "404 Not Found", "load average", "p95",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	for path, want := range map[string]int{
		"/api/v1/summary": 12, "/api/v1/timeseries": 36, "/api/v1/facets": 2, "/api/v1/costs": 24, "/api/v1/models": 12,
		"/api/v1/traces": 1000 + 12, "/api/v1/traces/t1": 6,
	} {
		if got := d.asked[path]; got != want {
			t.Errorf("%s was asked %d times, want %d", path, got, want)
		}
	}
}

func TestFewPagesAreWalkedToTheirEnd(t *testing.T) {
	t.Parallel()
	d := &dashboard{pages: 7, asked: make(map[string]int)}
	out, err := run(t, d, "loom_sk_x")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out, "list page 7") || d.asked["last page"] != 1+6 {
		t.Errorf("the last page was asked %d times:\n%s", d.asked["last page"], out)
	}
}

func TestWhoCannotBeAskedIsAnError(t *testing.T) {
	t.Parallel()
	if _, err := run(t, &dashboard{asked: make(map[string]int)}, "loom_sk_x"); err == nil || !strings.Contains(err.Error(), "no traces") {
		t.Errorf("without traces: %v", err)
	}
	if _, err := run(t, &dashboard{pages: 1, asked: make(map[string]int)}, "wrong"); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("with another key: %v", err)
	}
	err := measure.Run(t.Context(), measure.Options{Dashboard: "http://127.0.0.1:1", Key: "k", Times: 1, Out: &strings.Builder{}})
	if err == nil {
		t.Error("nobody answers, and that is no error")
	}
}
