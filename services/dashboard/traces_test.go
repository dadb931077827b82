package dashboard_test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"loom.internal/pkg/event"
)

type traceItem struct {
	ID           string            `json:"id"`
	StartedAt    time.Time         `json:"started_at"`
	Model        string            `json:"model"`
	KeyName      string            `json:"key_name"`
	TokensIn     *int64            `json:"tokens_in"`
	TokensOut    *int64            `json:"tokens_out"`
	CachedTokens *int64            `json:"cached_tokens"`
	LatencyMS    float64           `json:"latency_ms"`
	TTFTMS       *float64          `json:"ttft_ms"`
	Cost         *string           `json:"cost_usd"`
	CostStatus   string            `json:"cost_status"`
	Attempts     int               `json:"attempts"`
	Tags         map[string]string `json:"tags"`
	SessionID    string            `json:"session_id"`
}

type tracePage struct {
	From       time.Time   `json:"from"`
	To         time.Time   `json:"to"`
	Items      []traceItem `json:"items"`
	NextCursor *string     `json:"next_cursor"`
}

func ids(items []traceItem) []string {
	all := []string{}
	for _, i := range items {
		all = append(all, i.ID)
	}
	return all
}

func TestListShowsWhatIsKnown(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	now := time.Now()
	priced := r.trace(now.Add(-1 * time.Minute))
	pending := r.trace(now.Add(-2*time.Minute), func(s *seeded) { s.pending = true })
	unpriced := r.trace(now.Add(-3*time.Minute), func(s *seeded) { s.costStatus, s.unpricedWhy = "unpriced", "no_price" })
	noUsage := r.trace(now.Add(-4*time.Minute), func(s *seeded) { s.costStatus, s.ttft = "no_usage", 0 })
	unreadable := r.trace(now.Add(-5*time.Minute), func(s *seeded) { s.costStatus, s.unpricedWhy = "unpriced", "usage_unreadable" })
	foreign := r.trace(now.Add(-6*time.Minute), func(s *seeded) { s.tenant = "other" })
	r.insert(t, priced, pending, unpriced, noUsage, unreadable, foreign)

	var page tracePage
	r.get(t, r.acme, "/api/v1/traces?range=1h", &page)
	want := []traceItem{
		{TokensIn: new(int64(100)), TokensOut: new(int64(30)), CachedTokens: new(int64(20)), Cost: new("0.00012"), CostStatus: "priced"},
		{CostStatus: "pending"},
		{TokensIn: new(int64(100)), TokensOut: new(int64(30)), CachedTokens: new(int64(20)), CostStatus: "unpriced"},
		{CostStatus: "no_usage"},
		{CostStatus: "unpriced"},
	}
	for i, s := range []*seeded{priced, pending, unpriced, noUsage, unreadable} {
		want[i].ID, want[i].StartedAt, want[i].Model, want[i].KeyName = s.id.String(), s.at, "gpt-4o-mini", "all"
		want[i].LatencyMS, want[i].TTFTMS, want[i].Attempts, want[i].Tags = 1234.567, new(200.0), 1, map[string]string{"team": "search"}
		want[i].SessionID = "s1"
	}
	want[3].TTFTMS = nil
	if diff := cmp.Diff(want, page.Items); diff != "" {
		t.Errorf("items (-want +got):\n%s", diff)
	}
	if page.NextCursor != nil {
		t.Errorf("got cursor %q on the last page", *page.NextCursor)
	}
}

func TestListFilters(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	now := time.Now()
	a := r.trace(now.Add(-time.Minute), func(s *seeded) { s.model = "a" })
	b := r.trace(now.Add(-2*time.Minute), func(s *seeded) { s.model, s.provider, s.outcome = "b", "azure", "failed" })
	c := r.trace(now.Add(-3*time.Minute), func(s *seeded) { s.model, s.outcome, s.key = "c", "canceled", "ZZZZZZZZ" })
	d := r.trace(now.Add(-4*time.Minute), func(s *seeded) { s.model, s.outcome = "a", "interrupted" })
	r.insert(t, a, b, c, d)
	for _, tc := range []struct {
		query string
		want  []*seeded
	}{
		{"range=1h", []*seeded{a, b, c, d}},
		{"model=a", []*seeded{a, d}},
		{"model=a&model=b", []*seeded{a, b, d}},
		{"model=nope", nil},
		{"provider=azure", []*seeded{b}},
		{"key=" + r.keyID, []*seeded{a, b, d}},
		{"outcome=canceled&outcome=failed", []*seeded{b, c}},
		{"status=ok", []*seeded{a}},
		{"status=error", []*seeded{b, d}},
		{"status=ok&outcome=failed", nil},
		{"status=error&model=a", []*seeded{d}},
		{"tag=team:search&min_latency_ms=1234.567&retried=false&stream=true&session=s1&http_status=200", []*seeded{a, c, d}},
		{"min_latency_ms=1234.568", nil},
		{"min_cost_usd=0.00012&cost_status=priced&cached=true", []*seeded{a, b, c, d}},
		{"min_cost_usd=0.000120000001", nil},
		{"from=" + d.at.Format(time.RFC3339Nano) + "&to=" + c.at.Format(time.RFC3339Nano), []*seeded{d}},
	} {
		var page tracePage
		r.get(t, r.acme, "/api/v1/traces?"+tc.query, &page)
		want := []string{}
		for _, s := range tc.want {
			want = append(want, s.id.String())
		}
		if diff := cmp.Diff(want, ids(page.Items)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.query, diff)
		}
	}
}

// Walks all pages while new traces come in: each trace that was there is seen once.
func TestWalkSeesEachTraceOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	base := time.Now().Add(-30 * time.Hour)
	want := map[string]bool{}
	for i := range 57 {
		// Three at a time share their instant, so that pages end among equals.
		s := r.trace(base.Add(time.Duration(i/3) * time.Hour))
		want[s.id.String()] = true
		r.insert(t, s)
	}
	seen := map[string]bool{}
	var last *traceItem
	next := ""
	window := tracePage{}
	for pages := 0; ; pages++ {
		var page tracePage
		r.get(t, r.acme, "/api/v1/traces?range=7d&limit=5"+next, &page)
		if pages == 0 {
			window = page
		}
		if !page.From.Equal(window.From) || !page.To.Equal(window.To) {
			t.Errorf("page %d: the window moved to %s – %s", pages, page.From, page.To)
		}
		for _, item := range page.Items {
			if seen[item.ID] {
				t.Errorf("%s is there twice", item.ID)
			}
			seen[item.ID] = true
			if last != nil && (item.StartedAt.After(last.StartedAt) || item.StartedAt.Equal(last.StartedAt) && item.ID >= last.ID) {
				t.Errorf("%s is out of order after %s", item.ID, last.ID)
			}
			last = &item
		}
		if page.NextCursor == nil {
			break
		}
		if len(page.Items) != 5 {
			t.Errorf("page %d has %d items and is not the last", pages, len(page.Items))
		}
		next = "&cursor=" + *page.NextCursor
		r.insert(t, r.trace(time.Now()), r.trace(base.Add(20*time.Hour)))
	}
	for id := range want {
		if !seen[id] {
			t.Errorf("%s was missed", id)
		}
	}
}

func TestCursorHoldsForItsQueryOnly(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for i := range 3 {
		r.insert(t, r.trace(time.Now().Add(-time.Duration(i)*time.Minute)))
	}
	var page tracePage
	r.get(t, r.acme, "/api/v1/traces?range=1h&limit=1", &page)
	if page.NextCursor == nil {
		t.Fatal("no cursor on the first of three pages")
	}
	good := *page.NextCursor
	raw, err := base64.RawURLEncoding.DecodeString(good)
	if err != nil {
		t.Fatal(err)
	}
	raw[20] ^= 1
	for name, c := range map[string]call{
		"other filter":  {key: r.acme, path: "?range=1h&model=a&cursor=" + good},
		"other tag":     {key: r.acme, path: "?range=1h&tag=team:search&cursor=" + good},
		"other cost":    {key: r.acme, path: "?range=1h&min_cost_usd=0&cursor=" + good},
		"other latency": {key: r.acme, path: "?range=1h&min_latency_ms=0&cursor=" + good},
		"other session": {key: r.acme, path: "?range=1h&session=s1&cursor=" + good},
		"other range":   {key: r.acme, path: "?range=6h&cursor=" + good},
		"other tenant":  {key: r.other, path: "?range=1h&cursor=" + good},
		"changed":       {key: r.acme, path: "?range=1h&cursor=" + base64.RawURLEncoding.EncodeToString(raw)},
		"cut":           {key: r.acme, path: "?range=1h&cursor=" + good[:20]},
		"no base64":     {key: r.acme, path: "?range=1h&cursor=%21%21"},
		"made up":       {key: r.acme, path: "?range=1h&cursor=" + strings.Repeat("A", len(good))},
		"with a suffix": {key: r.acme, path: "?range=1h&cursor=" + good + "A"},
	} {
		c.method, c.path = http.MethodGet, "/api/v1/traces"+c.path
		if f := r.fails(t, c, http.StatusBadRequest, "invalid_parameter"); len(f.Faults) != 1 || f.Faults[0].Path != "cursor" {
			t.Errorf("%s: faults %v, want one of cursor", name, f.Faults)
		}
	}
	r.get(t, r.acme, "/api/v1/traces?limit=2&range=1h&cursor="+good, &page) // the limit may change
	if len(page.Items) != 2 {
		t.Errorf("got %d items after the first, want 2", len(page.Items))
	}
}

func TestDetail(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.trace(time.Now(), bodies("q", "a"))
	bare := r.trace(time.Now(), func(s *seeded) { s.pending = true })
	r.insert(t, s, bare)
	var d struct {
		ID             string           `json:"id"`
		Usage          map[string]int64 `json:"usage"`
		UsageRaw       map[string]any   `json:"usage_raw"`
		PriceVersion   *string          `json:"price_version"`
		PayloadState   string           `json:"payload_state"`
		AttemptsDetail []map[string]any `json:"attempts_detail"`
		Producer       map[string]any   `json:"producer"`
		Cost           *string          `json:"cost_usd"`
		CostStatus     string           `json:"cost_status"`
	}
	r.get(t, r.acme, "/api/v1/traces/"+s.id.String(), &d)
	if d.ID != s.id.String() || d.PayloadState != "available" || d.Cost == nil || *d.Cost != "0.00012" || d.PriceVersion == nil {
		t.Errorf("got %+v", d)
	}
	if diff := cmp.Diff(map[string]int64{"input_uncached": 80, "cache_read": 20, "cache_write": 0, "cache_write_1h": 0, "output": 30, "reasoning": 0}, d.Usage); diff != "" {
		t.Errorf("usage (-want +got):\n%s", diff)
	}
	wantAttempt := []map[string]any{{
		"provider": "openai", "model": "gpt-4o-mini", "status": 200.0, "error_class": "", "start_ms": 0.15, "duration_ms": 1234.417,
	}}
	if diff := cmp.Diff(wantAttempt, d.AttemptsDetail); diff != "" {
		t.Errorf("attempts (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]any{"id": "gw-1", "epoch": 3.0, "seq": 44.0}, d.Producer); diff != "" {
		t.Errorf("producer (-want +got):\n%s", diff)
	}
	d.Usage, d.Cost, d.PriceVersion = nil, nil, nil
	r.get(t, r.acme, "/api/v1/traces/"+bare.id.String(), &d)
	if d.PayloadState != "not_recorded" || d.CostStatus != "pending" || d.Usage != nil || d.Cost != nil {
		t.Errorf("got %+v of a trace without bodies or ledger row", d)
	}
}

func TestPayload(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	text := r.trace(time.Now(), bodies(`{"messages":[]}`, ""))
	binary := r.trace(time.Now(), func(s *seeded) { s.request = new("\xff\x00\xfe") })
	none := r.trace(time.Now())
	r.insert(t, text, binary, none)
	type body struct {
		Text      *string `json:"text"`
		Base64    []byte  `json:"base64"`
		Truncated bool    `json:"truncated"`
		Length    int     `json:"length"`
	}
	type payload struct{ Request, Response *body }
	read := func(s *seeded) (p payload) {
		r.get(t, r.acme, "/api/v1/traces/"+s.id.String()+"/payload", &p)
		return p
	}
	if diff := cmp.Diff(payload{Request: &body{Text: new(`{"messages":[]}`), Length: 15}, Response: &body{Text: new("")}}, read(text)); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(payload{Request: &body{Base64: []byte("\xff\x00\xfe"), Length: 3}}, read(binary)); diff != "" {
		t.Errorf("binary (-want +got):\n%s", diff)
	}
	r.fails(t, call{method: http.MethodGet, path: "/api/v1/traces/" + none.id.String() + "/payload", key: r.acme}, http.StatusNotFound, "payload_not_recorded")

	const logged = `SELECT count(*) FROM access_log WHERE action = 'trace.decrypt' AND tenant_id = 'acme' AND trace_id = $1 AND actor = $2`
	for s, want := range map[*seeded]int64{text: 1, binary: 1, none: 0} {
		if got := r.count(t, logged, s.id, r.keyID); got != want {
			t.Errorf("%d lines in the access log, want %d", got, want)
		}
	}
	out := r.do(t, call{method: http.MethodGet, path: "/api/v1/traces/" + text.id.String() + "/payload", key: r.acme})
	if got := out.header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control: got %q, want no-store", got)
	}
}

// The largest bodies that a trace can have are shown whole, and one that was cut says so.
func TestLargestPayload(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	request := strings.Repeat("a prompt as long as they come ", event.MaxBody/30+1)[:event.MaxBody]
	response := strings.Repeat("\xff\x00", event.MaxBody/2)
	s := r.trace(time.Now(), bodies(request, response))
	r.insert(t, s)
	r.exec(t, `UPDATE trace_bodies SET response_truncated = true WHERE trace_id = $1`, s.id)
	var got struct {
		Request, Response struct {
			Text      string
			Base64    []byte
			Truncated bool
			Length    int
		}
	}
	r.get(t, r.acme, "/api/v1/traces/"+s.id.String()+"/payload", &got)
	if in := got.Request; in.Text != request || in.Truncated || in.Length != len(request) {
		t.Errorf("request: %d bytes, length %d, truncated %v; want %d, whole", len(in.Text), in.Length, in.Truncated, len(request))
	}
	if out := got.Response; string(out.Base64) != response || !out.Truncated || out.Length != len(response) {
		t.Errorf("response: %d bytes, length %d, truncated %v; want %d, cut", len(out.Base64), out.Length, out.Truncated, len(response))
	}
}

func TestUnreadablePayloadIsLoggedAndShowsNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const canary = "canary-prompt"
	tampered := r.trace(time.Now(), bodies(canary, canary))
	moved := r.trace(time.Now(), bodies(canary, canary))
	wrongVersion := r.trace(time.Now(), bodies(canary, canary))
	r.insert(t, tampered, moved, wrongVersion)
	r.exec(t, `UPDATE trace_bodies SET response_body = set_byte(response_body, 3, get_byte(response_body, 3) # 1),
	    response_sha256 = sha256(set_byte(response_body, 3, get_byte(response_body, 3) # 1)) WHERE trace_id = $1`, tampered.id)
	r.exec(t, `UPDATE trace_bodies SET request_body = response_body, request_iv = response_iv, request_sha256 = response_sha256 WHERE trace_id = $1`, moved.id)
	r.exec(t, `UPDATE trace_bodies SET encryption_key_version = 9 WHERE trace_id = $1`, wrongVersion.id)
	for _, s := range []*seeded{tampered, moved, wrongVersion} {
		c := call{method: http.MethodGet, path: "/api/v1/traces/" + s.id.String() + "/payload", key: r.acme}
		if out := r.do(t, c); strings.Contains(string(out.body), canary) {
			t.Errorf("the answer holds plaintext: %s", out.body)
		}
		r.fails(t, c, http.StatusInternalServerError, "payload_unreadable")
		if got := r.count(t, `SELECT count(*) FROM access_log WHERE action = 'trace.decrypt' AND trace_id = $1`, s.id); got != 2 {
			t.Errorf("%d lines in the access log of two views, want 2", got)
		}
	}
}

// No line in the access log, no plaintext.
func TestPayloadNeedsItsLogLine(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.trace(time.Now(), bodies("canary-prompt", "x"))
	r.insert(t, s)
	r.exec(t, `REVOKE INSERT ON access_log FROM loom_dashboard`)
	c := call{method: http.MethodGet, path: "/api/v1/traces/" + s.id.String() + "/payload", key: r.acme}
	r.fails(t, c, http.StatusInternalServerError, "internal")
}

func TestForeignAndAbsentTracesLookAlike(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.trace(time.Now(), bodies("q", "a"))
	r.insert(t, s)
	for _, suffix := range []string{"", "/payload"} {
		var messages []string
		for key, id := range map[string]string{r.other: s.id.String(), r.acme: uuid.NewString()} {
			f := r.fails(t, call{method: http.MethodGet, path: "/api/v1/traces/" + id + suffix, key: key}, http.StatusNotFound, "not_found")
			messages = append(messages, f.Error.Message)
		}
		if messages[0] != messages[1] {
			t.Errorf("messages differ: %q", messages)
		}
		for _, id := range []string{"x", strings.ToUpper(s.id.String()), "urn:uuid:" + s.id.String(), "%00", url.PathEscape("../x")} {
			r.fails(t, call{method: http.MethodGet, path: "/api/v1/traces/" + id + suffix, key: r.acme}, http.StatusNotFound, "not_found")
		}
	}
	if got := r.count(t, `SELECT count(*) FROM access_log WHERE action = 'trace.decrypt'`); got != 0 {
		t.Errorf("%d lines in the access log, want none", got)
	}
}
