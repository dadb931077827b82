package load_test

import (
	"net/http/httptest"
	"path/filepath"
	"testing"

	"loom.internal/bench/internal/ledger"
	"loom.internal/bench/internal/load"
	"loom.internal/bench/internal/script"
)

// TestLedgerSaysWhatHappened asks the provider itself, with nothing in between.
func TestLedgerSaysWhatHappened(t *testing.T) {
	t.Parallel()
	upstream := script.NewUpstream("canary0")
	srv := httptest.NewServer(upstream)
	defer srv.Close()
	book, err := ledger.Create(filepath.Join(t.TempDir(), "ledger.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	const requests = 600
	load.Run(t.Context(), load.Options{
		Gateways: []string{srv.URL, srv.URL + "/two", "http://127.0.0.1:1"}, Clients: []load.Client{{Tenant: "a"}, {Tenant: "b"}},
		Canary: "canary0", Seed: 1000, Rate: 1000, Bulky: 10, Ledger: book,
		More: func(offered int) bool { return offered < requests },
	})
	lines, err := book.Close()
	if err != nil || len(lines) != requests {
		t.Fatalf("got %d lines, %v, want %d", len(lines), err, requests)
	}
	kinds := make(map[script.Kind]int)
	for _, l := range lines {
		if l.Status == 0 { // the gateway that is not there, or the client left before anything came
			if l.Fault == "" || l.Ended || l.Kind != script.Abandoned && upstream.Reached(l.Seed) != 0 {
				t.Errorf("refused: %+v", l)
			}
			continue
		}
		kinds[l.Kind]++
		p := script.New(l.Seed, "canary0")
		ok := upstream.Reached(l.Seed) == 1 && !l.Wrong && l.Ended == (l.Fault == "")
		switch l.Kind {
		case script.Answer, script.Slow, script.Long, script.Uncounted, script.Lazy:
			ok = ok && l.Answered() && l.Text == ledger.DigestOf(p.Text()) && l.Cost == p.Cost() && (l.Cost > 0) == (l.Kind != script.Uncounted)
		case script.Endless:
			ok = ok && l.Answered() != l.Stream
		case script.Garbage, script.Complaint:
			ok = ok && l.Ended != l.Stream && (l.Stream || l.Status == 500)
		case script.Page:
			ok = ok && l.Ended && l.Status == 502
		case script.Halved:
			ok = false
		case script.Refused:
			ok = ok && l.Ended && l.Status == 429
		case script.Broken:
			ok = ok && l.Ended && l.Status == 500
		case script.Cut:
			ok = ok && !l.Ended
		case script.Abandoned: // it may have been done before the client left
		}
		if !ok {
			t.Errorf("got %+v, fault %q", l, l.Fault)
		}
	}
	for _, k := range script.Kinds() {
		if kinds[k] == 0 && k != script.Halved {
			t.Errorf("no request of kind %s among %v", k, kinds)
		}
	}
}
