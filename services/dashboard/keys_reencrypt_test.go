package dashboard_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

type reencrypted struct {
	Looked int `json:"looked_at"`
	Sealed int
	Failed []struct{ What, Why string }
	Next   string
	Epoch  uint32
}

func (r *rig) reencrypt(t *testing.T, body map[string]any) (out reencrypted) {
	t.Helper()
	r.admins(t, "tenants/acme/data-keys/reencrypt", body, &out)
	return out
}

// recorded makes n traces of a tenant, one a second, with bodies that name them.
func (r *rig) recorded(t *testing.T, tenantID string, n int) []*seeded {
	t.Helper()
	all := make([]*seeded, n)
	for i := range all {
		all[i] = r.trace(time.Now().Add(time.Duration(i-n)*time.Second), func(s *seeded) { s.tenant = tenantID })
		bodies("request "+all[i].id.String(), strings.Repeat("response "+all[i].id.String(), 40))(all[i])
	}
	r.insert(t, all...)
	return all
}

// sealedBodies are the rows of a tenant's bodies, by trace.
func (r *rig) sealedBodies(t *testing.T, tenantID string) map[string]string {
	t.Helper()
	rows, err := r.db.Pool("").Query(t.Context(), `SELECT trace_id::text, b::text FROM trace_bodies b WHERE tenant_id = $1`, tenantID)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	all := map[string]string{}
	for rows.Next() {
		var id, row string
		if err := rows.Scan(&id, &row); err != nil {
			t.Fatal(err)
		}
		all[id] = row
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

const (
	sealedWith = `SELECT count(*) FROM trace_bodies WHERE tenant_id = $1 AND encryption_key_version = $2`
	wrongSums  = `SELECT count(*) FROM trace_bodies WHERE request_sha256 IS DISTINCT FROM sha256(request_body) OR response_sha256 IS DISTINCT FROM sha256(response_body)`
)

// Bodies are sealed anew while they are looked at, page by page and over a break; what does
// not open is named and left, and so is what belongs to another tenant.
func TestReencrypt(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	first := r.recorded(t, "acme", 10)
	foreign := r.recorded(t, "other", 3)
	bare := r.trace(time.Now().Add(-time.Minute), func(s *seeded) { s.response = new("only an answer") })
	r.insert(t, bare)
	r.admins(t, "tenants/acme/data-keys", nil, nil)
	r.admins(t, "tenants/other/data-keys", nil, nil)
	second := r.recorded(t, "acme", 4)
	r.admins(t, "tenants/acme/data-keys", nil, nil)
	now := r.recorded(t, "acme", 2)
	tampered := first[5]
	r.exec(t, `UPDATE trace_bodies SET response_body = set_byte(response_body, 3, get_byte(response_body, 3) # 1) WHERE trace_id = $1`, tampered.id)
	before, others := r.sealedBodies(t, "acme"), r.sealedBodies(t, "other")

	dry := r.reencrypt(t, map[string]any{"dry_run": true})
	if dry.Looked != 15 || dry.Sealed != 14 || dry.Epoch != 3 || dry.Next != "" || len(dry.Failed) != 1 || dry.Failed[0].What != "trace "+tampered.id.String() {
		t.Errorf("dry run: got %+v", dry)
	}
	if diff := cmp.Diff(before, r.sealedBodies(t, "acme")); diff != "" {
		t.Errorf("a dry run changes bodies:\n%s", diff)
	}
	if got := r.count(t, `SELECT count(*) FROM access_log WHERE action = 'keys.reencrypt'`); got != 0 {
		t.Errorf("a dry run leaves %d lines in the access log", got)
	}

	viewed := r.view(t, first[:5]...)
	// Those of one key alone.
	one := r.reencrypt(t, map[string]any{"epoch": 2})
	if one.Looked != 4 || one.Sealed != 4 || len(one.Failed) != 0 || one.Next != "" {
		t.Errorf("of data key 2: got %+v", one)
	}
	for epoch, want := range map[int]int64{1: 11, 2: 0, 3: 6} {
		if got := r.count(t, sealedWith, "acme", epoch); got != want {
			t.Errorf("%d sealed with data key %d, want %d", got, epoch, want)
		}
	}
	// The rest by threes, broken off after two, and begun anew.
	var next string
	for range 2 {
		body := map[string]any{"limit": 3}
		if next != "" {
			body["from"] = next
		}
		out := r.reencrypt(t, body)
		if out.Looked != 3 || out.Next == "" || out.Next == next {
			t.Errorf("a page: got %+v", out)
		}
		next = out.Next
	}
	looked, failed := 0, 0
	for next = ""; ; {
		body := map[string]any{"limit": 3}
		if next != "" {
			body["from"] = next
		}
		out := r.reencrypt(t, body)
		looked, failed, next = looked+out.Looked, failed+len(out.Failed), out.Next
		if next == "" {
			break
		}
	}
	// Of eleven, six are done, or five and the one that was changed; which is looked at again.
	if done := 11 - looked; done != 6 && done != 5 || failed != 1 {
		t.Errorf("resumed: %d looked at, %d failed", looked, failed)
	}
	viewed()
	if got := r.count(t, sealedWith, "acme", 3); got != 16 {
		t.Errorf("%d sealed with data key 3, want 16", got)
	}
	after := r.sealedBodies(t, "acme")
	for _, s := range append(first, second...) {
		if changed := after[s.id.String()] != before[s.id.String()]; changed != (s != tampered) {
			t.Errorf("trace %s: changed %v", s.id, changed)
		}
	}
	for _, s := range now {
		if after[s.id.String()] != before[s.id.String()] {
			t.Errorf("trace %s was sealed with the active key already, and anew", s.id)
		}
	}
	if diff := cmp.Diff(others, r.sealedBodies(t, "other")); diff != "" {
		t.Errorf("another tenant's bodies were changed:\n%s", diff)
	}
	r.exec(t, `DELETE FROM trace_bodies WHERE trace_id = $1`, tampered.id)
	if got := r.count(t, wrongSums); got != 0 {
		t.Errorf("%d rows with digests of something else", got)
	}
	for _, s := range append(append(first, second...), append(now, foreign...)...) {
		if s != tampered {
			r.opens(t, s)
		}
	}
	if out := r.reencrypt(t, map[string]any{}); out.Looked != 0 {
		t.Errorf("a second run: got %+v", out)
	}
	if got := r.count(t, `SELECT sum((detail->>'traces')::int) FROM access_log WHERE action = 'keys.reencrypt' AND tenant_id = 'acme' AND actor LIKE 'adm:%' AND detail->>'epoch' = '3'`); got < 15 {
		t.Errorf("the access log has %d traces, want 15 at least", got)
	}
}

// view looks at traces again and again until stop, and none may be refused.
func (r *rig) view(t *testing.T, all ...*seeded) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int)
	go func() {
		views := 0
		defer func() { ended <- views }()
		for ctx.Err() == nil {
			for _, s := range all {
				c := r.payloadOf(s)
				req, err := http.NewRequestWithContext(context.WithoutCancel(ctx), c.method, r.base+c.path, nil)
				if err != nil {
					t.Error(err)
					return
				}
				req.Header.Set("Authorization", "Bearer "+c.key)
				req.Header.Set("X-Loom-Tenant", s.tenant)
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				_ = resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					t.Errorf("a view while bodies are sealed anew: status %d", resp.StatusCode)
					return
				}
				views++
			}
		}
	}()
	return func() {
		t.Helper()
		cancel()
		if <-ended == 0 {
			t.Error("nothing was viewed meanwhile")
		}
	}
}

func TestReencryptRefusals(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.admins(t, "tenants", map[string]string{"id": "asleep", "status": "inactive"}, nil)
	path := func(id string) string { return "/api/v1/admin/tenants/" + id + "/data-keys/reencrypt" }
	for _, id := range []string{"asleep", "nobody", "No.Id"} {
		r.fails(t, call{method: http.MethodPost, path: path(id), key: r.admin, body: "{}"}, http.StatusNotFound, "not_found")
	}
	for name, c := range map[string]struct {
		body map[string]any
		code string
		at   []string
	}{
		"negative":  {map[string]any{"epoch": -1, "limit": -1}, "invalid_body", []string{"epoch", "limit"}},
		"too many":  {map[string]any{"epoch": 1 << 31, "limit": 201}, "invalid_body", []string{"epoch", "limit"}},
		"nowhere":   {map[string]any{"from": "yesterday"}, "invalid_parameter", []string{"from"}},
		"no trace":  {map[string]any{"from": "2026-01-01T00:00:00Z/x"}, "invalid_parameter", []string{"from"}},
		"zero byte": {map[string]any{"from": "2026-01-01T00:00:00Z/\x00"}, "invalid_parameter", []string{"from"}},
	} {
		f := r.fails(t, call{method: http.MethodPost, path: path("acme"), key: r.admin, body: c.body}, http.StatusBadRequest, c.code)
		var at []string
		for _, fault := range f.Faults {
			at = append(at, fault.Path)
		}
		if diff := cmp.Diff(c.at, at); diff != "" {
			t.Errorf("%s: faults (-want +got):\n%s", name, diff)
		}
	}
}

// A row that lies about how it is sealed, or whose key is gone, is left as it is too.
func TestReencryptLeavesWhatLies(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	lies := []string{
		"encryption_suite = 257", "encryption_suite = 2", "request_codec = request_codec + 256", "request_codec = 1", "request_length = request_length + 1",
		"request_length = NULL", "request_iv = NULL", "request_codec = NULL", "encryption_key_version = 7", "request_body = substr(request_body, 1, 10)",
		"request_body = response_body, request_iv = response_iv, request_codec = response_codec, request_length = response_length",
	}
	all := r.recorded(t, "acme", len(lies)+1)
	for i, lie := range lies {
		r.exec(t, `UPDATE trace_bodies SET `+lie+` WHERE trace_id = $1`, all[i].id)
	}
	r.admins(t, "tenants/acme/data-keys", nil, nil)
	before := r.sealedBodies(t, "acme")
	out := r.reencrypt(t, map[string]any{})
	if out.Looked != len(all) || out.Sealed != 1 || len(out.Failed) != len(lies) {
		t.Errorf("got %+v, want %d failed", out, len(lies))
	}
	after := r.sealedBodies(t, "acme")
	for i, s := range all {
		if changed := after[s.id.String()] != before[s.id.String()]; changed != (i == len(lies)) {
			t.Errorf("%s: changed %v", append(lies, "no lie")[i], changed)
		}
	}
	if why := fmt.Sprint(out.Failed); !strings.Contains(why, "there is no such data key") {
		t.Errorf("a key that is not there is not named: %s", why)
	}
}
