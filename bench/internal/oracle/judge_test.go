package oracle_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"loom.internal/bench/internal/ledger"
	"loom.internal/bench/internal/oracle"
	"loom.internal/bench/internal/script"
)

// A world in which nothing is wrong: an answer, an error, a client that was cut, one that
// was cut after the end had been recorded, and one that was refused.
func world() ([]ledger.Line, *oracle.Evidence) {
	text := ledger.DigestOf("woven")
	lines := []ledger.Line{
		{ID: "r0", Seed: 1, Tenant: "a", Kind: script.Answer, Status: 200, Ended: true, Text: text, TraceID: "t0", Cost: 70},
		{ID: "r1", Seed: 2, Tenant: "b", Kind: script.Broken, Status: 500, Ended: true, TraceID: "t1", Cost: 70},
		{ID: "r2", Seed: 3, Tenant: "a", Kind: script.Slow, Status: 200, TraceID: "t2", Cost: 70},
		{ID: "r3", Seed: 4, Tenant: "a", Kind: script.Answer, Cost: 70},
		{ID: "r4", Seed: 5, Tenant: "a", Kind: script.Answer, Cost: 70},
	}
	traces := map[string][]oracle.Trace{
		"r0": {{ID: "t0", Tenant: "a", Outcome: "completed", Text: text, Read: true}},
		"r1": {{ID: "t1", Tenant: "b", Outcome: "failed", Read: true}},
		"r2": {{ID: "t2", Tenant: "a", Outcome: "interrupted"}},
		"r3": {{ID: "t3", Tenant: "a", Outcome: "completed", Text: text, Read: true}},
	}
	facts := map[string][]oracle.Fact{
		"t0": {{Tenant: "a", Outcome: "completed", Cost: 70}},
		"t1": {{Tenant: "b", Outcome: "failed"}},
		"t2": {{Tenant: "a", Outcome: "interrupted"}},
		"t3": {{Tenant: "a", Outcome: "completed", Cost: 70}},
	}
	return lines, &oracle.Evidence{Traces: traces, Facts: facts}
}

// reached: the provider saw all but the last.
func reached(seed uint64) int {
	if seed == 5 {
		return 0
	}
	return 1
}

func TestJudge(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func([]ledger.Line, *oracle.Evidence)
		count func(*oracle.Verdict) int64 // what has to be 1 then; nil: all is well
	}{
		"all is well": {func([]ledger.Line, *oracle.Evidence) {}, nil},
		"answer without a trace": {
			func(_ []ledger.Line, e *oracle.Evidence) { delete(e.Traces, "r0"); delete(e.Facts, "t0") },
			func(v *oracle.Verdict) int64 { return int64(v.Lost) },
		},
		"provider called without a trace": {
			func(_ []ledger.Line, e *oracle.Evidence) { delete(e.Traces, "r3"); delete(e.Facts, "t3") },
			func(v *oracle.Verdict) int64 { return int64(v.Lost) },
		},
		"begun for a client without a trace": {
			func(_ []ledger.Line, e *oracle.Evidence) { delete(e.Traces, "r2"); delete(e.Facts, "t2") },
			func(v *oracle.Verdict) int64 { return int64(v.Lost) },
		},
		"trace without a fact": {
			func(_ []ledger.Line, e *oracle.Evidence) { delete(e.Facts, "t2") },
			func(v *oracle.Verdict) int64 { return int64(v.LostFacts) },
		},
		"two traces of a request": {
			func(_ []ledger.Line, e *oracle.Evidence) {
				e.Traces["r2"] = append(e.Traces["r2"], e.Traces["r2"][0])
			},
			func(v *oracle.Verdict) int64 { return int64(v.Duplicated) },
		},
		"two facts of a trace": {
			func(_ []ledger.Line, e *oracle.Evidence) { e.Facts["t1"] = append(e.Facts["t1"], e.Facts["t1"][0]) },
			func(v *oracle.Verdict) int64 { return int64(v.Duplicated) },
		},
		"trace nobody asked for": {
			func(_ []ledger.Line, e *oracle.Evidence) { e.Traces["r9"] = []oracle.Trace{{ID: "t9"}} },
			func(v *oracle.Verdict) int64 { return int64(v.Unknown) },
		},
		"fact without a trace": {
			func(_ []ledger.Line, e *oracle.Evidence) { e.Facts["t9"] = []oracle.Fact{{}} },
			func(v *oracle.Verdict) int64 { return int64(v.Unknown) },
		},
		"trace of another tenant": {
			func(_ []ledger.Line, e *oracle.Evidence) {
				e.Traces["r2"][0].Tenant, e.Facts["t2"][0].Tenant = "b", "b"
			},
			func(v *oracle.Verdict) int64 { return int64(v.Unknown) },
		},
		"a picodollar too much": {
			func(_ []ledger.Line, e *oracle.Evidence) { e.Facts["t0"][0].Cost++ },
			func(v *oracle.Verdict) int64 { return v.CostOff },
		},
		"a picodollar too little": {
			func(_ []ledger.Line, e *oracle.Evidence) { e.Facts["t3"][0].Cost-- },
			func(v *oracle.Verdict) int64 { return v.CostOff },
		},
		"an error that costs": {
			func(_ []ledger.Line, e *oracle.Evidence) { e.Facts["t1"][0].Cost = 1 },
			func(v *oracle.Verdict) int64 { return v.CostOff },
		},
		"answer recorded as interrupted": {
			func(_ []ledger.Line, e *oracle.Evidence) {
				e.Traces["r0"][0].Outcome, e.Facts["t0"][0] = "interrupted", oracle.Fact{Tenant: "a", Outcome: "interrupted"}
			},
			func(v *oracle.Verdict) int64 { return int64(v.WrongOutcome) },
		},
		"error recorded as completed": {
			func(_ []ledger.Line, e *oracle.Evidence) { e.Traces["r1"][0].Outcome = "completed" },
			func(v *oracle.Verdict) int64 { return int64(v.WrongOutcome) - 1 }, // and the fact says otherwise
		},
		"completed, and the provider never would": {
			func(l []ledger.Line, _ *oracle.Evidence) { l[3].Kind = script.Cut },
			func(v *oracle.Verdict) int64 { return int64(v.WrongOutcome) },
		},
		"fact and trace differ": {
			func(_ []ledger.Line, e *oracle.Evidence) { e.Facts["t2"][0].Outcome = "failed" },
			func(v *oracle.Verdict) int64 { return int64(v.WrongOutcome) },
		},
		"fact with other tags": {
			func(_ []ledger.Line, e *oracle.Evidence) { e.Facts["t0"][0].Tags = `["r0", {"team": "weft"}]` },
			func(v *oracle.Verdict) int64 { return int64(v.WrongOutcome) },
		},
		"another answer in the trace": {
			func(_ []ledger.Line, e *oracle.Evidence) { e.Traces["r0"][0].Text = ledger.DigestOf("torn") },
			func(v *oracle.Verdict) int64 { return int64(v.WrongText) },
		},
		"another question in the trace": {
			func(_ []ledger.Line, e *oracle.Evidence) { e.Traces["r0"][0].Asked = ledger.DigestOf("torn") },
			func(v *oracle.Verdict) int64 { return int64(v.WrongText) },
		},
		"unreadable answer in the trace": {
			func(_ []ledger.Line, e *oracle.Evidence) { e.Traces["r0"][0].Read = false },
			func(v *oracle.Verdict) int64 { return int64(v.WrongText) },
		},
		"the client read something else": {
			func(l []ledger.Line, _ *oracle.Evidence) { l[0].Wrong = true },
			func(v *oracle.Verdict) int64 { return int64(v.WrongText) },
		},
		"rollup off":  {func(_ []ledger.Line, e *oracle.Evidence) { e.Rollups = 1 }, func(v *oracle.Verdict) int64 { return v.Rollups }},
		"gap":         {func(_ []ledger.Line, e *oracle.Evidence) { e.Gaps = 1 }, func(v *oracle.Verdict) int64 { return v.Gaps }},
		"dead letter": {func(_ []ledger.Line, e *oracle.Evidence) { e.Dead = 1 }, func(v *oracle.Verdict) int64 { return v.Dead }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lines, evidence := world()
			c.spoil(lines, evidence)
			v := oracle.Judge(lines, evidence, reached)
			var text strings.Builder
			v.Print(&text)
			if v.OK() != (c.count == nil) {
				t.Errorf("OK: got %v\n%s", v.OK(), &text)
			}
			if c.count != nil && c.count(v) != 1 {
				t.Errorf("got %d, want 1\n%s", c.count(v), &text)
			}
			if v.Clients != (ledger.Count{All: 5, Answered: 1, Errors: 1, Cut: 1, Refused: 2}) {
				t.Errorf("as clients saw them:\n%s", &text)
			}
		})
	}
}

func TestScan(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	needles := map[string]string{"canary": "canaryABCDEF", "key": "loom_sk_secret"}
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("clean", strings.Repeat("canaryABCDE", 1<<18))
	hits, read, err := oracle.Scan(t.Context(), needles, dir)
	if err != nil || len(hits) != 0 || read != 11<<18 {
		t.Fatalf("clean: got %v, %d bytes, %v", hits, read, err)
	}
	// At every place around where one read ends and the next begins.
	for off := 1<<20 - 16; off < 1<<20+16; off++ {
		path := write("dirty", strings.Repeat("x", off)+"canaryABCDEF"+"y")
		hits, _, err := oracle.Scan(t.Context(), needles, dir)
		if err != nil || len(hits) != 1 || hits[0] != (oracle.Hit{Path: path, Needle: "canary"}) {
			t.Fatalf("at %d: got %v, %v", off, hits, err)
		}
	}
	if _, _, err := oracle.Scan(t.Context(), needles, filepath.Join(dir, "clean", "nothing")); err == nil {
		t.Error("a path through a file: got no error")
	}
}
