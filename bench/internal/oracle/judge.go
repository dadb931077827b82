package oracle

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"loom.internal/bench/internal/ledger"
	"loom.internal/bench/internal/script"
)

// Outcomes of traces.
const (
	completed   = "completed"
	failed      = "failed"
	canceled    = "canceled"
	interrupted = "interrupted"
)

const maxExamples = 20

// Verdict counts what is wrong. All but the first block must be 0.
type Verdict struct {
	Clients  ledger.Count        // as clients saw them
	Kinds    map[script.Kind]int // as they were planned
	Outcomes map[string]int      // of all traces
	Withheld int                 // traces completed whose client did not get the end: it died with the gateway or the connection, or never came
	Cost     int64               // picodollars expected of answered requests

	Lost         int   // requests that a client saw the end of, or a provider saw, without a trace
	LostFacts    int   // traces without a fact
	Duplicated   int   // traces or facts too many
	Unknown      int   // traces or facts of no request
	WrongOutcome int   // or a fact that says something else than its trace
	WrongText    int   // traces whose bodies are not what the client sent and read, and answers that are not what the provider sent
	CostOff      int64 // picodollars, the sum of absolute differences
	Rollups      int64
	Gaps         int64
	Dead         int64

	Examples []string // of what is wrong, the first 20
}

// Judge compares. reached says how often the provider saw the request of a seed.
func Judge(lines []ledger.Line, e *Evidence, reached func(seed uint64) int) *Verdict {
	v := &Verdict{Kinds: make(map[script.Kind]int), Outcomes: make(map[string]int), Rollups: e.Rollups, Gaps: e.Gaps, Dead: e.Dead}
	known := make(map[string]bool, len(lines))
	traced := make(map[string]bool, len(lines))
	for i := range lines {
		l := &lines[i]
		known[l.ID] = true
		v.count(l)
		v.request(l, e, reached(l.Seed), traced)
	}
	for id, traces := range e.Traces {
		if !known[id] {
			v.Unknown += len(traces)
			v.example("traces %v are of a request %q that nobody made", traces, id)
		}
	}
	for id := range e.Facts {
		if !traced[id] {
			v.Unknown++
			v.example("fact %s has no trace", id)
		}
	}
	return v
}

func (v *Verdict) count(l *ledger.Line) {
	v.Clients.Add(l)
	v.Kinds[l.Kind]++
	if l.Answered() {
		v.Cost += l.Cost
	}
	if l.Wrong {
		v.WrongText++
		v.example("%s: the client read another text than the provider sent", l.ID)
	}
}

// request judges the traces of one request.
func (v *Verdict) request(l *ledger.Line, e *Evidence, reached int, traced map[string]bool) {
	traces := e.Traces[l.ID]
	due := l.Answered() || l.TraceID != "" || reached > 0
	switch {
	case len(traces) == 0:
		if due {
			v.Lost++
			v.example("%s: lost: status %d, ended %v, trace id %q, seen %d times by the provider", l.ID, l.Status, l.Ended, l.TraceID, reached)
		}
		return
	case len(traces) > 1:
		v.Duplicated += len(traces) - 1
		v.example("%s: duplicated: %v", l.ID, traces)
	}
	for i := range traces {
		t := &traces[i]
		traced[t.ID] = true
		v.Outcomes[t.Outcome]++
		v.trace(l, t)
		v.fact(l, t, e.Facts[t.ID])
	}
}

// trace judges a trace of a request.
func (v *Verdict) trace(l *ledger.Line, t *Trace) {
	if t.Tenant != l.Tenant || l.TraceID != "" && t.ID != l.TraceID {
		v.Unknown++
		v.example("%s: trace %s of tenant %s, want %s of %s", l.ID, t.ID, t.Tenant, l.TraceID, l.Tenant)
	}
	var right bool
	switch {
	case l.Answered():
		right = t.Outcome == completed
	case l.Ended:
		right = t.Outcome == failed
	case t.Outcome == completed: // the end was recorded, and then the last bytes did not get through
		v.Withheld++
		right = whole(l.Kind)
	default:
		right = t.Outcome == failed || t.Outcome == canceled || t.Outcome == interrupted
	}
	if !right {
		v.WrongOutcome++
		v.example("%s: outcome %s of a %s request, status %d, ended %v", l.ID, t.Outcome, l.Kind, l.Status, l.Ended)
	}
	none := ledger.Digest{} // not looked at
	if l.Answered() && (!t.Read || t.Text != none && t.Text != l.Text || t.Asked != none && t.Asked != l.Asked) {
		v.WrongText++
		v.example("%s: trace %s does not hold what the client asked and read (readable: %v)", l.ID, t.ID, t.Read)
	}
}

// fact judges the facts of a trace.
func (v *Verdict) fact(l *ledger.Line, t *Trace, facts []Fact) {
	if len(facts) == 0 {
		v.LostFacts++
		v.example("%s: trace %s (%s) has no fact", l.ID, t.ID, t.Outcome)
		if t.Outcome == completed {
			v.CostOff += l.Cost
		}
		return
	}
	if len(facts) > 1 {
		v.Duplicated += len(facts) - 1
		v.example("%s: %d facts of trace %s", l.ID, len(facts), t.ID)
	}
	var cost, want int64
	for _, f := range facts {
		cost += f.Cost
	}
	if t.Outcome == completed {
		want = l.Cost
	} else if !l.Ended && cost == l.Cost { // the usage came before what went wrong
		want = l.Cost
	}
	if off := cost - want; off != 0 {
		v.CostOff += max(off, -off)
		v.example("%s: cost %d, want %d (%s)", l.ID, cost, want, t.Outcome)
	}
	if facts[0].Tenant != t.Tenant || facts[0].Outcome != t.Outcome || facts[0].Tags != t.Tags {
		v.WrongOutcome++
		v.example("%s: the fact is %v, the trace %v", l.ID, facts[0], *t)
	}
}

// whole reports whether the provider gives a whole answer.
func whole(k script.Kind) bool { return (&script.Plan{Kind: k}).Whole() }

func (v *Verdict) example(format string, args ...any) {
	if len(v.Examples) < maxExamples {
		v.Examples = append(v.Examples, fmt.Sprintf(format, args...))
	}
}

// OK reports whether nothing is wrong.
func (v *Verdict) OK() bool {
	return v.Lost == 0 && v.LostFacts == 0 && v.Duplicated == 0 && v.Unknown == 0 && v.WrongOutcome == 0 && v.WrongText == 0 &&
		v.CostOff == 0 && v.Rollups == 0 && v.Gaps == 0 && v.Dead == 0
}

// Print writes the verdict for people.
func (v *Verdict) Print(w io.Writer) {
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }
	p("requests        %s", v.Clients)
	for _, kind := range script.Kinds() {
		p("  planned       %d %s", v.Kinds[kind], kind)
	}
	for _, outcome := range slices.Sorted(maps.Keys(v.Outcomes)) {
		p("  traces        %d %s", v.Outcomes[outcome], outcome)
	}
	p("  of them       %d completed whose client was cut before the end", v.Withheld)
	p("  cost          %d picodollars of what was answered", v.Cost)
	p("lost            %d traces, %d facts", v.Lost, v.LostFacts)
	p("duplicated      %d", v.Duplicated)
	p("unknown         %d", v.Unknown)
	p("wrong outcome   %d", v.WrongOutcome)
	p("wrong text      %d", v.WrongText)
	p("cost difference %d picodollars", v.CostOff)
	p("rollups off     %d", v.Rollups)
	p("gaps            %d", v.Gaps)
	p("dead events     %d", v.Dead)
	for _, s := range v.Examples {
		p("  %s", s)
	}
}
