package gateway_test

import (
	"fmt"
	"net/http"
	"testing"

	"loom.internal/pkg/event"
	"loom.internal/pkg/tenant"
)

// Of the modes of the tenant, of the key and of the request the lowest wins; one that
// cannot be read is the lowest of all.
func TestContentModeIsTheLowest(t *testing.T) {
	t.Parallel()
	const full, metadata, none = event.ContentMode_CONTENT_MODE_FULL, event.ContentMode_CONTENT_MODE_METADATA, event.ContentMode_CONTENT_MODE_NONE
	w := start(t, setup{upstream: respond(t, 200, "application/json", whole).URL})
	ofTenant := map[string]event.ContentMode{"full": full, "metadata": metadata, "none": none, "Full": none, "everything": none}
	lower := map[string]event.ContentMode{
		"": full, "full": full, "metadata": metadata, "none": none, // the 27, and beside them:
		" Metadata ": metadata, "FULL": full, "nOnE": none, "everything": none, "full, metadata": none,
	}
	const body = `{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}],"user":"u1","metadata":{"session_id":"s9","team":"a"}}`
	want := make(map[string]event.ContentMode) // by trace
	names := make(map[string]string)
	i := 0
	for mode, first := range ofTenant {
		i++
		id := fmt.Sprintf("t%d", i)
		w.addTenant(tenant.Tenant{ID: id, ContentMode: mode})
		for ofKey, second := range lower {
			key := w.addKey(tenant.Key{TenantID: id, Scopes: tenant.Scopes(), ContentMode: ofKey})
			for header, third := range lower {
				a := w.chat(body, "Authorization", "Bearer "+key, "X-Loom-Content-Mode", header)
				equal(t, "status", a.status, 200)
				trace := a.header.Get("X-Loom-Trace-Id")
				want[trace] = max(first, second, third)
				names[trace] = fmt.Sprintf("tenant %q, key %q, header %q", mode, ofKey, header)
			}
		}
	}
	// Of several headers too, whatever their order.
	for _, row := range []struct {
		lines []string
		want  event.ContentMode
	}{{[]string{"full", "none"}, none}, {[]string{"none", "full"}, none}, {[]string{"", "metadata"}, metadata}, {[]string{"full", " "}, full}} {
		req := w.request(t.Context(), http.MethodPost, "/v1/chat/completions", []byte(body))
		req.Header["X-Loom-Content-Mode"] = row.lines
		trace := w.do(req).header.Get("X-Loom-Trace-Id")
		want[trace], names[trace] = row.want, fmt.Sprintf("headers %q", row.lines)
	}
	for _, e := range w.traces(len(want)) {
		name, mode := names[e.GetTraceId()], want[e.GetTraceId()]
		equal(t, name+": mode", e.GetContentMode(), mode)
		equal(t, name+": bodies", len(e.Bodies()), map[event.ContentMode]int{full: 2}[mode])
		said := fmt.Sprint(e.GetEndUser(), e.GetSessionId(), len(e.GetTags()))
		equal(t, name+": what the client said", said, map[bool]string{true: "0", false: "u1s91"}[mode == none])
		equal(t, name+": usage", len(e.GetUsageRaw()) > 0, true)
	}
}
