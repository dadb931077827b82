package traffic

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"loom.internal/pkg/event"
)

// tokens of an answer.
type tokens struct{ in, cached, written, out, reasoning int64 }

const (
	gatewayUs   = 1_500         // what the gateway itself takes, about
	giveUpUs    = 30_000_000    // a provider that does not answer is waited for so long
	statusGone  = 499           // of a client that left before there was an answer
	clientGone  = "client_gone" // classes of failure, as the gateway names them
	unreachable = "upstream_unreachable"
	timedOut    = "upstream_timeout"
	cut         = "upstream_cut"
	rateLimited = "upstream_rate_limited"
	rejected    = "upstream_rejected"
	failed      = "upstream_error"
	slowDown    = 4 // answers take so much longer in the incident
)

// request makes the next request of a session, and what comes of it.
func (m *maker) request(s *session) *Request {
	a := s.app
	e := &event.TraceEvent{
		TraceId: m.traceID(s.at), TenantId: a.tenant, KeyId: m.Keys[Key{a.tenant, a.key}],
		Endpoint: s.m.endpoint, Route: s.m.route, ModelRequested: s.m.name,
		StartedAtUs: s.at.UnixMicro(), ContentMode: a.mode,
		Stream: s.m.endpoint != embeddings && m.rng.Float64() < a.stream,
	}
	r := &Request{TraceEvent: e, seed: s.seed, turn: s.turn, app: a}
	if a.mode == full {
		r.said = a.script.bodies
	}
	if a.mode != nothing {
		e.Tags, e.SessionId, e.EndUser = s.tags, s.id, s.user
	}
	t := m.tokens(s)
	e.RequestBytes = t.in*4 + 300
	m.call(r, s.m, t)
	m.makeOdd(r)
	if left := m.Until.UnixMicro() - e.GetStartedAtUs(); e.GetDurationUs() > left { // it is over by then
		m.hurry(e, max(left, 1))
	}
	return r
}

// tokens draws how much is asked and answered. Prompts grow with the turns of a session.
func (m *maker) tokens(s *session) tokens {
	var t tokens
	t.in = int64(m.around(s.app.in, .55)*(1+.35*float64(s.turn))) + 12
	if s.m.endpoint == embeddings {
		return t
	}
	t.out = int64(m.around(s.app.out, .6)) + 2
	if s.app.script.callsTool(s.seed, s.turn) {
		t.out = t.out/4 + 18
	}
	if s.m.reasons {
		t.reasoning = int64(m.around(420, .8))
		t.out += t.reasoning
	}
	if t.in > 1024 || s.app.cached > .4 {
		switch at := m.rng.Float64(); {
		case at < s.app.cached:
			t.cached = t.in * int64(60+m.rng.IntN(35)) / 100
		case s.m.endpoint == messages && at < s.app.cached+.1:
			t.written = t.in * int64(50+m.rng.IntN(40)) / 100
		}
	}
	return t
}

// fate is how a call of a target ends, if not well.
type fate struct {
	status int
	class  string
	us     float64 // median time until then
	again  bool    // it may be tried elsewhere
}

// fate draws what becomes of a call; the empty class is success.
func (m *maker) fate(t target, at time.Time) fate {
	u := m.rng.Float64()
	if m.struck(t, at) {
		switch {
		case u < .22:
			return fate{http.StatusServiceUnavailable, failed, 900_000, true}
		case u < .40:
			return fate{0, timedOut, giveUpUs, true}
		case u < .50:
			return fate{http.StatusInternalServerError, failed, 6_000_000, true}
		case u < .56:
			return fate{http.StatusTooManyRequests, rateLimited, 240_000, true}
		}
		return fate{}
	}
	switch {
	case u < .012:
		return fate{http.StatusTooManyRequests, rateLimited, 130_000, true}
	case u < .017:
		return fate{http.StatusInternalServerError, failed, 800_000, true}
	case u < .0195:
		return fate{overloaded(t), failed, 300_000, true}
	case u < .0225:
		return fate{0, timedOut, giveUpUs, true}
	case u < .0235:
		return fate{0, unreachable, 10_000_000, true}
	case u < .030:
		return fate{http.StatusBadRequest, rejected, 160_000, false}
	case u < .0315:
		return fate{http.StatusOK, cut, 2_500_000, false}
	}
	return fate{}
}

func overloaded(t target) int {
	if t.provider == anthropic {
		return 529
	}
	return http.StatusServiceUnavailable
}

// struck reports whether a target is part of the incident: for two hours one provider is
// slow and fails half of the time.
func (m *maker) struck(t target, at time.Time) bool {
	return t.provider == openAI && m.incident.has(at)
}

// call tries the targets of a model and notes what comes of it.
func (m *maker) call(r *Request, mo *model, t tokens) {
	targets := mo.targets
	if len(targets) == 1 {
		targets = append(slices.Clone(targets), targets[0]) // the route has one retry
	}
	e, us := r.TraceEvent, int64(m.around(gatewayUs, .3))
	for i, to := range targets {
		f := m.fate(to, r.StartedAt().Add(time.Duration(us)*time.Microsecond))
		at := &event.Attempt{Provider: to.name, Model: to.model, Status: int32(f.status), ErrorClass: f.class, StartUs: us} //nolint:gosec // three digits
		e.Attempts = append(e.Attempts, at)
		e.Provider, e.ProviderKind, e.ModelUpstream = to.name, string(to.kind), to.model
		if f.class == "" {
			at.Status = http.StatusOK
			m.answer(r, to, t, at)
			return
		}
		at.DurationUs = int64(f.us)
		if f.us != giveUpUs {
			at.DurationUs = int64(m.around(f.us, .4))
		}
		us += at.GetDurationUs()
		if !f.again || i == len(targets)-1 {
			m.fail(r, f, us)
			return
		}
		us += 2_000
	}
}

// fail ends a request that nobody answered, or only in part.
func (m *maker) fail(r *Request, f fate, us int64) {
	e := r.TraceEvent
	e.Outcome, e.ErrorClass, e.DurationUs, e.HttpStatus = event.Outcome_OUTCOME_FAILED, f.class, us, int32(f.status) //nolint:gosec // three digits
	e.UsageSource, e.ResponseBytes = event.UsageSource_USAGE_SOURCE_NONE, 180
	switch {
	case f.class == timedOut:
		e.HttpStatus = http.StatusGatewayTimeout
	case f.status == 0:
		e.HttpStatus = http.StatusBadGateway
	case f.class == cut && e.GetStream():
		e.TtftUs, e.Chunks = new(us/4), 11
	}
}

// answer ends a request that a target answers.
func (m *maker) answer(r *Request, to target, t tokens, at *event.Attempt) {
	e := r.TraceEvent
	slow := 1.0
	if m.struck(to, r.StartedAt()) {
		slow = slowDown
	}
	ttft := m.around(to.ttft*1e3, .35) * slow * (1 + float64(t.in-t.cached)/30_000)
	whole := ttft
	if to.speed > 0 {
		ttft += float64(t.reasoning) / to.speed * 1e6
		whole = ttft + float64(t.out-t.reasoning)/m.around(to.speed, .25)*1e6*slow
	}
	e.Outcome, e.HttpStatus, e.ModelAnswered = event.Outcome_OUTCOME_COMPLETED, http.StatusOK, to.answered
	e.ResponseBytes = (t.out-t.reasoning)*4 + 260
	m.finish(r)
	e.UsageSource, e.UsageRaw = event.UsageSource_USAGE_SOURCE_PROVIDER, usage(e.GetEndpoint(), t)
	if e.GetStream() {
		e.TtftUs = new(at.GetStartUs() + int64(ttft))
		e.Chunks = int32(t.out-t.reasoning) + 2 //nolint:gosec // some thousand
		gap := (whole - ttft) / float64(t.out-t.reasoning+1)
		e.GapP50Us, e.GapP99Us = new(int64(gap*.8)), new(int64(gap*m.around(5, .3)))
	}
	m.leave(r, &whole, ttft)
	at.DurationUs = int64(whole)
	e.DurationUs = at.GetStartUs() + at.GetDurationUs() + int64(m.around(gatewayUs, .3))
}

// finish says why the answer ended where it did.
func (m *maker) finish(r *Request) {
	e := r.TraceEvent
	if e.GetEndpoint() == embeddings {
		return
	}
	stop, length, filter, tool := "stop", "length", "content_filter", "tool_calls"
	switch e.GetEndpoint() {
	case messages:
		stop, length, filter, tool = "end_turn", "max_tokens", "refusal", "tool_use"
	case responses:
		stop, length, filter, tool = "completed", "incomplete", "incomplete", "completed"
	}
	u := m.rng.Float64()
	switch name := r.app.script.tool(r.seed, r.turn); {
	case name != "":
		e.ToolNames, e.FinishReasons = []string{name}, []string{tool}
	case u < .03:
		e.FinishReasons = []string{length}
	case u < .037:
		e.FinishReasons = []string{filter}
	default:
		e.FinishReasons = []string{stop}
	}
}

// leave has some clients go before the end, some gateways die, and some providers say
// nothing of usage.
func (m *maker) leave(r *Request, whole *float64, ttft float64) {
	e := r.TraceEvent
	gone := .006
	if e.GetStream() {
		gone = .028
	}
	switch u := m.rng.Float64(); {
	case u < gone:
		e.Outcome, e.ErrorClass, e.FinishReasons, e.ToolNames = event.Outcome_OUTCOME_CANCELED, clientGone, nil, nil
		part := m.rng.Float64()
		if e.GetStream() {
			*whole = ttft + (*whole-ttft)*part
			e.Chunks = int32(float64(e.GetChunks()) * part)
			e.ResponseBytes = int64(float64(e.GetResponseBytes()) * part)
		} else {
			*whole *= part
			e.HttpStatus, e.ModelAnswered, e.ResponseBytes = statusGone, "", 0
		}
	case u < gone+.0006:
		e.Outcome, e.HttpStatus, e.FinishReasons, e.ToolNames = event.Outcome_OUTCOME_INTERRUPTED, 0, nil, nil
		e.ModelAnswered, e.ResponseBytes, e.Chunks, e.TtftUs, e.GapP50Us, e.GapP99Us = "", 0, 0, nil, nil, nil
	case u < gone+.0006+.005: // completed all the same
	default:
		return
	}
	e.UsageSource, e.UsageRaw = event.UsageSource_USAGE_SOURCE_NONE, nil
}

// hurry has a request end within us microseconds.
func (m *maker) hurry(e *event.TraceEvent, us int64) {
	for _, p := range []*int64{e.TtftUs, e.GapP50Us, e.GapP99Us} {
		if p != nil {
			*p = min(*p, us)
		}
	}
	for _, a := range e.GetAttempts() {
		a.StartUs = min(a.GetStartUs(), us)
		a.DurationUs = min(a.GetDurationUs(), us-a.GetStartUs())
	}
	e.DurationUs = us
}

// usage is the usage object as the provider of an endpoint writes it.
func usage(endpoint string, t tokens) []byte {
	b := make([]byte, 0, 256)
	put := func(text string, n int64) { b = strconv.AppendInt(append(b, text...), n, 10) }
	switch endpoint {
	case messages:
		put(`{"input_tokens":`, t.in-t.cached-t.written)
		put(`,"cache_creation_input_tokens":`, t.written)
		put(`,"cache_read_input_tokens":`, t.cached)
		put(`,"cache_creation":{"ephemeral_5m_input_tokens":`, t.written)
		put(`,"ephemeral_1h_input_tokens":0},"output_tokens":`, t.out)
		b = append(b, `,"service_tier":"standard"}`...)
	case responses:
		put(`{"input_tokens":`, t.in)
		put(`,"input_tokens_details":{"cached_tokens":`, t.cached)
		put(`},"output_tokens":`, t.out)
		put(`,"output_tokens_details":{"reasoning_tokens":`, t.reasoning)
		put(`},"total_tokens":`, t.in+t.out)
		b = append(b, '}')
	case embeddings:
		put(`{"prompt_tokens":`, t.in)
		put(`,"total_tokens":`, t.in)
		b = append(b, '}')
	default:
		put(`{"prompt_tokens":`, t.in)
		put(`,"completion_tokens":`, t.out)
		put(`,"total_tokens":`, t.in+t.out)
		put(`,"prompt_tokens_details":{"cached_tokens":`, t.cached)
		put(`,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":`, t.reasoning)
		b = append(b, `,"audio_tokens":0}}`...)
	}
	return b
}
